"""A model of a fill's measurements predicts how far the fill looks from the truth."""

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
from operators.decisions.gate import (
    MOST_ERROR,
    OFFSET,
    REACH,
    UNLIKE,
    Model,
    area_under_curve,
    calibration,
    features,
    fit_model,
    model_of,
    promises,
)
from operators.masks.mask import BLEND, CORE
from operators.metrics.fills import measure_fill

check = settings(deadline=None, max_examples=40)


def mask(hole: np.ndarray) -> np.ndarray:
    """A region's mask whose core and blend are the hole."""
    result = np.zeros((*hole.shape, 4), np.uint8)
    result[hole, CORE] = result[hole, BLEND] = 255
    return result


HOLE = np.zeros((120, 160), bool)
HOLE[45:75, 50:110] = True
NOISE = np.random.default_rng(1).integers(60, 200, (120, 160, 3)).astype(np.uint8)
"""A picture with the same noise everywhere, so that it needs no better fill."""
USUAL = measure_fill(NOISE, NOISE, mask(HOLE), 0.0)


def examples(name: str, values: list[float]) -> list[dict[str, float]]:
    """Usual measurements, except that the named one has these values."""
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
    area = area_under_curve(badness, bad)
    pairs = [(bad_value, good) for bad_value, is_bad in items if is_bad for good, also_bad in items if not also_bad]
    if not pairs:
        assert math.isnan(area)
    else:
        count = sum((bad_value > good) + 0.5 * (bad_value == good) for bad_value, good in pairs)
        assert area == pytest.approx(count / len(pairs), abs=1e-12)


def test_without_both_kinds_there_is_no_curve() -> None:
    for bad in ([True, True], [False, False], []):
        assert math.isnan(area_under_curve(np.array([0.1, 0.2][: len(bad)]), np.array(bad, bool)))


def test_without_a_ridge_the_error_of_each_example_is_repeated() -> None:
    values, errors = [0.1, 0.4, 0.8, 1.6], [0.9, 0.1, 2.0, 0.3]
    model = fit_model(examples("residual_text", values), errors, bound=0.1, ridge=1e-9)
    predicted = [model.predicted_error(example) for example in examples("residual_text", values)]
    assert predicted == pytest.approx(errors, rel=0.02)


@pytest.mark.parametrize("name", ["seam", "colour_shift", "residual_text", "spread", "trial", "flat_apart", "stain_apart"])
def test_the_prediction_rises_with_a_measurement_that_is_higher_in_worse_fills(name: str) -> None:
    values = [0.1 * step for step in range(1, 11)]
    model = fit_model(examples(name, values), [0.02 * step for step in range(1, 11)], bound=0.1)
    predicted = [model.predicted_error(example) for example in examples(name, values[1:-1])]
    assert (np.diff(predicted) > 0).all()


def test_a_fill_that_is_unlike_all_examples_is_predicted_to_be_bad() -> None:
    model = fit_model(examples("seam", [1.0, 1.1, 3.0, 3.2]), [0.01, 0.02, 0.03, 0.04], bound=0.1)
    unlike = {name: value + 90.0 for name, value in USUAL.items()}
    assert model.predicted_error(unlike) == pytest.approx(UNLIKE, rel=0.05)
    assert model.predicted_error({**USUAL, "seam": 1.0}) < 0.1


def test_errors_beyond_the_most_count_as_the_most() -> None:
    models = [fit_model(examples("seam", [1.0, 3.0]), [0.1, worst], bound=0.1) for worst in (MOST_ERROR, 500.0)]
    assert models[0] == models[1]


def test_too_little_detail_is_as_bad_as_too_much() -> None:
    bands = examples("band_1", [-3.0, -2.0, 0.0, 0.2, 2.0, 3.0])
    model = fit_model(bands, [0.3, 0.2, 0.01, 0.02, 0.2, 0.3], bound=0.1)
    low, none, high = (model.predicted_error({**USUAL, "band_1": value}) for value in (-2.5, 0.0, 2.5))
    assert low == high > none


@check
@given(st.floats(0, 100))
def test_a_prediction_is_never_negative(seam: float) -> None:
    model = fit_model(examples("seam", [1.0, 2.0, 4.0]), [0.0, 0.0, 3.0], bound=0.1, ridge=1e-6)
    assert model.predicted_error({**USUAL, "seam": seam}) >= 0.0


def test_two_examples_and_a_ridge_have_their_worked_prediction() -> None:
    model = fit_model(examples("residual_text", [0.0, 1.0]), [0.4 - OFFSET, 1.6 - OFFSET], bound=0.1, ridge=2.0)
    predicted = [model.predicted_error(example) for example in examples("residual_text", [0.0, 2**0.5 - 1, 1.0])]
    # Both lie a standard deviation from the mean, on either side of it.
    other, middle, unlike = math.exp(-2 / REACH), 2 * math.exp(-1 / REACH), UNLIKE + OFFSET
    apart, together = (1 - other) / (1 - other + 2.0), 1 / (1 + other + 2.0)
    at_both, between = (unlike * (0.8 / unlike) ** (share * together) for share in (1 + other, middle))
    expected = (at_both * 2**-apart, between, at_both * 2**apart)
    assert predicted == pytest.approx([error - OFFSET for error in expected], rel=1e-4)


