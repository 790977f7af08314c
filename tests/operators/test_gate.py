"""The gate measures fills without the truth, and a logistic model of those measurements says which are bad."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.calibrate import write_calibration
from operators.gate import Model, area_under_curve, best_threshold, calibration, features, fitted, measured, model_of
from operators.mask import BLEND, CORE

check = settings(deadline=None, max_examples=40)


def mask(hole: np.ndarray) -> np.ndarray:
    """A region's mask whose core and blend are the hole."""
    found = np.zeros((*hole.shape, 4), np.uint8)
    found[hole, CORE] = found[hole, BLEND] = 255
    return found


HOLE = np.zeros((120, 160), bool)
HOLE[45:75, 50:110] = True
NOISE = np.random.default_rng(1).integers(60, 200, (120, 160, 3)).astype(np.uint8)
"""The same kind of noise everywhere."""
USUAL = measured(NOISE, mask(HOLE), 0.0, 0.0)


def examples(name: str, values: list[float]) -> list[dict[str, float]]:
    """Measurements that differ in one of them only."""
    return [{**USUAL, name: value} for value in values]


THRESHOLDS = {
    "parted in the middle": ([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 0.5),
    "parted whatever the order": ([0.9, 0.2, 0.8, 0.1], [True, False, True, False], 0.5),
    "one good above one bad": ([0.1, 0.6, 0.4, 0.9], [False, False, True, True], 0.25),
    "more good below": ([0.1, 0.2, 0.3, 0.6, 0.5, 0.7], [False, False, False, False, True, True], 0.4),
    "the bad ones as sure as can be": ([0.25, 1.0], [False, True], 0.625),
    "all good": ([0.1, 0.7, 0.999], [False, False, False], 1.0),
}


@pytest.mark.parametrize(("badness", "bad", "threshold"), THRESHOLDS.values(), ids=THRESHOLDS)
def test_the_threshold_is_midway_across_the_best_gap(badness: list[float], bad: list[bool], threshold: float) -> None:
    assert best_threshold(np.array(badness), np.array(bad)) == pytest.approx(threshold, abs=1e-12)


labelled = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=25)


@check
@given(labelled)
def test_no_other_threshold_above_the_lowest_badness_parts_better(items: list[tuple[int, bool]]) -> None:
    badness, bad = np.array([value / 8 for value, _ in items]), np.array([flag for _, flag in items])
    if bad.all() or not bad.any():
        return

    def index(threshold: float) -> float:
        refused = badness > threshold
        return float(refused[bad].mean() - refused[~bad].mean())

    found = index(best_threshold(badness, bad))
    assert found == pytest.approx(max(index(threshold) for threshold in badness), abs=1e-12)


CURVES = {
    "parted": ([0.1, 0.2, 0.8, 0.9], [False, False, True, True], 1.0),
    "parted the wrong way": ([0.8, 0.9, 0.1], [False, False, True], 0.0),
    "one of four pairs wrong": ([0.1, 0.6, 0.4, 0.9], [False, False, True, True], 0.75),
    "all ties": ([0.5, 0.5, 0.5], [False, True, True], 0.5),
    "one tie of two": ([0.2, 0.4, 0.4], [False, False, True], 0.75),
}


@pytest.mark.parametrize(("badness", "bad", "area"), CURVES.values(), ids=CURVES)
def test_the_area_under_the_curve_has_its_worked_value(badness: list[float], bad: list[bool], area: float) -> None:
    assert area_under_curve(np.array(badness), np.array(bad)) == area


@check
@given(labelled)
def test_the_area_under_the_curve_is_the_share_of_pairs_in_order(items: list[tuple[int, bool]]) -> None:
    badness, bad = np.array([value / 8 for value, _ in items]), np.array([flag for _, flag in items])
    found = area_under_curve(badness, bad)
    pairs = [(one, other) for one, is_bad in items if is_bad for other, also in items if not also]
    if not pairs:
        assert math.isnan(found)
    else:
        count = sum(1.0 if one > other else 0.5 if one == other else 0.0 for one, other in pairs)
        assert found == pytest.approx(count / len(pairs), abs=1e-12)


