"""The gate: how likely is a fill bad, judged only by what is known without the truth.

A logistic model per rung over a handful of measurements of the fill and of the ring round it. Its weights and thresholds
are data (`operators/models/gate.json`, written by `cleanplate calibrate` with the suite and its checksum); the measuring
here knows nothing of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from operators.mask import BLEND, CORE, dilated, ring
from operators.metrics.continuity import Selection, lab_difference, luma, seam_ratio
from operators.metrics.naturalness import band_energies, band_ratios
from operators.table import Pixels

PATH = Path(__file__).parent / "models" / "gate.json"
RING_WIDTH = 12
"""Pixels round an edit that stand for the picture it is in."""
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Surroundings:
    """Which pixels of a crop are edited, and which ring round them shows the picture without text."""

    edited: Selection
    ring: Selection
    border: Selection

    @classmethod
    def of(cls, mask: Pixels) -> Surroundings:
        """From a region's mask (uint8 height x width x 4)."""
        edited = mask[:, :, BLEND] > 127
        around = ring(edited, (mask[:, :, CORE] > 0) | (mask[:, :, BLEND] > 0), RING_WIDTH)
        return cls(edited, around, ring(edited, mask[:, :, CORE] > 0, 1) | around)


def measured(result: Pixels, mask: Pixels, residual_text: float) -> dict[str, float]:
    """The gate's measurements of one pasted fill, by name.

    `result` is the crop with its fill (uint8 height x width x 3), `mask` the region's; the ring's energies and the
    thickness say how hard the place is, the rest how the fill fits there. NaN where something cannot be measured.
    """
    place = Surroundings.of(mask)
    ratios, around = band_ratios(result, place.edited, place.ring), band_energies(result, place.ring)
    distance = cv2.distanceTransform(place.edited.astype(np.uint8), cv2.DIST_L2, 3)
    near = dilated(place.edited.astype(np.uint8), 2 * RING_WIDTH) > 0
    spread = float(luma(result)[near & ~(mask[:, :, CORE] > 0)].std()) if near.any() else float("nan")
    return {
        "seam": seam_ratio(result, place.edited, place.border),
        "colour_shift": lab_difference(result, place.edited, place.ring),
        **{f"band_{octave}": ratio for octave, ratio in enumerate(ratios)},
        **{f"ring_{octave}": float(np.log2(energy + 1)) for octave, energy in enumerate(around)},
        "spread": spread,
        "coverage": float(np.log2(_covered(mask) + 0.01)),
        "thickness": float(np.log2(distance.max() + 1)),
        "area": float(np.log2(place.edited.sum() + 1)),
        "residual_text": residual_text,
    }


def _covered(mask: Pixels) -> float:
    """The share of the edit's bounding box, 16 pixels larger on each side, that the edit weighs."""
    rows, columns = (np.flatnonzero((mask[:, :, BLEND] > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return 0.0
    box = (rows[-1] - rows[0] + 33) * (columns[-1] - columns[0] + 33)
    return float(mask[:, :, BLEND].sum(dtype=np.float64) / 255 / box)


def features(measurements: Mapping[str, float]) -> Array:
    """The measurements as the model sees them: bands by how far they are off, everything that multiplies as a logarithm."""
    values = {name: 0.0 if math.isnan(value) else value for name, value in measurements.items()}
    ratios = [abs(values[f"band_{octave}"]) for octave in range(4)]
    rings = [values[f"ring_{octave}"] for octave in range(4)]
    logarithms = [float(np.log2(values[name] + 1)) for name in ("seam", "colour_shift", "spread")]
    others = [values[name] for name in ("coverage", "thickness", "area", "residual_text")]
    return np.array([*ratios, *rings, *logarithms, *others], np.float64)


@dataclass(frozen=True)
class Model:
    """One rung's logistic model and the badness from which its fills are refused."""

    mean: Sequence[float]
    scale: Sequence[float]
    weights: Sequence[float]
    bias: float
    threshold: float

    def badness(self, measurements: Mapping[str, float]) -> float:
        """Probability, 0..1, that a fill's perceptual distance exceeds the calibration's bound."""
        x = (features(measurements) - np.array(self.mean)) / np.array(self.scale)
        return float(1 / (1 + np.exp(-np.clip(x @ np.array(self.weights) + self.bias, -50, 50))))


def fitted(examples: Sequence[Mapping[str, float]], bad: Sequence[bool], ridge: float = 2.0) -> Model:
    """A logistic model of `bad` (L2-regularised, Newton's method); its threshold maximises Youden's index on the examples."""
    x, y = np.stack([features(example) for example in examples]), np.array(bad, np.float64)
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    design = np.hstack([(x - mean) / scale, np.ones((len(x), 1))])
    weights, penalty = np.zeros(design.shape[1]), np.diag([ridge] * x.shape[1] + [1e-6])
    for _ in range(50):
        probability = 1 / (1 + np.exp(-np.clip(design @ weights, -50, 50)))
        gradient = design.T @ (probability - y) + penalty @ weights
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + penalty
        weights = weights - np.linalg.solve(curvature, gradient)
    probability = 1 / (1 + np.exp(-np.clip(design @ weights, -50, 50)))
    return Model(mean.tolist(), scale.tolist(), weights[:-1].tolist(), float(weights[-1]), best_threshold(probability, y > 0))


def best_threshold(badness: Array, bad: npt.NDArray[np.bool_]) -> float:
    """The badness that best parts bad from good (Youden 1950: most true less false positives); 1 if all are good."""
    if not bad.any():
        return 1.0
    candidates = np.unique(np.concatenate([badness, [1.0]]))
    index = [(badness[bad] > t).mean() - (badness[~bad] > t).mean() if (~bad).any() else 0.0 for t in candidates]
    best = int(np.argmax(index))
    following = candidates[min(best + 1, len(candidates) - 1)]
    return float((candidates[best] + following) / 2)


def area_under_curve(badness: Array, bad: npt.NDArray[np.bool_]) -> float:
    """ROC AUC: the chance that a bad fill scores above a good one, ties counting half. NaN without both kinds."""
    if bad.all() or not bad.any():
        return float("nan")
    above = badness[bad][:, None] - badness[~bad][None]
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