def test_examples_that_can_be_parted_are_ranked_without_a_mistake() -> None:
    values = [1.0, 1.1, 1.2, 1.3, 3.0, 3.2, 3.4, 3.6]
    model = fit_model(examples("seam", values), [0.02] * 4 + [0.3] * 4, bound=0.1)
    predicted = np.array([model.predicted_error(example) for example in examples("seam", values)])
    assert area_under_curve(predicted, np.array(values) > 2) == 1.0


def test_the_bound_is_kept_as_given_and_does_not_bend_the_fit() -> None:
    pair = examples("seam", [1.0, 3.0])
    strict, lenient = (fit_model(pair, [0.02, 0.3], bound) for bound in (0.05, 0.5))
    assert (strict.bound, lenient.bound) == (0.05, 0.5)
    assert (strict.weights, strict.bias) == (lenient.weights, lenient.bias)


def test_a_stronger_ridge_draws_the_prediction_towards_that_of_what_is_unlike_all_examples() -> None:
    values, distances = [1.0, 1.2, 3.0, 3.2], [0.01, 0.02, 0.3, 0.4]
    loose, tight = (fit_model(examples("seam", values), distances, 0.1, ridge) for ridge in (0.1, 1000.0))
    worst = {**USUAL, "seam": 3.2}
    assert loose.predicted_error(worst) < tight.predicted_error(worst) < UNLIKE


def test_an_unmeasured_value_counts_as_zero() -> None:
    model = fit_model(examples("seam", [1.0, 1.1, 3.0, 3.2]), [0.01, 0.02, 0.3, 0.4], bound=0.1)
    for name in USUAL:
        unknown, nothing = {**USUAL, name: math.nan}, {**USUAL, name: 0.0}
        assert np.array_equal(features(unknown), features(nothing))
        assert model.predicted_error(unknown) == model.predicted_error(nothing)
    assert math.isfinite(model.predicted_error(dict.fromkeys(USUAL, math.nan)))


def test_every_measurement_reaches_the_model() -> None:
    measured = {**USUAL, "structure": 0.0}
    base = features(measured)
    assert len(base) == len(measured)
    moved = [np.flatnonzero(features({**measured, name: measured[name] + 1.5}) != base).tolist() for name in measured]
    assert sorted(moved) == [[index] for index in range(len(USUAL))]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_edit_without_surroundings_is_judged_all_the_same() -> None:
    measurements = measure_fill(NOISE, NOISE, mask(np.ones((120, 160), bool)), 0.0)
    model = fit_model(examples("seam", [1.0, 1.1, 3.0, 3.2]), [0.01, 0.02, 0.3, 0.4], bound=0.1)
    assert 0 <= model.predicted_error(measurements) < 10


def test_a_model_comes_back_from_its_file_to_the_last_digit(tmp_path: Path) -> None:
    model = fit_model(examples("seam", [1.0, 1.1, 3.0, 3.2]), [0.01, 0.02, 0.3, 0.4], bound=0.1)
    write_calibration({"suite": "mine", "rungs": {"telea": {"model": asdict(model)}}}, tmp_path / "gate.json")
    read = Model(**calibration(tmp_path / "gate.json")["rungs"]["telea"]["model"])
    assert read == model
    assert read.predicted_error(USUAL) == model.predicted_error(USUAL)


@pytest.mark.parametrize(("plain", "share"), [(0.0, 1.0), (0.89, 1.0), (0.9, 1.25), (1.0, 1.25)])
def test_more_error_may_be_predicted_where_a_fill_was_compared_with_plain_ground(plain: float, share: float) -> None:
    model = fit_model(examples("seam", [1.0, 3.0]), [0.1, 0.4], bound=0.4)
    assert model.bound_of({**USUAL, "plain": plain}) == pytest.approx(0.4 * share)


def test_without_a_file_no_rung_is_calibrated(tmp_path: Path) -> None:
    assert calibration(tmp_path / "none.json") == {"rungs": {}}
    assert model_of("crayon") is None


def test_the_shipped_calibration_names_its_suite_and_judges_the_usual_fill() -> None:
    content = json.loads(json.dumps(calibration()))
    assert {"suite", "suite_checksum", "date", "bad_error", "rungs"} <= content.keys()
    for rung, entry in content["rungs"].items():
        model = model_of(rung)
        assert model is not None
        assert model == Model(**entry["model"])
        assert {len(part) for part in (model.mean, model.scale, *model.examples)} == {len(features(USUAL))}
        assert len(model.weights) == len(model.examples)
        assert 0 <= model.predicted_error(USUAL) < 10
        assert 0 < model.bound <= content["bad_error"]


def test_a_rung_that_was_calibrated_before_there_were_promises_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    promise = {"set": "report", "kept": 100, "bad": 1, "most_bad": 0.046, "confidence": 0.95}
    content = {"rungs": {"old": {"model": {}}, "new": {"model": {}, "promise": promise}}}
    monkeypatch.setattr("operators.decisions.gate.calibration", lambda: content)
    assert promises() == {"new": promise}
