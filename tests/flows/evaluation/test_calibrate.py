"""The gate's calibration: fitted on one set, judged on the other, written to the file that `verify`
reads.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flows.evaluation.calibrate import (
    BAD,
    DRIFT_FIGURES,
    OTHER_BOUNDS,
    TARGET,
    calibrate,
    check_promises,
    input_statistics,
    is_bad,
    promise_of,
    without_nan,
    write_calibration,
)
from flows.evaluation.suite import Suite
from operators.decisions.gate import Model, calibration, features
from operators.decisions.risk import clopper_pearson_upper
from operators.metrics.fills import measure_fill

Content = dict[str, Any]


@pytest.fixture(scope="module")
def content(suite: Suite) -> Content:
    return calibrate(suite, ("telea",), 2)


def usual_measurements() -> dict[str, float]:
    mask = np.zeros((60, 60, 4), np.uint8)
    mask[20:40, 20:40, :2] = 255
    grey = np.full((60, 60, 3), 128, np.uint8)
    return measure_fill(grey, grey, mask, 0.0)


def test_a_calibration_says_on_which_suite_and_when_it_was_made(content: Content, suite: Suite) -> None:
    assert content["suite"] == "mine"
    assert content["suite_checksum"] == suite.checksum
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", content["date"])
    assert content["bad_error"] == BAD
    assert list(content["rungs"]) == ["telea"]


def test_the_regions_of_both_sets_are_judged_apart(content: Content) -> None:
    rung = content["rungs"]["telea"]
    assert rung["tune"]["regions"] == 2
    assert rung["report"]["regions"] == 1
    assert {bucket: judged["regions"] for bucket, judged in rung["report_buckets"].items()} == {"seen": 1}
    assert json.dumps(rung["report_buckets"]["seen"]) == json.dumps(rung["report"])


def test_the_hard_place_is_predicted_to_be_further_from_the_truth_than_the_easy_one(content: Content) -> None:
    tune = content["rungs"]["telea"]["tune"]
    assert set(tune["auc_by_bound"]) == {str(bound) for bound in OTHER_BOUNDS}
    ranked = [area for area in (tune["auc"], *tune["auc_by_bound"].values()) if area is not None and not math.isnan(area)]
    assert ranked
    assert set(ranked) == {1.0}


def test_what_is_kept_and_what_is_refused_are_shares(content: Content) -> None:
    for judged in (content["rungs"]["telea"]["tune"], content["rungs"]["telea"]["report"]):
        assert 0 <= judged["bad"] <= judged["regions"]
        assert 0 <= judged["wrongly_refused"] <= 1
        assert 0 <= judged["wrongly_kept"] <= 1
        assert judged["mean_error_of_all"] > 0


def test_the_model_fits_the_measurements_that_the_gate_makes(content: Content) -> None:
    model = Model(**content["rungs"]["telea"]["model"])
    assert 0 <= model.bound <= BAD
    assert all(math.isfinite(value) for value in (*model.mean, *model.scale, *model.weights, model.bias))
    assert {len(part) for part in (model.mean, model.scale, *model.examples)} == {len(features(usual_measurements()))}
    assert len(model.weights) == len(model.examples)
    assert model.predicted_error(usual_measurements()) >= 0


def test_the_inputs_are_remembered_by_their_1st_50th_and_99th_percentile() -> None:
    records = [{"place": {name: float(value) for name in DRIFT_FIGURES}} for value in range(101)]
    assert input_statistics(records) == {name: [1.0, 50.0, 99.0] for name in DRIFT_FIGURES}


def test_the_calibration_of_a_suite_remembers_its_inputs(content: Content) -> None:
    assert content["inputs"].keys() == set(DRIFT_FIGURES)
    for low, middle, high in content["inputs"].values():
        assert low <= middle <= high
    assert 100 < content["inputs"]["brightness"][2] <= 255


def test_a_calibration_comes_back_from_its_file_as_it_was(content: Content, tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    write_calibration(content, path)
    read = calibration(path)
    assert json.dumps(read) == json.dumps(without_nan(content))
    assert Model(**read["rungs"]["telea"]["model"]) == Model(**content["rungs"]["telea"]["model"])


def test_a_calibration_file_is_json_that_any_reader_takes(content: Content, tmp_path: Path) -> None:
    write_calibration(content, tmp_path / "gate.json")

    def refuse(constant: str) -> float:
        raise AssertionError(f"{constant} is no JSON")

    read = json.loads((tmp_path / "gate.json").read_text(), parse_constant=refuse)
    assert read == without_nan(content)


def test_a_rung_promises_what_the_accepted_fills_of_the_reported_set_allow(content: Content) -> None:
    rung = content["rungs"]["telea"]
    assert content["target"] == TARGET
    promise = rung["promise"]
    assert (promise["set"], promise["confidence"]) == ("report", 0.95)
    assert promise["bad"] <= promise["kept"] <= rung["report"]["regions"]
    assert promise["most_bad"] == clopper_pearson_upper(promise["bad"], promise["kept"], 0.95)
    assert (promise["target"], promise["target_met"]) == (TARGET, False)
    measured = {name: promise[name] for name in ("set", "kept", "bad", "most_bad", "confidence")}
    assert rung["promise_buckets"] == {"seen": measured}


def test_the_promise_is_checked_on_the_set_that_nothing_is_chosen_on(content: Content, suite: Suite) -> None:
    lenient = {"telea": {"model": {**content["rungs"]["telea"]["model"], "bound": 1000.0}}}
    checked = check_promises(suite, {**content, "rungs": lenient}, 1)  # type: ignore[typeddict-item]
    assert checked == {"telea": {"set": "promise", "kept": 1, "bad": 0, "most_bad": pytest.approx(0.95), "confidence": 0.95}}


def test_a_suite_without_the_set_promise_has_no_promise_to_check(content: Content, suite: Suite) -> None:
    with pytest.raises(ValueError, match="suite mine has no regions with a known truth in the set promise"):
        check_promises(suite.only(["tune", "report"]), content, 1)  # type: ignore[arg-type]


def judged_fill(error: float, **measured: float) -> Any:
    return {
        "rung": "telea",
        "file": f"{error}.png",
        "measured": {**usual_measurements(), **measured},
        "figures": {"visible_error": error},
    }


def test_a_fill_is_bad_from_the_first_error_above_the_bound() -> None:
    assert [is_bad(judged_fill(error)) for error in (0.0, BAD, BAD + 0.01)] == [False, False, True]
    assert not is_bad(judged_fill(1.5), 2.0)
    assert is_bad(judged_fill(math.nan))


def test_only_fills_that_every_check_accepts_are_promised() -> None:
    good = [judged_fill(0.2) for _ in range(58)]
    size = len(features(usual_measurements()))
    model = Model([0.0] * size, [1.0] * size, [[0.0] * size], [0.0], -2.0, BAD)
    refused = [judged_fill(3.0, residual_text=9.0), judged_fill(3.0, structure=50.0)]
    promise = promise_of(model, [*good, judged_fill(1.2), *refused], BAD)
    assert (promise["kept"], promise["bad"]) == (59, 1)
    assert promise["most_bad"] == pytest.approx(0.0779, abs=1e-3)
    strict = promise_of(replace(model, bound=0.1), good, BAD)
    assert (strict["kept"], strict["most_bad"]) == (0, 1.0)


def fill(number: int, error: float, **measured: float) -> Any:
    """One fill of the tuning set with these measurements, and what a person would see of it."""
    place = dict.fromkeys(DRIFT_FIGURES, 1.0)
    return {
        "file": f"{number}.png",
        "set": "report" if number % 5 == 4 else "tune",
        "bucket": "seen",
        "region": 0,
        "rung": "telea",
        "place": place,
        "measured": {**usual_measurements(), "plain": 0.0, **measured},
        "figures": {"visible_error": error},
    }


def test_the_gate_learns_only_from_the_fills_that_it_decides_about(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = [fill(number, 0.1 + number / 100, jump=number / 10) for number in range(120)]
    refused = [fill(number, 5 - number / 100, jump=number / 10, structure=99.0) for number in range(120)]
    models = []
    for fills in (asked, asked + refused):
        monkeypatch.setattr("flows.evaluation.calibrate._fills_of", lambda *_, fills=fills: fills)
        model = calibrate(suite, ("telea",), 1)["rungs"]["telea"]["model"]
        models.append({name: part for name, part in model.items() if name != "bound"})
    assert models[0] == models[1]


def test_the_gate_learns_from_plain_ground_and_from_texture(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    texture = [fill(number, 0.1 + number / 300, jump=number / 10) for number in range(120)]
    plain = [fill(number, 3.0, jump=number / 10, plain=1.0) for number in range(120)]
    monkeypatch.setattr("flows.evaluation.calibrate._fills_of", lambda *_: texture + plain)
    model = Model(**calibrate(suite, ("telea",), 1)["rungs"]["telea"]["model"])
    for one, bad in ((texture[0], False), (plain[0], True)):
        assert (model.predicted_error(one["measured"]) > BAD) == bad


def test_the_threshold_is_that_of_a_rule_that_is_more_lenient_on_plain_ground(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = [0.1 if number % 2 else 3.0 for number in range(400)]
    bounds = []
    for plain in (0.0, 1.0):
        fills = [fill(number, error, jump=30.0 * (error > BAD), plain=plain) for number, error in enumerate(errors)]
        monkeypatch.setattr("flows.evaluation.calibrate._fills_of", lambda *_, fills=fills: fills)
        model = Model(**calibrate(suite, ("telea",), 1)["rungs"]["telea"]["model"])
        bounds.append((model.bound, model.bound_of(fills[0]["measured"])))
    (bound, _), (stated, applied) = bounds
    assert applied == pytest.approx(bound, rel=1e-6)
    assert stated == pytest.approx(bound / 1.25, rel=1e-6)
