"""The gate measures fills without the truth, and a model of those measurements predicts how far
they look from it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluation.calibrate import write_calibration
from operators.decisions.gate import OFFSET, Model, area_under_curve, calibration, features, fit_model, model_of
from operators.masks.mask import BLEND, CORE
from operators.metrics.fills import Surroundings, measure_fill

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
USUAL = measure_fill(NOISE, mask(HOLE), 0.0, 0.0)


def examples(name: str, values: list[float]) -> list[dict[str, float]]:
    """Measurements that differ in one of them only."""
    return [{**USUAL, name: value} for value in values]


labelled = st.lists(st.tuples(st.integers(0, 8), st.booleans()), min_size=1, max_size=25)


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


def test_what_follows_from_one_measurement_is_predicted_exactly_without_a_ridge() -> None:
    values = [0.1, 0.4, 0.8, 1.6]
    distances = [2 ** (3 * value - 6) - OFFSET for value in values]
    model = fit_model(examples("residual_text", values), distances, bound=0.1, ridge=1e-9)
    predicted = [model.predicted_distance(example) for example in examples("residual_text", [*values, 1.2])]
    assert predicted == pytest.approx([*distances, 2 ** (3 * 1.2 - 6) - OFFSET], rel=1e-5)


@pytest.mark.parametrize("name", ["seam", "colour_shift", "residual_text", "spread", "trial"])
def test_the_prediction_rises_with_what_worse_fills_have_more_of(name: str) -> None:
    values = [0.1 * step for step in range(1, 11)]
    model = fit_model(examples(name, values), [0.02 * step for step in range(1, 11)], bound=0.1)
    predicted = [model.predicted_distance(example) for example in examples(name, [0.05, *values, 1.5])]
    assert (np.diff(predicted) > 0).all()


def test_too_little_detail_is_as_bad_as_too_much() -> None:
    made = examples("band_1", [-3.0, -2.0, 0.0, 0.2, 2.0, 3.0])
    model = fit_model(made, [0.3, 0.2, 0.01, 0.02, 0.2, 0.3], bound=0.1)
    low, none, high = (model.predicted_distance({**USUAL, "band_1": value}) for value in (-2.5, 0.0, 2.5))
    assert low == high > none


def test_a_prediction_is_never_negative() -> None:
    model = fit_model(examples("seam", [1.0, 2.0]), [0.0, 0.5], bound=0.1, ridge=1e-6)
    assert model.predicted_distance({**USUAL, "seam": -0.9}) == 0.0


def test_two_examples_and_a_ridge_have_their_worked_prediction() -> None:
    model = fit_model(examples("residual_text", [0.0, 1.0]), [0.04 - OFFSET, 0.16 - OFFSET], bound=0.1, ridge=2.0)
    predicted = [model.predicted_distance(example) for example in examples("residual_text", [0.0, 0.5, 1.0])]
    assert predicted == pytest.approx([0.08 * 2**power - OFFSET for power in (-0.5, 0, 0.5)], rel=1e-5)


def test_examples_that_are_all_as_good_predict_just_that() -> None:
    model = fit_model(examples("seam", [0.5, 1.0, 2.0, 4.0]), [0.03] * 4, bound=0.1)
    for value in (0.5, 3.0, 100.0):
        assert model.predicted_distance({**USUAL, "seam": value}) == pytest.approx(0.03, rel=1e-6)


def test_examples_that_can_be_parted_are_ranked_without_a_mistake() -> None:
    values = [1.0, 1.1, 1.2, 1.3, 3.0, 3.2, 3.4, 3.6]
    model = fit_model(examples("seam", values), [0.02] * 4 + [0.3] * 4, bound=0.1)
    predicted = np.array([model.predicted_distance(example) for example in examples("seam", values)])
    assert area_under_curve(predicted, np.array(values) > 2) == 1.0


def test_the_bound_is_kept_as_given_and_does_not_bend_the_fit() -> None:
    pair = examples("seam", [1.0, 3.0])
    one, other = (fit_model(pair, [0.02, 0.3], bound) for bound in (0.05, 0.5))
    assert (one.bound, other.bound) == (0.05, 0.5)
    assert (one.weights, one.bias) == (other.weights, other.bias)


def test_a_stronger_ridge_draws_the_prediction_towards_the_mean_of_the_logarithms() -> None:
    values, distances = [1.0, 1.2, 3.0, 3.2], [0.01, 0.02, 0.3, 0.4]
    loose, tight = (fit_model(examples("seam", values), distances, 0.1, ridge) for ridge in (0.1, 1000.0))
    middle = 2 ** np.mean(np.log2(np.array(distances) + OFFSET)) - OFFSET
    worst = {**USUAL, "seam": 3.2}
    assert middle < tight.predicted_distance(worst) < loose.predicted_distance(worst)


def test_what_could_not_be_measured_counts_as_nothing() -> None:
    model = fit_model(examples("seam", [1.0, 1.1, 3.0, 3.2]), [0.01, 0.02, 0.3, 0.4], bound=0.1)
    for name in USUAL:
        unknown, nothing = {**USUAL, name: math.nan}, {**USUAL, name: 0.0}
        assert np.array_equal(features(unknown), features(nothing))
        assert model.predicted_distance(unknown) == model.predicted_distance(nothing)
    assert math.isfinite(model.predicted_distance(dict.fromkeys(USUAL, math.nan)))


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
    found = measure_fill(np.full((120, 160, 3), 90, np.uint8), mask(HOLE), 0.25, 0.125)
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
    smooth, foreign, fine = (measure_fill(picture, mask(HOLE), 0.0, 0.0) for picture in (smear, patch, NOISE))
    assert smooth["band_0"] < -3
    assert foreign["colour_shift"] > 40
    assert foreign["seam"] > smooth["seam"]
    assert smooth["ring_0"] == pytest.approx(fine["ring_0"], abs=0.02)


def test_the_trial_says_how_hard_the_place_is_and_not_how_good_the_fill_is() -> None:
    slope = np.repeat(np.linspace(60, 200, 160)[None], 120, axis=0)
    slope = np.repeat(slope[:, :, None], 3, axis=2).astype(np.uint8)
    blotted = NOISE.copy()
    blotted[HOLE] = 255
    easy, hard, filled_badly = (measure_fill(picture, mask(HOLE), 0.0, 0.0)["trial"] for picture in (slope, NOISE, blotted))
    assert 0 <= easy < 5
    assert hard > 9
    assert filled_badly == pytest.approx(hard, abs=0.5)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_edit_without_surroundings_cannot_be_compared_and_is_judged_all_the_same() -> None:
    found = measure_fill(NOISE, mask(np.ones((120, 160), bool)), 0.0, 0.0)
    assert math.isnan(found["seam"])
    assert math.isnan(found["colour_shift"])
    assert all(math.isnan(found[f"band_{octave}"]) for octave in range(4))
    assert math.isnan(found["trial"])
    model = fit_model(examples("seam", [1.0, 1.1, 3.0, 3.2]), [0.01, 0.02, 0.3, 0.4], bound=0.1)
    assert 0 <= model.predicted_distance(found) < 10


def test_a_model_comes_back_from_its_file_to_the_last_digit(tmp_path: Path) -> None:
    model = fit_model(examples("seam", [1.0, 1.1, 3.0, 3.2]), [0.01, 0.02, 0.3, 0.4], bound=0.1)
    write_calibration({"suite": "mine", "rungs": {"telea": {"model": asdict(model)}}}, tmp_path / "gate.json")
    read = Model(**calibration(tmp_path / "gate.json")["rungs"]["telea"]["model"])
    assert read == model
    assert read.predicted_distance(USUAL) == model.predicted_distance(USUAL)


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
        assert 0 <= model.predicted_distance(USUAL) < 10
        assert model.bound == content["bad_perceptual_distance"]


def test_the_border_of_an_edit_is_its_faded_rim_and_no_stroke_of_another_region() -> None:
    mask = np.zeros((40, 40, 4), np.uint8)
    mask[8:22, 8:22, CORE], mask[8:22, 8:22, BLEND], mask[10:20, 10:20, BLEND] = 255, 60, 255
    mask[10:20, 22:30, CORE] = 255
    place = Surroundings.of(mask)
    assert place.edited.sum() == 100
    assert place.border[9, 10:20].all() and place.border[10:20, 20].all()
    assert not place.border[10:20, 22:30].any()
