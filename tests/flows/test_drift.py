"""A run says where its input is unlike what the gate was calibrated on."""

from __future__ import annotations

import numpy as np

from flows.calibrate import DRIFT_FIGURES
from flows.drift import TOLERATED, warnings
from operators.gate import calibration, place_figures
from operators.mask import BLEND, CORE

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


def test_a_place_is_measured_by_its_ring_and_its_strokes() -> None:
    pixels, mask = np.full((80, 100, 3), 50, np.uint8), np.zeros((80, 100, 4), np.uint8)
    mask[30:40, 20:60, [CORE, BLEND]] = 255
    pixels[30:40, 20:60] = 255
    figures = place_figures(pixels, mask, 640)
    assert figures["mask_area"] == 10 * 40 / (80 * 100)
    assert 9 <= figures["stroke_thickness"] <= 11
    assert figures["brightness"] == 50.0
    assert figures["contrast"] == 0.0
    assert figures["size"] == 640.0
