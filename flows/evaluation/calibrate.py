"""Calibrates the gate: fills whose truth is known give the thresholds for fills whose truth is
not.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flows.evaluation.measure import FillJob, map_in_processes, rung_records
from flows.evaluation.records import Calibration, EvaluatedFill, GateJudgement, RungCalibration
from flows.evaluation.suite import Suite
from operators.decisions.gate import Array, Model, Promise, RungPromise, area_under_curve, fit_model, lenience
from operators.decisions.risk import choose_threshold, clopper_pearson_upper
from operators.verify import Verify

BAD = 1.0
"""Visible error above which a fill counts as bad: a person would not accept it."""
OTHER_BOUNDS = (0.5, 0.75, 1.5, 2.0)
"""Further bounds to judge the ranking by: where bad fills are rare, one figure is uncertain."""

TARGET = 0.05
"""Largest share of bad fills among the accepted ones that a threshold is chosen for."""
CONFIDENCE = 0.95
"""Probability with which that share is not exceeded."""
LEAST_DECIDED = 60
"""Fills at least that a model is fitted to."""
FOLDS = 5
"""Parts of the set `tune` of which each is predicted by a model fitted on the others."""

SETS = ("tune", "report")
"""The set to fit the model on, and the set to judge it by."""
CHECK_SET = "promise"
"""The set that nothing is chosen or stated on."""

DRIFT_FIGURES = ("mask_area", "stroke_thickness", "texture", "brightness", "contrast")
"""What makes a place hard to fill; the size of the picture does not."""


def is_bad(fill: EvaluatedFill, bound: float = BAD) -> bool:
    """Whether a person would not accept a fill: its visible error exceeds `bound` or is unknown."""
    error = fill["figures"]["visible_error"]
    return error is None or not error <= bound


def calibrate(
    suite: Suite,
    rungs: Sequence[str],
    processes: int,
    bound: float = BAD,
    target: float = TARGET,
    people: Sequence[EvaluatedFill] = (),
) -> Calibration:
    """The content of a calibration file: a model and a threshold per rung, from the set `tune`,
    and how well they judge the set `report`.

    The threshold is at most `bound`, so that no fill is accepted that the model itself predicts to
    be bad. Below it, it is as high as it can be with at most the share `target` of bad fills among
    those that the limits of `verify` and the gate accept; see `choose_threshold`. It is chosen for
    predictions of models that have not seen the picture, because the model of all pictures predicts
    its own too well. Fills that `people` have decided
    about count like others. Raises ValueError if one of the sets has no region with a known truth.
    """
    fills = _fills_of(suite, SETS, rungs, processes)
    if any(all(fill["set"] != name for fill in fills) for name in SETS):
        raise ValueError(f"suite {suite.name} has no regions with a known truth in one of its sets")
    decided = [fill for fill in people if fill["rung"] in rungs]
    fills += decided
    content: Calibration = {
        "suite": suite.name,
        "suite_checksum": suite.checksum,
        "date": time.strftime("%Y-%m-%d"),
        "bad_error": bound,
        "target": target,
        "inputs": input_statistics(fills),
        "rungs": {rung: _calibrate_rung([fill for fill in fills if fill["rung"] == rung], bound, target) for rung in rungs},
    }
    if decided:
        content["reviewed"] = {"fills": len(decided), "bad": sum(is_bad(fill, bound) for fill in decided)}
    return content


def _calibrate_rung(fills: Sequence[EvaluatedFill], bound: float, target: float) -> RungCalibration:
    sets = {name: [fill for fill in fills if fill["set"] == name] for name in SETS}
    decided = [
        (score / lenience(fill["measured"]), is_bad(fill, bound))
        for fill, score in zip(sets["tune"], _predicted_apart(sets["tune"], bound), strict=True)
        if _passes_limits(fill)
    ]
    scores, bad_ones = [score for score, _ in decided], [bad for _, bad in decided]
    threshold = choose_threshold(scores, bad_ones, bound, target, CONFIDENCE)
    model = replace(_fitted(sets["tune"], bound), bound=threshold.value)
    promise: RungPromise = {
        **promise_of(model, sets["report"], bound),
        "target": target,
        "target_met": threshold.target_met,
    }

    def judge(chosen: Sequence[EvaluatedFill]) -> GateJudgement:
        predicted = np.array([model.predicted_error(fill["measured"]) for fill in chosen])
        errors = _errors(chosen)
        bad, kept = _bad(chosen, bound), np.array([_is_let_in(fill, model) for fill in chosen], bool)
        return {
            "regions": len(chosen),
            "bad": int(bad.sum()),
            "auc": area_under_curve(predicted, bad),
            "auc_by_bound": {str(other): area_under_curve(predicted, _bad(chosen, other)) for other in OTHER_BOUNDS},
            "wrongly_refused": float((~kept & ~bad).sum() / max(1, (~bad).sum())),
            "wrongly_kept": float((kept & bad).sum() / max(1, bad.sum())),
            "mean_error_of_all": float(errors.mean()) if len(chosen) else float("nan"),
            "mean_error_of_kept": float(errors[kept].mean()) if kept.any() else float("nan"),
        }

    buckets = sorted({fill["bucket"] for fill in sets["report"]})
    by_bucket = {bucket: [fill for fill in sets["report"] if fill["bucket"] == bucket] for bucket in buckets}
    return {
        "model": asdict(model),
        "tune": judge(sets["tune"]),
        "report": judge(sets["report"]),
        "report_buckets": {bucket: judge(chosen) for bucket, chosen in by_bucket.items()},
        "promise": promise,
        "promise_buckets": {bucket: promise_of(model, chosen, bound) for bucket, chosen in by_bucket.items()},
    }


def check_promises(suite: Suite, calibrated: Calibration, processes: int) -> dict[str, Promise]:
    """What the set `promise` shows about each rung of a calibration.

    Raises ValueError if it has no region with a known truth.
    """
    fills = _fills_of(suite, (CHECK_SET,), tuple(calibrated["rungs"]), processes)
    if not fills:
        raise ValueError(f"suite {suite.name} has no regions with a known truth in the set {CHECK_SET}")
    return {
        rung: promise_of(
            Model(**calibration["model"]),
            [fill for fill in fills if fill["rung"] == rung],
            calibrated["bad_error"],
            CHECK_SET,
        )
        for rung, calibration in calibrated["rungs"].items()
    }


def _fills_of(suite: Suite, sets: Sequence[str], rungs: Sequence[str], processes: int) -> list[EvaluatedFill]:
    """Every fill of some sets whose truth is known."""
    jobs = [FillJob(suite, entry, tuple(rungs)) for entry in suite.entries if entry.set in sets]
    fills = [fill for image_fills in map_in_processes(rung_records, jobs, processes) for fill in image_fills]
    return [fill for fill in fills if "visible_error" in fill["figures"]]


def promise_of(model: Model, fills: Sequence[EvaluatedFill], bound: float, chosen: str = SETS[1]) -> Promise:
    """What some fills of the set `chosen` promise about a rung.

    The fills count as independent, although those of one picture are alike.
    """
    kept = [fill for fill in fills if _passes_limits(fill) and _is_let_in(fill, model)]
    bad = sum(is_bad(fill, bound) for fill in kept)
    return {
        "set": chosen,
        "kept": len(kept),
        "bad": bad,
        "most_bad": clopper_pearson_upper(bad, len(kept), CONFIDENCE),
        "confidence": CONFIDENCE,
    }


def _is_let_in(fill: EvaluatedFill, model: Model) -> bool:
    """Whether the gate lets a fill in."""
    return model.predicted_error(fill["measured"]) <= model.bound_of(fill["measured"])


def _passes_limits(fill: EvaluatedFill) -> bool:
    """Whether `verify` accepts a fill as far as its limits go, and so asks the gate about it."""
    return all(record["passed"] for record in Verify(gated=False).check_fill(fill["rung"], fill["measured"]))


def _fitted(fills: Sequence[EvaluatedFill], bound: float) -> Model:
    """The model fitted to the fills that the gate decides about, or to all if those are few."""
    decided = [fill for fill in fills if _passes_limits(fill)]
    chosen = decided if len(decided) >= LEAST_DECIDED else fills
    return fit_model([fill["measured"] for fill in chosen], _errors(chosen).tolist(), bound)


def _predicted_apart(fills: Sequence[EvaluatedFill], bound: float) -> list[float]:
    """The predicted error of each fill by a model that has not seen its picture.

    A single picture is predicted by its own model, because there is no other.
    """
    files = sorted({fill["file"] for fill in fills})
    fold_of = {file: number % FOLDS for number, file in enumerate(files)}
    models = {}
    for fold in set(fold_of.values()):
        others = [fill for fill in fills if fold_of[fill["file"]] != fold]
        models[fold] = _fitted(others or fills, bound)
    return [models[fold_of[fill["file"]]].predicted_error(fill["measured"]) for fill in fills]


def _bad(fills: Sequence[EvaluatedFill], bound: float) -> npt.NDArray[np.bool_]:
    return np.array([is_bad(fill, bound) for fill in fills], bool)


def _errors(fills: Sequence[EvaluatedFill]) -> Array:
    return np.array([fill["figures"]["visible_error"] for fill in fills], np.float64)


def input_statistics(fills: Sequence[EvaluatedFill]) -> dict[str, list[float]]:
    """The 1st, 50th and 99th percentile of the regions' figures, for recognising later inputs
    that the calibration does not cover.
    """
    return {
        name: [float(np.percentile([fill["place"][name] for fill in fills], share)) for share in (1, 50, 99)]
        for name in DRIFT_FIGURES
    }


def write_calibration(content: Mapping[str, Any], path: Path) -> None:
    """Write a calibration as JSON, each list of numbers on one line."""
    spread = json.dumps(without_nan(content), indent=1)
    path.write_text(re.sub(r"\[[-\d.e,\s]+\]", lambda numbers: " ".join(numbers.group().split()), spread) + "\n")


def without_nan(value: Any) -> Any:
    """The value with null for NaN and 99 for an infinite figure, which is a PSNR in dB.

    JSON knows neither NaN nor infinity.
    """
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [without_nan(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return 99.0 if value > 0 else None
    return value
