"""The benchmark of drawn pictures: its table and its comparison."""

from __future__ import annotations

import math

import pytest

from benchmarks.drawn import OURS, compare, table


def record(region: int, rung: str, distance: float, **figures: float) -> dict[str, object]:
    """The figures of one fill of a picture of the bucket `page`."""
    fixed = {"psnr": 40.0, "characters_read": 0, "broken_edges": math.nan, "milliseconds": 10.0}
    return {"file": "a.png", "bucket": "page", "region": region, "rung": rung, "distance": distance, **fixed, **figures}


RECORDS = [
    record(0, OURS, 0.01, broken_edges=0.2, seed_deviation=0.0),
    record(0, "patchmatch", 0.03, broken_edges=0.6, seed_deviation=0.004),
    record(1, OURS, 0.02),
    record(1, "patchmatch", 0.03),
]


def test_the_table_has_the_means_of_each_rung_for_all_regions_and_for_each_bucket() -> None:
    lines = {(line["bucket"], line["rung"]): line for line in table(RECORDS)}
    assert set(lines) == {(bucket, rung) for bucket in ("all", "page") for rung in (OURS, "patchmatch")}
    assert lines["all", OURS]["regions"] == 2
    assert lines["all", OURS]["distance"] == pytest.approx(0.015)


def test_regions_without_straight_edges_and_without_other_seeds_do_not_count_there() -> None:
    line = next(line for line in table(RECORDS) if line["rung"] == "patchmatch")
    assert (line["broken_edges"], line["seed_deviation"]) == (0.6, 0.004)


def test_rungs_are_compared_region_by_region_with_an_interval_around_the_mean_change() -> None:
    whole, page = compare(RECORDS, "distance")
    assert (whole["bucket"], page["bucket"], whole["against"]) == ("all", "page", "patchmatch")
    assert whole["change"] == pytest.approx(-0.015)
    low, high = whole["interval"]
    assert low == pytest.approx(-0.02) and high == pytest.approx(-0.01)


def test_a_figure_that_only_some_regions_have_is_compared_in_these() -> None:
    lines = compare(RECORDS, "broken_edges")
    assert [line["regions"] for line in lines] == [1, 1]
    assert lines[0]["change"] == pytest.approx(-0.4)
