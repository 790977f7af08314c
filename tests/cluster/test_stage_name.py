"""The name of a stage: its text, its number, and the profile entry that serves it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.stage_name import DEFAULT, StageName

OPERATORS = st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True)
NAMES = st.builds(StageName, OPERATORS, st.none() | st.integers(1, 10_000))


@given(NAMES)
def test_parse_is_the_reverse_of_str(name: StageName) -> None:
    assert StageName.parse(str(name)) == name


@given(NAMES, NAMES)
def test_different_names_have_different_texts(first: StageName, second: StageName) -> None:
    assert (str(first) == str(second)) == (first == second)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("verify", StageName("verify")),
        ("verify (2)", StageName("verify", 2)),
        ("inpaint_telea (10)", StageName("inpaint_telea", 10)),
        ("verify(2)", StageName("verify(2)")),
        ("verify (two)", StageName("verify (two)")),
        ("(2)", StageName("(2)")),
    ],
)
def test_a_number_is_parsed_only_after_a_blank_and_in_parentheses(text: str, name: StageName) -> None:
    assert StageName.parse(text) == name
    assert str(name) == text


def test_only_repeated_operators_are_numbered_and_from_1() -> None:
    names = StageName.number_all(["fetch", "inpaint_telea", "verify", "inpaint_patchmatch", "verify", "write"])
    assert [str(name) for name in names] == [
        "fetch",
        "inpaint_telea",
        "verify (1)",
        "inpaint_patchmatch",
        "verify (2)",
        "write",
    ]


def test_a_flow_without_operators_has_no_stages() -> None:
    assert StageName.number_all([]) == []


@given(st.lists(OPERATORS, max_size=12))
def test_numbered_names_keep_the_operators_in_order_and_are_unique(operators: list[str]) -> None:
    names = StageName.number_all(operators)
    assert [name.operator for name in names] == operators
    assert len(set(map(str, names))) == len(operators)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["inpaint_telea (2)", "inpaint_telea", "inpaint", DEFAULT], "inpaint_telea (2)"),
        ([DEFAULT, "inpaint", "inpaint_telea"], "inpaint_telea"),
        ([DEFAULT, "inpaint", "inpaint_patchmatch", "inpaint_telea (1)"], "inpaint"),
        (["verify", DEFAULT], DEFAULT),
        (["verify", "inpaint_patchmatch"], None),
        ([], None),
    ],
    ids=["the stage", "the operator", "the family", "default", "only others", "no entries"],
)
def test_the_most_specific_entry_serves_a_stage(entries: list[str], expected: str | None) -> None:
    assert StageName("inpaint_telea", 2).entry(entries) == expected


def test_the_entry_of_another_number_does_not_serve_a_stage() -> None:
    assert StageName("verify", 1).entry(["verify (2)"]) is None
    assert StageName("verify").entry(["verify (1)"]) is None
