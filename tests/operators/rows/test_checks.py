"""Which fills a region has had, read from the checks that they left."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from operators.rows.checks import judged_rungs

NAMES = ("residual_text", "colour_shift", "seam", "predicted_distance")


def checks(*rungs: str, names: tuple[str, ...] = NAMES) -> list[dict[str, str]]:
    return [{"rung": rung, "name": name} for rung in rungs for name in names]


@given(st.lists(st.sampled_from(["telea", "patchmatch", "builtin"]), max_size=6), st.integers(1, len(NAMES)))
def test_every_fill_counts_once_also_where_a_rung_filled_several_times_in_a_row(rungs: list[str], count: int) -> None:
    assert judged_rungs(checks(*rungs, names=NAMES[:count])) == rungs


def test_a_missing_fill_was_an_attempt() -> None:
    assert judged_rungs([*checks("telea"), {"rung": "patchmatch", "name": "missing"}]) == ["telea", "patchmatch"]


def test_a_fill_that_the_budget_forbade_was_none() -> None:
    forbidden = {"rung": "patchmatch", "name": "budget"}
    assert judged_rungs([forbidden, *checks("telea"), forbidden]) == ["telea"]
