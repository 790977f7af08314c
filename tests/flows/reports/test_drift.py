"""A run says where its input is unlike what the gate was calibrated on, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flows.evaluation.calibrate import DRIFT_FIGURES
from flows.reports.digest import Digest
from flows.reports.drift import ADVICE, LEAST_TEXTS, TOLERATED, warnings
from operators.metrics.surface import FIGURES

USUAL = {"brightness": 100.0, "texture": 20.0, "size": 640.0}
DARK = {**USUAL, "brightness": 9.0}
"""Outside 50..150 even if a quarter is added at both ends, which gives 25..175."""


@pytest.fixture(autouse=True)
def calibrated(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A calibration on pictures of one size, for the rung patchmatch."""

    def on(**inputs: list[float]) -> None:
        content: dict[str, Any] = {"inputs": inputs, "rungs": {"patchmatch": {}}}
        monkeypatch.setattr("flows.reports.drift.calibration", lambda: content)

    on(brightness=[50.0, 100.0, 150.0], texture=[0.0, 10.0, 40.0], size=[384.0, 384.0, 384.0])
    return on


def test_pictures_like_those_of_the_calibration_are_no_drift() -> None:
    assert warnings([USUAL] * 100, ["patchmatch"]) == []


def test_a_figure_that_never_varied_in_the_calibration_is_not_compared() -> None:
    assert warnings([{"size": 6000.0}] * 100, ["patchmatch"]) == []


def test_a_warning_names_the_figure_the_share_and_the_range_and_says_what_to_do() -> None:
    line, advice = warnings([USUAL] * 60 + [DARK] * 40, ["patchmatch"])
    assert line == "The brightness of 40% of 100 texts is unlike the calibration's: not within 25 to 175 grey levels."
    assert advice == ADVICE
    assert "cleanplate calibrate --suite" in advice


def test_a_figure_warns_once_more_than_the_tolerated_share_lies_outside() -> None:
    at_most = round(100 * TOLERATED)
    assert warnings([USUAL] * (100 - at_most) + [DARK] * at_most, []) == []
    assert len(warnings([USUAL] * (99 - at_most) + [DARK] * (at_most + 1), [])) == 2


def test_a_few_texts_say_nothing_about_a_kind_of_picture() -> None:
    assert warnings([DARK] * (LEAST_TEXTS - 1), []) == []
    assert len(warnings([DARK] * LEAST_TEXTS, [])) == 2


def test_texts_a_little_outside_the_percentiles_are_no_drift() -> None:
    for brightness, drifts in ((25.0, False), (24.9, True), (175.0, False), (175.1, True)):
        assert bool(warnings([{"brightness": brightness}] * 100, [])) == drifts


def test_a_range_that_would_begin_below_nothing_begins_at_nothing() -> None:
    line, _ = warnings([{"texture": 90.0}] * 100, [])
    assert line == "The texture of 100% of 100 texts is unlike the calibration's: not within 0 to 50 grey levels."


def test_a_rung_that_was_never_calibrated_is_named_once() -> None:
    assert warnings([], ["patchmatch", "crayon", "crayon"]) == ["The gate is not calibrated for the rung crayon.", ADVICE]


def test_a_calibration_without_inputs_is_compared_with_nothing(calibrated: Callable[..., None]) -> None:
    calibrated()
    assert warnings([DARK] * 100, ["patchmatch"]) == []


def test_every_region_that_was_described_is_a_place() -> None:
    digest = Digest()
    regions = [{"metadata": list(place.items()), "checks": None} for place in [USUAL] * 20 + [DARK] * 20]
    row = {"verdict": "untouched", "failure": None, "texts": None, "reasons": None, "timings": None, "path": "a.png"}
    for found in ([*regions, {"metadata": None, "checks": None}], None, []):
        digest.add({**row, "regions": found})
    line, _ = digest.drift.warnings([])
    assert line.startswith("The brightness of 50% of 40 texts ")


def test_describe_writes_every_figure_that_drift_is_judged_by() -> None:
    assert set(DRIFT_FIGURES) <= {figure.name for figure in FIGURES}
