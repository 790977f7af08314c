"""Calibrates the gate: fills whose truth is known give the thresholds for fills whose truth is
not.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from flows.evaluation.measure import FillJob, map_in_processes, rung_records
from flows.evaluation.records import Calibration, EvaluatedFill, GateJudgement, RungCalibration
from flows.evaluation.suite import Suite
from operators.decisions.gate import Array, area_under_curve, fit_model

BAD = 1.0
"""Visible error above which a fill counts as bad: a person would not accept it."""
OTHER_BOUNDS = (0.5, 0.75, 1.5, 2.0)
"""Further bounds to judge the ranking by: where bad fills are rare, one figure is uncertain."""

SETS = ("tune", "report")
"""The set to fit the model on, and the set to judge it by."""

DRIFT_FIGURES = ("mask_area", "stroke_thickness", "texture", "brightness", "contrast")
"""What makes a place hard to fill; a picture's size does not, since large pictures are usual."""


def calibrate(suite: Suite, rungs: Sequence[str], processes: int, bound: float = BAD) -> Calibration:
    """The content of a calibration file: a model per rung, fitted on the set `tune` and judged on
    the set `report`.

    Raises ValueError if one of the sets has no region with a known truth.
    """
    jobs = [FillJob(suite, entry, tuple(rungs)) for entry in suite.entries if entry.set in SETS]
    fills = [fill for image_fills in map_in_processes(rung_records, jobs, processes) for fill in image_fills]
    if any(all(fill["set"] != name for fill in fills) for name in SETS):
        raise ValueError(f"suite {suite.name} has no regions with a known truth in one of its sets")
    return {
        "suite": suite.name,
        "suite_checksum": suite.checksum,
        "date": time.strftime("%Y-%m-%d"),
        "bad_error": bound,
        "inputs": input_statistics(fills),
        "rungs": {rung: _calibrate_rung([fill for fill in fills if fill["rung"] == rung], bound) for rung in rungs},
    }


def _calibrate_rung(fills: Sequence[EvaluatedFill], bound: float) -> RungCalibration:
    sets = {name: [fill for fill in fills if fill["set"] == name] for name in SETS}
    model = fit_model([fill["measured"] for fill in sets["tune"]], _errors(sets["tune"]).tolist(), bound)

    def judge(chosen: Sequence[EvaluatedFill]) -> GateJudgement:
        predicted = np.array([model.predicted_error(fill["measured"]) for fill in chosen])
        errors = _errors(chosen)
        bad, kept = errors > bound, predicted <= bound
        return {
            "regions": len(chosen),
            "bad": int(bad.sum()),
            "auc": area_under_curve(predicted, bad),
            "auc_by_bound": {str(other): area_under_curve(predicted, errors > other) for other in OTHER_BOUNDS},
            "wrongly_refused": float((~kept & ~bad).sum() / max(1, (~bad).sum())),
            "wrongly_kept": float((kept & bad).sum() / max(1, bad.sum())),
            "mean_error_of_all": float(errors.mean()) if len(chosen) else float("nan"),
            "mean_error_of_kept": float(errors[kept].mean()) if kept.any() else float("nan"),
        }

    buckets = sorted({fill["bucket"] for fill in fills})
    return {
        "model": asdict(model),
        "tune": judge(sets["tune"]),
        "report": judge(sets["report"]),
        "report_buckets": {
            bucket: judge(chosen)
            for bucket in buckets
            if (chosen := [fill for fill in sets["report"] if fill["bucket"] == bucket])
        },
    }


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
    """Write a calibration as JSON."""
    path.write_text(json.dumps(without_nan(content), indent=1) + "\n")


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
