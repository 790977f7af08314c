"""Rules decide about every character of a line: the first that fits, or `otherwise`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from operators.selection.rules import Rules, Selection, Source, Text

LINE = Text(
    kind="text",
    polygons=[[[10, 10], [109, 10], [109, 29], [10, 29]]],
    height=20,
    width=100,
    angle=0,
    area=2000,
    score=0.8,
    opacity=math.nan,
    picture=(400, 200),
)


def rules(*entries: dict[str, Any], **more: Any) -> Rules:
    return Rules.model_validate({"rules": entries, **more})


def marked(which: Rules, read: str) -> str:
    """The text with `x` in place of what is erased."""
    decisions = which.decide(replace(LINE, read=read))
    return "".join("x" if decision.action == "erase" else c for c, decision in zip(read, decisions, strict=True))


def test_without_rules_everything_goes() -> None:
    assert marked(rules(), "ACME 5") == "xxxxxx"
    assert rules().decide(LINE)[0].rule == "otherwise"


@pytest.mark.parametrize(
    ("entries", "erased"),
    [
        ([{"erase": {"text": "one"}}], "xxx two"),
        ([{"keep": {"text": "one"}}], "onexxxx"),
        ([{"erase": {"text": "one"}}, {"erase": {"kind": "price"}}], "xxx two"),
        ([{"keep": {"not": {"text": "one"}}}], "xxx two"),
    ],
    ids=str,
)
def test_who_only_says_what_goes_keeps_the_rest_and_the_reverse(entries: list[dict[str, Any]], erased: str) -> None:
    assert marked(rules(*entries), "one two") == erased
    assert marked(Source.model_validate({"path": "a/*", "rules": entries}), "one two") == erased


def test_rules_that_keep_beside_rules_that_erase_must_say_what_becomes_of_the_rest() -> None:
    both = ({"keep": {"text": "a"}}, {"erase": {"text": "b"}})
    with pytest.raises(ValidationError, match="some rules keep and some erase: add otherwise: keep, or otherwise: erase"):
        rules(*both)
    assert [marked(rules(*both, otherwise=rest), "a b c") for rest in ("keep", "erase")] == ["a x c", "axxxx"]


def test_pictures_that_no_source_takes_keep_their_texts_unless_rules_mean_them() -> None:
    sources = [{"path": "acme/*", "rules": [{"keep": {"text": "ACME"}}]}]
    assert marked(Selection.model_validate({"sources": sources}), "ACME 5") == "ACME 5"
    assert marked(Selection.model_validate({"sources": sources, "otherwise": "erase"}), "ACME 5") == "xxxxxx"
    assert marked(Selection.model_validate({"sources": sources, "rules": [{"keep": {"text": "5"}}]}), "ACME 5") == "xxxxx5"


def test_the_first_rule_that_fits_decides_and_gives_its_name() -> None:
    which = rules({"name": "brand", "keep": {"text": "ACME"}}, {"erase": {"kind": "price"}}, otherwise="keep")
    assert marked(which, "ACME $5 new") == "ACME xx new"
    names = [decision.rule for decision in which.decide(replace(LINE, read="ACME $5 new"))]
    assert [names[0], names[5], names[8]] == ["brand", "rule 2", "otherwise"]


def test_conditions_of_a_rule_must_hold_together_and_of_a_list_one() -> None:
    which = rules({"erase": {"text": ["one", "two"], "height": "10..30"}}, otherwise="keep")
    assert marked(which, "one two six") == "xxx xxx six"
    assert marked(rules({"erase": {"text": "one", "height": "30.."}}, otherwise="keep"), "one") == "one"


def test_not_turns_a_condition_around_and_also_means_what_cannot_be_read() -> None:
    which = rules({"keep": {"not": {"script": "latin"}}})
    assert marked(which, "東京 Tokyo") == "東京 xxxxx"
    assert which.decide(LINE)[0].action == "keep"


def test_only_rules_that_a_text_can_meet_make_it_be_read() -> None:
    prices = {"erase": {"kind": "price", "zone": "bottom:100%x20%"}}
    assert not rules(prices, otherwise="keep").must_read(LINE)
    low = replace(LINE, polygons=[[[10, 170], [109, 170], [109, 189], [10, 189]]])
    assert rules(prices, otherwise="keep").must_read(low)
    assert not rules({"keep": {"zone": "top:100%x50%"}}, {"erase": {"text": "x"}}, otherwise="keep").must_read(LINE)
    assert not rules({"erase": {"kind": "mark"}}, otherwise="keep").must_read(LINE)
    assert not rules({"erase": {"text": "x"}}).must_read(replace(LINE, kind="mark"))


def test_an_opacity_bounds_what_has_one() -> None:
    faint = rules({"erase": {"opacity": "..0.5"}}, otherwise="keep")
    actions = [faint.decide(replace(LINE, opacity=opacity))[0].action for opacity in (0.4, 0.6, math.nan)]
    assert actions == ["erase", "keep", "keep"]


def test_a_source_is_found_by_its_path_and_by_a_column() -> None:
    selection = Selection.model_validate(
        {
            "otherwise": "keep",
            "sources": [
                {"path": "acme/*", "otherwise": "erase", "most": "30%"},
                {"column": "supplier", "equals": [7, "globex"], "rules": [{"erase": {"kind": "price"}}], "otherwise": "keep"},
            ],
        }
    )
    assert selection.rules_for("acme/shoes/1.jpg", {}).most == "30%"
    assert selection.rules_for("other/1.jpg", {"supplier": 7}).needs_reading
    assert selection.rules_for("other/1.jpg", {"supplier": None}) is selection
    assert selection.columns == ["supplier"]
    assert selection.reads
    assert not selection.needs_reading


@pytest.mark.parametrize(
    ("value", "equals"), [(7, "7"), (7.0, "7"), (7.5, "7.5"), (True, "true"), ("007", "007"), ("NO", "NO")], ids=str
)
def test_a_value_of_a_column_is_compared_as_a_user_writes_it(value: Any, equals: str) -> None:
    assert Source.model_validate({"column": "supplier", "equals": equals}).takes("1.jpg", {"supplier": value})


@pytest.mark.parametrize(
    ("path", "pattern", "is_taken"),
    [
        ("acme/1.jpg", "acme/*", True),
        ("acme/new/1.jpg", "acme/*", True),
        ("old/acme/1.jpg", "acme/*", False),
        ("local/data/shop/acme/1.jpg", "acme/*", True),
        ("local/data/shop/acme/1.jpg", "/data/shop/acme/*", True),
        ("local/data/shop/acme/1.jpg", "file:///data/shop/*", True),
        ("local/data/shop/acme/1.jpg", "/shop/acme/*", False),
        ("local/data/shop/globex/1.jpg", "acme/*", False),
        ("s3/bucket/acme/1.jpg", "s3://bucket/acme/*", True),
        ("s3/bucket/acme/1.jpg", "acme/*", True),
        ("s3/other/acme/1.jpg", "s3://bucket/*", False),
    ],
)
def test_a_pattern_means_relative_and_absolute_paths(path: str, pattern: str, is_taken: bool) -> None:
    assert Source.model_validate({"path": pattern}).takes(path, {}) is is_taken


def test_the_rules_of_a_source_are_named_with_it() -> None:
    source = Source.model_validate(
        {"path": ["a/*", "b/*"], "column": "shop", "equals": ["x", 7], "rules": [{"name": "brand", "keep": {"text": "ACME"}}]}
    )
    names = [decision.rule for decision in source.decide(replace(LINE, read="ACME 5"))]
    assert [names[0], names[5]] == ["a/*, b/* and shop x, 7: brand", "a/*, b/* and shop x, 7: otherwise"]
    assert source.protecting == ["a/*, b/* and shop x, 7: brand"]
