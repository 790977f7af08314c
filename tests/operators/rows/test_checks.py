"""How checks are recorded, which fills they belong to, and the reasons that they give."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.rows.checks import check, failed_checks, judged_rungs, last_checks, reasons_of
from operators.rows.records import CheckRecord

NAMES = ("residual_text", "colour_shift", "seam", "predicted_distance")


def checks(*rungs: str, names: tuple[str, ...] = NAMES) -> list[CheckRecord]:
    return [check(rung, name, 0.0, 1.0) for rung in rungs for name in names]


@given(st.lists(st.sampled_from(["telea", "patchmatch", "builtin"]), max_size=6), st.integers(1, len(NAMES)))
def test_every_fill_counts_once_even_if_a_rung_fills_several_times_in_a_row(rungs: list[str], count: int) -> None:
    assert judged_rungs(checks(*rungs, names=NAMES[:count])) == rungs


def test_a_missing_fill_counts() -> None:
    assert judged_rungs([*checks("telea"), check("patchmatch", "missing", 1.0, 0.0)]) == ["telea", "patchmatch"]


def test_a_fill_that_exceeded_the_budget_does_not_count() -> None:
    refused = check("patchmatch", "budget", 2.0, 1.0)
    assert judged_rungs([refused, *checks("telea"), refused]) == ["telea"]


def test_checks_that_only_describe_a_fill_do_not_judge_it() -> None:
    described = check("builtin", "detail_deficit", 2.0, math.nan)
    assert judged_rungs([described]) == []
    assert judged_rungs([described, *checks("builtin"), described, *checks("builtin")]) == ["builtin", "builtin"]


@pytest.mark.parametrize(("value", "passed"), [(0.9, True), (1.0, True), (1.1, False), (math.nan, True)])
def test_a_value_passes_unless_it_exceeds_its_limit(value: float, passed: bool) -> None:
    assert check("telea", "seam", value, 1.0)["passed"] is passed


def test_reasons_name_rung_measurement_value_and_limit() -> None:
    records: list[CheckRecord] = [
        {"rung": "telea", "name": "seam", "value": 3.14159, "limit": 2.0, "passed": False},
        {"rung": "telea", "name": "colour_shift", "value": 1.0, "limit": 20.0, "passed": True},
        {"rung": "patchmatch", "name": "detail_loss", "value": 1.25, "limit": 0.8, "passed": False},
    ]
    assert reasons_of(records) == ["telea: seam 3.14 > 2", "patchmatch: detail_loss 1.25 > 0.8"]


@pytest.mark.parametrize("name", ["fill_failed", "missing"])
def test_a_lone_check_is_a_fill_by_itself_even_between_fills_of_its_rung(name: str) -> None:
    lone = check("telea", name, 1.0, 0.0)
    assert judged_rungs([*checks("telea"), lone, lone, *checks("telea")]) == ["telea"] * 4
    assert last_checks([*checks("telea"), lone]) == [lone]
    assert last_checks([lone, *checks("telea")]) == checks("telea")


def test_a_value_just_above_its_limit_is_seen_to_be_above_it() -> None:
    assert reasons_of([check("telea", "seam", 0.61141, 0.61119)]) == ["telea: seam 0.6114 > 0.6112"]


def test_an_error_of_a_fill_is_no_refusal() -> None:
    assert reasons_of([check("telea", "fill_failed", 1.0, 0.0)]) == []


def test_the_last_checks_are_those_of_the_last_fill_that_was_judged() -> None:
    first, second = checks("hybrid"), [check("hybrid", name, 5.0, 1.0) for name in NAMES]
    skipped = check("patchmatch", "budget", 2.0, 1.0)
    assert last_checks([*checks("telea"), *first, *second, skipped]) == second
    assert last_checks([*first, check("patchmatch", "missing", 1.0, 0.0)]) == [check("patchmatch", "missing", 1.0, 0.0)]
    assert last_checks([skipped]) == last_checks([]) == []


def test_the_failed_checks_are_those_that_did_not_pass() -> None:
    good, bad = check("telea", "seam", 1.0, 2.0), check("telea", "jump", 3.0, 2.0)
    assert failed_checks([good, bad]) == [bad]
