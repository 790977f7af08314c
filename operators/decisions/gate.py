"""The gate: how far does a fill look from the truth, predicted only from what is known without it.

A linear model per rung over a handful of measurements of the fill and of the ring round it. Its weights and its bound are
data (`operators/decisions/gate.json`, written by `cleanplate calibrate` with the suite and its checksum); the measuring
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

from operators.masks.mask import BLEND, CORE, dilated, ring
from operators.metrics.continuity import Selection, lab_difference, luma, seam_ratio
from operators.metrics.naturalness import band_energies, band_ratios
from operators.rows.table import Pixels

PATH = Path(__file__).parent / "gate.json"
FARTHEST = 3.0
"""Standard deviations beyond which a feature says no more: a straight line holds only where it was drawn."""
LEAST_TRIAL = 32
"""Pixels below which a trial says nothing."""
OFFSET = 0.01
"""Added to perceptual distances before their logarithm is taken: differences below it are nothing anybody sees."""
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
        others = (mask[:, :, CORE] > 0) & (mask[:, :, BLEND] == 0)
        return cls(edited, around, ring(edited, others, 1) | around)


def measured(result: Pixels, mask: Pixels, residual_text: float, residual_strokes: float) -> dict[str, float]:
    """The gate's measurements of one pasted fill, by name.

    `result` is the crop with its fill (uint8 height x width x 3), `mask` the region's. What the detector and the stroke
    network still see comes from outside; the ring's energies, the trial and the thickness say how hard the place is, the
    rest how the fill fits there. NaN where something cannot be measured.
    """
    place = Surroundings.of(mask)
    ratios, around = band_ratios(result, place.edited, place.ring), band_energies(result, place.ring)
    distance = cv2.distanceTransform(np.pad(place.edited.astype(np.uint8), 1), cv2.DIST_L2, 3)
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
        "trial": trial_error(result, mask),
        "residual_text": residual_text,
        "residual_strokes": residual_strokes,
    }


def trial_error(result: Pixels, mask: Pixels) -> float:
    """How badly a smooth fill of the same shape does where the truth is known: just beside the edit.

    The edit's shape is moved next to itself, up, down, left or right, to where most of it meets pixels without text; these
    are filled smoothly (Navier-Stokes) and compared with what stands there. Base-2 logarithm of the mean squared error in grey
    levels, plus one; NaN where there is no room.
    """
    edited = mask[:, :, BLEND] > 127
    taken = (mask[:, :, BLEND] > 0) | (mask[:, :, CORE] > 0)
    rows, columns = (np.flatnonzero(edited.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return float("nan")
    down, across = int(rows[-1] - rows[0] + 3), int(columns[-1] - columns[0] + 3)
    places = [_shifted(edited, y, x) & ~taken for y, x in ((down, 0), (-down, 0), (0, across), (0, -across), (down // 2, 0))]
    there = max(places, key=lambda place: int(place.sum()))
    if there.sum() < 0.1 * edited.sum() or there.sum() < LEAST_TRIAL:
        return float("nan")
    filled = cv2.inpaint(result, there.astype(np.uint8), 3, cv2.INPAINT_NS)
    return float(np.log2(np.mean((luma(filled)[there] - luma(result)[there]) ** 2) + 1))


def _shifted(selection: Selection, down: int, right: int) -> Selection:
    """A selection moved by whole pixels; what leaves the crop is lost."""
    moved = np.zeros_like(selection)
    height, width = selection.shape
    if abs(down) >= height or abs(right) >= width:
        return moved
    source = selection[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    moved[max(0, down) : max(0, down) + source.shape[0], max(0, right) : max(0, right) + source.shape[1]] = source
    return moved


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
    others = [values[name] for name in ("coverage", "thickness", "area", "residual_text", "residual_strokes", "trial")]
    return np.array([*ratios, *rings, *logarithms, *others], np.float64)


def _standardised(x: Array, mean: Array, scale: Array) -> Array:
    """Features in standard deviations from the calibration's mean, cut where no example ever was."""
    return np.clip((x - mean) / scale, -FARTHEST, FARTHEST)


@dataclass(frozen=True)
class Model:
    """One rung's linear model of how far its fills look from the truth, and the distance from which they are refused."""

    mean: Sequence[float]
    scale: Sequence[float]
    weights: Sequence[float]
    bias: float
    bound: float

    def predicted_distance(self, measurements: Mapping[str, float]) -> float:
        """The perceptual distance (shift-tolerant LPIPS of the padded crop) that a fill with these measurements should have."""
        x = _standardised(features(measurements), np.array(self.mean), np.array(self.scale))
        return float(max(0.0, 2.0 ** (x @ np.array(self.weights) + self.bias) - OFFSET))


def fitted(examples: Sequence[Mapping[str, float]], distances: Sequence[float], bound: float, ridge: float = 30.0) -> Model:
    """The ridge regression of the logarithm of the perceptual distance on the standardised features of known fills."""
    x, y = np.stack([features(example) for example in examples]), np.log2(np.array(distances, np.float64) + OFFSET)
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    design = _standardised(x, mean, scale)
    weights = np.linalg.solve(design.T @ design + ridge * np.eye(design.shape[1]), design.T @ (y - y.mean()))
    return Model(mean.tolist(), scale.tolist(), weights.tolist(), float(y.mean()), bound)


def area_under_curve(score: Array, bad: npt.NDArray[np.bool_]) -> float:
    """ROC AUC: the chance that a bad fill scores above a good one, ties counting half. NaN without both kinds."""
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
