"""Calibrates the gate: from fills whose truth is known, thresholds for fills whose truth is not."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from flows.evaluation.measure import FillJob, map_in_processes, rung_records
from flows.evaluation.suite import SETS, Suite
from operators.decisions.gate import area_under_curve, fit_model

BAD = 0.12
"""Perceptual distance (shift-tolerant LPIPS of the padded crop) beyond which a fill counts as
bad: about what the best classical fill reaches on average where the whole polygon is its mask, so
that nothing of a precise mask is left.
"""
OTHER_BOUNDS = (0.06, 0.08, 0.10, 0.15)
"""Bounds by which the ranking is judged too, because a rare kind of bad makes one figure
uncertain.
"""
DRIFT_FIGURES = ("mask_area", "stroke_thickness", "texture", "brightness", "contrast", "size")


def calibrate(suite: Suite, rungs: Sequence[str], processes: int, bound: float = BAD) -> dict[str, Any]:
    """The content of a calibration file: per rung a model fitted on the set `tune`, judged on the
    set `report`.
    """
    jobs = [FillJob(suite, entry, tuple(rungs)) for entry in suite.entries]
    records = [record for made in map_in_processes(rung_records, jobs, processes) for record in made]
    if any(all(record["set"] != name for record in records) for name in SETS):
        raise ValueError(f"suite {suite.name} has no regions with a known truth in one of its sets")
    return {
        "suite": suite.name,
        "suite_checksum": suite.checksum,
        "date": time.strftime("%Y-%m-%d"),
        "bad_perceptual_distance": bound,
        "inputs": input_statistics(records),
        "rungs": {rung: _rung([record for record in records if record["rung"] == rung], bound) for rung in rungs},
    }


def _rung(records: Sequence[dict[str, Any]], bound: float) -> dict[str, Any]:
    sets = {name: [record for record in records if record["set"] == name] for name in ("tune", "report")}
    model = fit_model([record["measured"] for record in sets["tune"]], [_distance(record) for record in sets["tune"]], bound)

    def judged(chosen: Sequence[dict[str, Any]]) -> dict[str, Any]:
        predicted = np.array([model.predicted_distance(record["measured"]) for record in chosen])
        distances = np.array([_distance(record) for record in chosen])
        bad, kept = distances > bound, predicted <= bound
        return {
            "regions": len(chosen),
            "bad": int(bad.sum()),
            "auc": area_under_curve(predicted, bad),
            "auc_by_bound": {str(other): area_under_curve(predicted, distances > other) for other in OTHER_BOUNDS},
            "wrongly_refused": float((~kept & ~bad).sum() / max(1, (~bad).sum())),
            "wrongly_kept": float((kept & bad).sum() / max(1, bad.sum())),
            "mean_distance_of_all": float(distances.mean()) if len(chosen) else float("nan"),
            "mean_distance_of_kept": float(distances[kept].mean()) if kept.any() else float("nan"),
        }

    buckets = sorted({record["bucket"] for record in records})
    return {
        "model": asdict(model),
        "tune": judged(sets["tune"]),
        "report": judged(sets["report"]),
        "report_buckets": {
            bucket: judged(chosen)
            for bucket in buckets
            if (chosen := [record for record in sets["report"] if record["bucket"] == bucket])
        },
    }


def _distance(record: dict[str, Any]) -> float:
    return float(record["figures"]["perceptual_distance"])


def input_statistics(records: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """The 5th, 50th and 95th percentile of what the regions are like, to tell later inputs that
    were never calibrated for.
    """
    return {
        name: [float(np.percentile([record["place"][name] for record in records], share)) for share in (5, 50, 95)]
        for name in DRIFT_FIGURES
    }


def write_calibration(content: dict[str, Any], path: Path) -> None:
    """Keep a calibration as JSON."""
    path.write_text(json.dumps(without_nan(content), indent=1) + "\n")


def without_nan(value: Any) -> Any:
    """JSON has no NaN and no infinity: what could not be measured is null, an infinite PSNR is 99
    dB.
    """
    if isinstance(value, dict):
        return {name: without_nan(part) for name, part in value.items()}
    if isinstance(value, list):
        return [without_nan(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return 99.0 if value > 0 else None
    return value
