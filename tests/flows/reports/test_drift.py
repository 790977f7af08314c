"""A run says where its input is unlike what the gate was calibrated on."""

from __future__ import annotations

from flows.evaluation.calibrate import DRIFT_FIGURES
from flows.reports.digest import Digest
from flows.reports.drift import TOLERATED, warnings
from operators.decisions.gate import calibration
from operators.metrics.surface import FIGURES

USUAL = {name: middle for name, (_, middle, _) in calibration()["inputs"].items()}


def test_the_calibrated_middle_does_not_drift() -> None:
    assert set(USUAL) == set(DRIFT_FIGURES)
    assert warnings([USUAL] * 4, ["patchmatch"]) == []


def test_a_figure_warns_once_more_than_the_tolerated_share_lies_outside() -> None:
    dark = {**USUAL, "brightness": calibration()["inputs"]["brightness"][2] + 1000}
    at_most = int(100 * TOLERATED)
    assert warnings([USUAL] * (100 - at_most) + [dark] * at_most, []) == []
    (line,) = warnings([USUAL] * (99 - at_most) + [dark] * (at_most + 1), [])
    assert line.startswith("brightness: 26% of the places lie outside the calibrated range ")


def test_a_rung_that_was_never_calibrated_is_named_once() -> None:
    assert warnings([], ["patchmatch", "crayon", "crayon"]) == ["rung crayon has no calibrated gate"]


def test_every_region_that_was_described_is_a_place() -> None:
    dark = {**USUAL, "brightness": calibration()["inputs"]["brightness"][2] + 1000}
    digest = Digest()
    regions = [{"metadata": list(place.items()), "checks": None} for place in (USUAL, dark)]
    row = {"verdict": "untouched", "failure": None, "timings": None, "path": "a.png"}
    for found in ([*regions, {"metadata": None, "checks": None}], None, []):
        digest.add({**row, "regions": found})
    (line,) = digest.drift.warnings([])
    assert line.startswith("brightness: 50% of the places ")


def test_describe_writes_every_figure_that_drift_is_judged_by() -> None:
    assert set(DRIFT_FIGURES) <= {figure.name for figure in FIGURES}
