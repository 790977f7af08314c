"""What is measured of a pasted fill: it, the ring around it, and how hard the place is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from operators.masks.mask import BLEND, CORE, dilated, ring
from operators.metrics.continuity import lab_difference, luma, seam_ratio
from operators.metrics.naturalness import band_energies, band_ratios
from operators.rows.arrays import Pixels, Selection

LEAST_TRIAL = 32
"""Pixels below which a trial says nothing."""

RING_WIDTH = 12
"""Pixels round an edit that stand for the picture it is in."""


@dataclass(frozen=True)
class Surroundings:
    """Which pixels of a crop are edited, and which ring round them shows the picture without
    text.
    """

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


def measure_fill(result: Pixels, mask: Pixels, residual_text: float, residual_strokes: float) -> dict[str, float]:
    """The gate's measurements of one pasted fill, by name.

    `result` is the crop with its fill (uint8 height x width x 3), `mask` the region's. What the
    detector and the stroke network still see comes from outside; the ring's energies, the trial
    and the thickness say how hard the place is, the rest how the fill fits there. NaN where
    something cannot be measured.
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
        "trial": side_fill_error(result, mask),
        "residual_text": residual_text,
        "residual_strokes": residual_strokes,
    }


def side_fill_error(result: Pixels, mask: Pixels) -> float:
    """How badly a smooth fill of the same shape does where the truth is known: just beside the
    edit.

    The edit's shape is moved next to itself, up, down, left or right, to where most of it meets
    pixels without text; these are filled smoothly (Navier-Stokes) and compared with what stands
    there. Base-2 logarithm of the mean squared error in grey levels, plus one; NaN where there is
    no room.
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