def test_without_both_kinds_there_is_no_curve() -> None:
    for bad in ([True, True], [False, False], []):
        assert math.isnan(area_under_curve(np.array([0.1, 0.2][: len(bad)]), np.array(bad, bool)))


def test_separable_examples_are_parted_without_a_mistake() -> None:
    values = [1.0, 1.1, 1.2, 1.3, 3.0, 3.2, 3.4, 3.6]
    bad = [value > 2 for value in values]
    model = fitted(examples("seam", values), bad)
    badness = np.array([model.badness(example) for example in examples("seam", values)])
    assert ((badness > model.threshold) == bad).all()
    assert area_under_curve(badness, np.array(bad)) == 1.0


@pytest.mark.parametrize("name", ["seam", "colour_shift", "residual_text", "spread", "trial"])
def test_badness_rises_with_what_the_bad_examples_have_more_of(name: str) -> None:
    values = [0.1 * step for step in range(1, 11)]
    model = fitted(examples(name, values), [step > 5 for step in range(1, 11)])
    badness = [model.badness(example) for example in examples(name, [0.05, *values, 1.5])]
    assert (np.diff(badness) > 0).all()
    assert 0 < badness[0] < 0.5 < badness[-1] < 1


def test_too_little_detail_is_as_bad_as_too_much() -> None:
    model = fitted(examples("band_1", [-3.0, -2.0, 0.0, 0.2, 2.0, 3.0]), [True, True, False, False, True, True])
    low, none, high = (model.badness({**USUAL, "band_1": value}) for value in (-2.5, 0.0, 2.5))
    assert low == high > none


def test_when_all_examples_are_good_nothing_is_refused() -> None:
    values = [0.5, 1.0, 2.0, 4.0]
    model = fitted(examples("seam", values), [False] * 4)
    assert model.threshold == 1.0
    assert all(model.badness(example) < 0.5 for example in examples("seam", [*values, 100.0]))


def test_a_balanced_logistic_fit_of_one_measurement_has_its_worked_probability() -> None:
    model = fitted(examples("residual_text", [0.0, 1.0]), [False, True], ridge=2.0)
    badness = [model.badness(example) for example in examples("residual_text", [0.0, 0.5, 1.0])]
    assert badness[1] == pytest.approx(0.5, abs=1e-6)
    weight = max(model.weights)
    assert 2 * (1 / (1 + math.exp(-weight)) - 1) + 2.0 * weight == pytest.approx(0, abs=1e-4)
    assert badness[2] == pytest.approx(1 / (1 + math.exp(-weight)), abs=1e-4)


def test_a_stronger_ridge_draws_badness_towards_the_share_of_bad_examples() -> None:
    values, bad = [1.0, 1.2, 3.0, 3.2], [False, False, True, True]
    loose, tight = (fitted(examples("seam", values), bad, ridge) for ridge in (0.1, 100.0))
    worst = {**USUAL, "seam": 3.2}
    assert 0.5 < tight.badness(worst) < loose.badness(worst)


def test_what_could_not_be_measured_counts_as_nothing() -> None:
    model = fitted(examples("seam", [1.0, 1.1, 3.0, 3.2]), [False, False, True, True])
    for name in USUAL:
        unknown, nothing = {**USUAL, name: math.nan}, {**USUAL, name: 0.0}
        assert np.array_equal(features(unknown), features(nothing))
        assert model.badness(unknown) == model.badness(nothing)
    assert math.isfinite(model.badness(dict.fromkeys(USUAL, math.nan)))


def test_every_measurement_reaches_the_model() -> None:
    base = features(USUAL)
    assert len(base) == len(USUAL)
    moved = [np.flatnonzero(features({**USUAL, name: USUAL[name] + 1.5}) != base).tolist() for name in USUAL]
    assert sorted(moved) == [[index] for index in range(len(USUAL))]


def test_a_fill_like_its_surroundings_measures_as_no_edit_at_all() -> None:
    assert all(abs(USUAL[f"band_{octave}"]) < 0.2 for octave in range(2))
    assert abs(USUAL["band_2"]) < 0.5
    assert abs(USUAL["band_3"]) < 1
    assert USUAL["seam"] == pytest.approx(1.0, abs=0.1)
    assert USUAL["colour_shift"] < 1.5
    assert USUAL["residual_text"] == 0.0


