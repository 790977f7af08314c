"""Measure how well an edit joins the picture around it: its seam and its colour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels, Selection


def luma(rgb: Pixels) -> npt.NDArray[np.float32]:
    """Rec. 601 luma, float32 0..255."""
    result: npt.NDArray[np.float32] = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return result


def _steps(values: npt.NDArray[np.float32], chosen: Selection, other: Selection) -> npt.NDArray[np.float32]:
    """Absolute differences between 4-neighbours, one in `chosen` and the other in `other`."""
    steps = []
    for axis in (0, 1):
        step = np.abs(np.diff(values, axis=axis))
        first = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        second = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        pairs = (chosen[first] & other[second]) | (other[first] & chosen[second])
        steps.append(step[pairs])
    return np.concatenate(steps)


def seam_ratio(rgb: Pixels, edited: Selection, ring: Selection) -> float:
    """Mean luma step across the border of `edited` over the mean step inside the ring around it.

    The range is 0 and up: 1 if the border is as rough as the picture next to it, above 1 if it
    shows. One grey level is added to both means, so that flat pictures do not divide by zero. NaN
    without a border or without a ring. The measure is cleanplate's, modelled on the blockiness
    ratio of Wang, Sheikh and Bovik (ICIP 2002).
    """
    values = luma(rgb)
    across, within = _steps(values, edited, ring), _steps(values, ring, ring)
    if not len(across) or not len(within):
        return float("nan")
    return float((across.mean() + 1) / (within.mean() + 1))


def jump(rgb: Pixels, edited: Selection, ring: Selection) -> float:
    """The steep steps across the border of `edited` beyond those inside the ring, in grey levels.

    It compares the step that one in ten pairs across the border exceeds with the step that one in
    thirty pairs of the ring exceeds. A mean over the whole border, as `seam_ratio`, hides a fill
    that cuts a piece out of an object. 0 if the border is no steeper, NaN without pairs.
    """
    values = luma(rgb)
    across, within = _steps(values, edited, ring), _steps(values, ring, ring)
    if not len(across) or not len(within):
        return float("nan")
    return max(0.0, float(np.percentile(across, 90) - np.percentile(within, 97)))


def lab_difference(rgb: Pixels, edited: Selection, ring: Selection) -> float:
    """CIE76 distance between the mean colours of `edited` and of the ring, in CIELAB units.

    0 is equal, 2.3 just visible. NaN if either is empty. Definition: CIE 1976 L*a*b*, sRGB with
    D65 white.
    """
    if not edited.any() or not ring.any():
        return float("nan")
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.linalg.norm(lab[edited].mean(axis=0) - lab[ring].mean(axis=0)))
