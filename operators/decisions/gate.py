"""The gate: how far does a fill look from the truth, predicted only from what is known without
it.

A linear model per rung over a handful of measurements of the fill and of the ring round it. Its
weights and its bound are data (`operators/decisions/gate.json`, written by `cleanplate calibrate`
with the suite and its checksum); the measuring here knows nothing of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PATH = Path(__file__).parent / "gate.json"
FARTHEST = 3.0
"""Standard deviations beyond which a feature says no more: a straight line holds only where it
was drawn.
"""
OFFSET = 0.01
"""Added to perceptual distances before their logarithm is taken: differences below it are nothing
anybody sees.
"""
Array = npt.NDArray[np.float64]


def features(measurements: Mapping[str, float]) -> Array:
    """The measurements as the model sees them: bands by how far they are off, everything that
    multiplies as a logarithm.
    """
    values = {name: 0.0 if math.isnan(value) else value for name, value in measurements.items()}
    ratios = [abs(values[f"band_{octave}"]) for octave in range(4)]
    rings = [values[f"ring_{octave}"] for octave in range(4)]
    logarithms = [float(np.log2(values[name] + 1)) for name in ("seam", "colour_shift", "spread")]
    others = [values[name] for name in ("coverage", "thickness", "area", "residual_text", "residual_strokes", "trial")]
    return np.array([*ratios, *rings, *logarithms, *others], np.float64)


def _standardised(x: Array, mean: Array, scale: Array) -> Array:
    """Features in standard deviations from the calibration's mean, cut where no example ever was."""
    return np.clip((x - mean) / scale, -FARTHEST, FARTHEST)


@dataclass(frozen=True)
class Model:
    """One rung's linear model of how far its fills look from the truth, and the distance from
    which they are refused.
    """

    mean: Sequence[float]
    scale: Sequence[float]
    weights: Sequence[float]
    bias: float
    bound: float

    def predicted_distance(self, measurements: Mapping[str, float]) -> float:
        """The perceptual distance (shift-tolerant LPIPS of the padded crop) that a fill with
        these measurements should have.
        """
        x = _standardised(features(measurements), np.array(self.mean), np.array(self.scale))
        return float(max(0.0, 2.0 ** (x @ np.array(self.weights) + self.bias) - OFFSET))


def fit_model(examples: Sequence[Mapping[str, float]], distances: Sequence[float], bound: float, ridge: float = 30.0) -> Model:
    """The ridge regression of the logarithm of the perceptual distance on the standardised
    features of known fills.
    """
    x, y = np.stack([features(example) for example in examples]), np.log2(np.array(distances, np.float64) + OFFSET)
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    design = _standardised(x, mean, scale)
    weights = np.linalg.solve(design.T @ design + ridge * np.eye(design.shape[1]), design.T @ (y - y.mean()))
    return Model(mean.tolist(), scale.tolist(), weights.tolist(), float(y.mean()), bound)


def area_under_curve(score: Array, bad: npt.NDArray[np.bool_]) -> float:
    """ROC AUC: the chance that a bad fill scores above a good one, ties counting half. NaN
    without both kinds.
    """
    if bad.all() or not bad.any():
        return float("nan")
    above = score[bad][:, None] - score[~bad][None]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


@cache
def calibration(path: Path = PATH) -> dict[str, Any]:
    """The calibration file's content; without a file, no rung is calibrated."""
    content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {"rungs": {}}
    return content


def model_of(rung: str) -> Model | None:
    """The calibrated model of a rung, or None if it was never calibrated."""
    found = calibration()["rungs"].get(rung)
    return Model(**found["model"]) if found else None
