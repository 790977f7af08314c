"""The errors of fills: how reasons name them, and how they are counted."""

from __future__ import annotations

from operators.rows.checks import check
from operators.rows.failure import Failure
from operators.rows.fill_errors import FillCounts, add_error, split_errors
from operators.rows.records import CheckRecord, RegionRecord

ERROR = check("builtin", "fill_failed", 1.0, 0.0)


def region(*checks: CheckRecord) -> RegionRecord:
    return {"checks": list(checks)}


def test_a_reason_names_the_rung_the_code_and_the_first_line_of_the_error() -> None:
    reason = add_error(None, "builtin", RuntimeError("no kernel\nfor this GPU"))
    assert reason == "fill_failed builtin: operator_error: RuntimeError: no kernel"
    assert add_error(None, "telea", MemoryError()) == "fill_failed telea: out_of_memory: out of memory"


def test_a_reason_names_the_errors_of_several_rungs_each_once() -> None:
    failure = Failure("out_of_memory", "too large; try less")
    reason = add_error(add_error(None, "builtin", failure), "telea", ValueError("no"))
    assert add_error(reason, "builtin", failure) == reason
    assert split_errors(reason) == [
        "fill_failed builtin: out_of_memory: too large; try less",
        "fill_failed telea: operator_error: ValueError: no",
    ]


def test_other_reasons_name_no_error() -> None:
    assert split_errors(None) == split_errors("not_confirmed") == []


def test_a_rung_is_broken_if_every_fill_of_it_ended_with_an_error() -> None:
    counts = FillCounts()
    counts.add_image([region(ERROR), region(ERROR, check("telea", "seam", 1.0, 2.0))], ["fill_failed builtin: a: b: c", "x"])
    assert counts.broken_rungs() == ["builtin"]
    assert counts.lines() == ["every fill of builtin failed (2 of 2): a: b: c"]


def test_a_refused_fill_is_no_error() -> None:
    counts = FillCounts()
    counts.add_image([region(ERROR), region(check("builtin", "seam", 3.0, 2.0))], [])
    assert (counts.attempts["builtin"], counts.errors["builtin"], counts.lines()) == (2, 1, [])


def test_counts_of_many_images_keep_the_first_error() -> None:
    counts = FillCounts()
    counts.add("builtin", 3, 0, None)
    counts.add("telea", 2, 2, None)
    counts.add("telea", 1, 1, "operator_error: first")
    counts.add("telea", 1, 1, "operator_error: second")
    assert counts.lines() == ["every fill of telea failed (4 of 4): operator_error: first"]