def test_a_flat_picture_has_nothing_to_measure() -> None:
    found = measured(np.full((120, 160, 3), 90, np.uint8), mask(HOLE), 0.25, 0.125)
    for octave in range(4):
        assert found[f"band_{octave}"] == pytest.approx(0, abs=1e-9)
        assert found[f"ring_{octave}"] == pytest.approx(0, abs=1e-9)
    assert found["seam"] == 1.0
    assert found["colour_shift"] == pytest.approx(0, abs=0.01)
    assert found["spread"] == 0.0
    assert found["trial"] == 0.0
    assert found["residual_text"] == 0.25
    assert found["residual_strokes"] == 0.125


def test_the_place_is_measured_by_its_area_and_thickness_in_octaves() -> None:
    assert USUAL["area"] == pytest.approx(math.log2(30 * 60 + 1), abs=1e-9)
    assert USUAL["thickness"] == pytest.approx(math.log2(15 + 1), abs=0.1)
    assert USUAL["coverage"] == pytest.approx(math.log2(30 * 60 / (62 * 92) + 0.01), abs=1e-9)


def test_a_smear_lacks_fine_detail_and_a_foreign_patch_shows_its_colour_and_seam() -> None:
    smear, patch = NOISE.copy(), NOISE.copy()
    smear[HOLE], patch[HOLE] = 130, (255, 0, 0)
    smooth, foreign, fine = (measured(picture, mask(HOLE), 0.0, 0.0) for picture in (smear, patch, NOISE))
    assert smooth["band_0"] < -3
    assert foreign["colour_shift"] > 40
    assert foreign["seam"] > smooth["seam"]
    assert smooth["ring_0"] == pytest.approx(fine["ring_0"], abs=0.02)


def test_the_trial_says_how_hard_the_place_is_and_not_how_good_the_fill_is() -> None:
    slope = np.repeat(np.linspace(60, 200, 160)[None], 120, axis=0)
    slope = np.repeat(slope[:, :, None], 3, axis=2).astype(np.uint8)
    blotted = NOISE.copy()
    blotted[HOLE] = 255
    easy, hard, filled_badly = (measured(picture, mask(HOLE), 0.0, 0.0)["trial"] for picture in (slope, NOISE, blotted))
    assert 0 <= easy < 5 < 9 < hard
    assert filled_badly == pytest.approx(hard, abs=0.5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_edit_without_surroundings_cannot_be_compared_and_is_judged_all_the_same() -> None:
    found = measured(NOISE, mask(np.ones((120, 160), bool)), 0.0, 0.0)
    assert math.isnan(found["seam"])
    assert math.isnan(found["colour_shift"])
    assert all(math.isnan(found[f"band_{octave}"]) for octave in range(4))
    assert math.isnan(found["trial"])
    model = fitted(examples("seam", [1.0, 1.1, 3.0, 3.2]), [False, False, True, True])
    assert 0 <= model.badness(found) <= 1


def test_a_model_comes_back_from_its_file_to_the_last_digit(tmp_path: Path) -> None:
    model = fitted(examples("seam", [1.0, 1.1, 3.0, 3.2]), [False, False, True, True])
    write_calibration({"suite": "mine", "rungs": {"telea": {"model": asdict(model)}}}, tmp_path / "gate.json")
    read = Model(**calibration(tmp_path / "gate.json")["rungs"]["telea"]["model"])
    assert read == model
    assert read.badness(USUAL) == model.badness(USUAL)


def test_without_a_file_no_rung_is_calibrated(tmp_path: Path) -> None:
    assert calibration(tmp_path / "none.json") == {"rungs": {}}
    assert model_of("crayon") is None


def test_the_shipped_calibration_names_its_suite_and_judges_the_usual_fill() -> None:
    content = json.loads(json.dumps(calibration()))
    assert {"suite", "suite_checksum", "date", "bad_perceptual_distance", "rungs"} <= content.keys()
    for rung, found in content["rungs"].items():
        model = model_of(rung)
        assert model is not None
        assert model == Model(**found["model"])
        assert len(model.mean) == len(model.scale) == len(model.weights) == len(features(USUAL))
        assert 0 <= model.badness(USUAL) <= 1
        assert 0 < model.threshold <= 1
