"""The tables of an evaluation: means, rates with intervals, failures by place, latencies and
drift.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from flows.evaluation.tables import (
    PLACES,
    acceptance_table,
    by,
    delivered_table,
    drift_warnings,
    failure_table,
    latency_table,
    mean,
    refusal_table,
    robustness_table,
    rung_table,
    verdicts,
    wilson,
)

RUNGS = ("telea", "patchmatch")
Content = dict[str, Any]


WILSON = {
    (5, 10): (0.5, 0.2366, 0.7634),
    (1, 4): (0.25, 0.0456, 0.6994),
    (0, 10): (0.0, 0.0, 0.2775),
    (10, 10): (1.0, 0.7225, 1.0),
    (81, 263): (0.3080, 0.2553, 0.3662),
}


@pytest.mark.parametrize(("counts", "expected"), WILSON.items())
def test_a_rate_has_its_wilson_interval(counts: tuple[int, int], expected: tuple[float, float, float]) -> None:
    assert wilson(*counts) == pytest.approx(expected, abs=6e-5)


def test_a_rate_of_nothing_is_unknown() -> None:
    assert all(math.isnan(value) for value in wilson(0, 0))


def test_a_mean_is_of_the_values_that_are_numbers() -> None:
    assert mean([1.0, None, 3.0, math.nan, math.inf]) == 2.0
    assert math.isnan(mean([]))
    assert math.isnan(mean([None, math.nan]))


def test_groups_keep_the_order_of_their_first_members() -> None:
    records = [{"k": "b", "n": 1}, {"k": "a", "n": 2}, {"k": "b", "n": 3}]
    assert by(records, lambda record: record["k"]) == {"b": [records[0], records[2]], "a": [records[1]]}


def fill(number: int, rung: str = "telea", **more: Any) -> dict[str, Any]:
    """A fill whose errors and places all follow from its number."""
    place = {**dict.fromkeys(PLACES, float(number)), "border": False}
    return {
        "file": f"{number}.png",
        "set": "report",
        "bucket": "photo",
        "rung": rung,
        "place": place,
        "figures": {"perceptual_distance": number / 100, "visible_error": number / 100},
        **more,
    }


def content_of(fills: list[dict[str, Any]], images: list[dict[str, Any]] | None = None) -> Content:
    return {
        "calibration": {"bad_error": 0.06},
        "fills": fills,
        "images": images or [],
        "rungs": sorted({record["rung"] for record in fills}),
    }


def test_failure_rates_are_cut_at_the_terciles_of_every_place() -> None:
    table = failure_table(content_of([fill(number) for number in range(1, 10)]))
    rows = {row["place"]: row for row in table}
    for place in PLACES:
        low, middle, high = (row for name, row in rows.items() if name.startswith(f"{place} "))
        assert [row["fills"] for row in (low, middle, high)] == [3, 3, 3]
        assert [row["bad"] for row in (low, middle, high)] == [0.0, 0.0, 1.0]
        assert (high["low"], high["high"]) == pytest.approx(wilson(3, 3)[1:])
    assert rows["text inside"]["fills"] == 9
    assert rows["text inside"]["bad"] == pytest.approx(3 / 9)
    assert "text at the border" not in rows


def test_failure_rates_are_counted_for_each_rung_and_at_the_border() -> None:
    fills = [fill(number, rung) for number in (1, 9) for rung in RUNGS]
    fills[0]["place"]["border"] = True
    fills[3]["figures"] = {"perceptual_distance": None, "visible_error": None}
    rows = {(row["place"], row["rung"]): (row["fills"], row["bad"]) for row in failure_table(content_of(fills))}
    assert rows["text at the border", "telea"] == (1, 0.0)
    assert rows["text inside", "telea"] == (1, 1.0)
    assert rows["text inside", "patchmatch"] == (1, 0.0)


def test_jpeg_sources_are_counted_apart() -> None:
    fills = [{**fill(number), "file": file} for number, file in ((1, "a.jpg"), (9, "b.JPEG"), (1, "c.png"))]
    rows = {row["place"]: (row["fills"], row["bad"]) for row in failure_table(content_of(fills))}
    assert rows["JPEG source"] == (2, 0.5)
    assert rows["lossless source"] == (1, 0.0)


def test_a_place_that_is_the_same_everywhere_has_one_row() -> None:
    fills = [fill(number) for number in range(1, 10)]
    for record in fills:
        record["place"]["count"] = 1
    rows = [row for row in failure_table(content_of(fills)) if row["place"].startswith("count ")]
    assert [(row["place"], row["fills"]) for row in rows] == [("count up to 1", 9)]


def test_latencies_are_percentiles_per_operator_and_of_the_whole_image() -> None:
    timings = {f"{number}.png": {"detect": float(number), "write": 1.0} for number in range(1, 101)}
    rows = {row["operator"]: row for row in latency_table(timings)}
    assert list(rows) == ["detect", "write", "image"]
    assert (rows["detect"]["p50"], rows["detect"]["p95"], rows["detect"]["p99"]) == pytest.approx((50.5, 95.05, 99.01))
    assert (rows["image"]["p50"], rows["image"]["p95"], rows["image"]["p99"]) == pytest.approx((51.5, 96.05, 100.01))
    assert (rows["write"]["p50"], rows["write"]["p99"]) == (1.0, 1.0)
    assert rows["detect"]["share"] == pytest.approx(5050 / 5150)
    assert rows["detect"]["share"] + rows["write"]["share"] == pytest.approx(rows["image"]["share"]) == 1.0


def test_an_operator_that_few_images_met_has_the_percentiles_of_those() -> None:
    rows = {row["operator"]: row for row in latency_table({"a": {"detect": 2.0}, "b": {"detect": 2.0, "fill": 6.0}})}
    assert rows["fill"]["p50"] == 6.0
    assert rows["fill"]["share"] == pytest.approx(0.6)
    assert latency_table({}) == []


def test_the_table_of_rungs_is_the_mean_over_all_and_over_every_bucket() -> None:
    fills = [fill(2), fill(4), fill(9, bucket="page"), fill(50, set="tune")]
    rows = rung_table(content_of(fills), "report")
    assert [(row["bucket"], row["rung"], row["fills"]) for row in rows] == [
        ("all", "telea", 3),
        ("photo", "telea", 2),
        ("page", "telea", 1),
    ]
    assert [row["perceptual_distance"] for row in rows] == pytest.approx([0.05, 0.03, 0.09])
    assert math.isnan(rows[0]["psnr"])


def test_the_table_of_deliveries_counts_verdicts_and_tells_edited_texts_from_all() -> None:
    def image(verdict: str, distance: float, bucket: str) -> dict[str, Any]:
        text = {"perceptual_distance": distance, "psnr": 30.0, "characters_read": 2}
        return {"set": "report", "bucket": bucket, "verdict": verdict, "texts": [text], "fills": 1}

    images = [image("edited", 0.1, "photo"), image("rolled_back", 0.5, "photo"), image("untouched", 0.3, "page")]
    images[0]["eraseness"] = {"recall": 0.0, "recall_before": 1.0}
    content = content_of([], images)
    everything, photo, page = delivered_table(content, "report")
    assert (everything["images"], everything["edited"], everything["rolled_back"], everything["untouched"]) == (3, 1, 1, 1)
    assert everything["perceptual_distance"] == pytest.approx(0.3)
    assert photo["edited_distance"] == everything["edited_distance"] == 0.1
    assert (photo["recall"], photo["recall_before"], photo["fills"]) == (0.0, 1.0, 2)
    assert math.isnan(page["edited_distance"])
    assert verdicts(content) == {"edited": 1, "rolled_back": 1, "untouched": 1}
    assert delivered_table(content, "tune")[0]["images"] == 0


def judged(
    outcome: str, verdict: str, bucket: str = "photo", refusal: str | None = None, *wrong: bool | None
) -> dict[str, Any]:
    texts = [{"wrongly_refused": wrongly} for wrongly in wrong]
    return {"set": "report", "bucket": bucket, "verdict": verdict, "outcome": outcome, "refusal": refusal, "texts": texts}


def judged_images() -> list[dict[str, Any]]:
    return [
        judged("accepted", "edited"),
        judged("accepted", "untouched"),
        judged("damaged", "edited", "photo", "stain"),
        judged("damaged", "partly_edited", "photo", "distance", None, True),
        judged("missed", "rolled_back", "page", "distance", True, False),
        judged("missed", "untouched", "page", "signal", None),
        {"set": "report", "bucket": "page", "verdict": "edited"},
        {**judged("accepted", "edited"), "set": "tune"},
    ]


def test_the_table_of_acceptance_counts_what_becomes_of_pictures_and_of_refused_fills() -> None:
    everything, photo, page = acceptance_table(content_of([], judged_images()), "report")
    assert (everything["images"], everything["edited"], everything["missed"]) == (6, 3, 2)
    assert everything["accepted"] == pytest.approx(2 / 6)
    assert (everything["low"], everything["high"]) == pytest.approx((0.0968, 0.7000), abs=6e-5)
    assert everything["damaged"] == pytest.approx(2 / 3)
    assert (everything["refused_texts"], everything["wrongly_refused"]) == (3, pytest.approx(2 / 3))
    assert (photo["bucket"], photo["accepted"], photo["missed"], photo["wrongly_refused"]) == ("photo", 0.5, 0, 1.0)
    assert (page["accepted"], page["missed"], page["wrongly_refused"]) == (0.0, 2, 0.5)
    assert math.isnan(page["damaged"])


def test_the_table_of_refusals_counts_the_parts_of_the_rule() -> None:
    assert refusal_table(content_of([], judged_images()), "report") == [
        {"part": "distance", "damaged": 1, "missed": 1},
        {"part": "signal", "damaged": 0, "missed": 1},
        {"part": "stain", "damaged": 1, "missed": 0},
    ]


def test_the_table_of_robustness_sets_worse_masks_beside_the_mask_as_it_is() -> None:
    fills = [
        fill(2, perturbed={"shifted": 0.03, "grown": 0.05}, seed_deviation=0.01),
        fill(4, perturbed={"shifted": 0.05, "grown": None}),
        fill(6, rung="patchmatch"),
    ]
    telea, patchmatch = robustness_table(content_of(fills))
    assert (telea["as found"], telea["shifted"], telea["grown"]) == pytest.approx((0.03, 0.04, 0.05))
    assert telea["seed_deviation"] == 0.01
    assert patchmatch.keys() == {"rung", "as found", "seed_deviation", "pixel_deviation"}


@pytest.mark.usefixtures("calibrated_on")
def test_places_outside_the_calibrated_range_are_warned_of_by_name() -> None:
    fills = [fill(number) for number in (20, 50, 80) for _ in range(20)]
    assert drift_warnings(content_of(fills)) == []
    for record in fills[:40]:
        record["place"]["brightness"] = 130.0
    warning, _ = drift_warnings(content_of(fills))
    assert warning == "The brightness of 67% of 60 texts is unlike the calibration's: not within 0 to 110 grey levels."


@pytest.mark.usefixtures("calibrated_on")
def test_a_rung_that_was_never_calibrated_is_warned_of() -> None:
    assert drift_warnings(content_of([fill(50, "crayon")]))[0] == "The gate is not calibrated for the rung crayon."
