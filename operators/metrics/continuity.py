"""Does an edit join the picture round it? Its seam, and its colour beside the ring's."""

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
    """Absolute differences between 4-neighbours of which one is in `chosen` and the other in
    `other`.
    """
    found = []
    for axis in (0, 1):
        step = np.abs(np.diff(values, axis=axis))
        first = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        second = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        pairs = (chosen[first] & other[second]) | (other[first] & chosen[second])
        found.append(step[pairs])
    return np.concatenate(found)


def seam_ratio(rgb: Pixels, edited: Selection, ring: Selection) -> float:
    """Mean luma step across the border of `edited`, over the mean step inside the ring round it.

    1 where the border is as rough as the picture next to it; above 1 where it shows; range 0 and
    up. One grey level is added to both means, so that flat pictures do not divide by zero. NaN
    without a border or without a ring. A measure of our own, in the spirit of the blockiness
    ratio of Wang, Sheikh and Bovik (ICIP 2002).
    """
    values = luma(rgb)
    across, within = _steps(values, edited, ring), _steps(values, ring, ring)
    if not len(across) or not len(within):
        return float("nan")
    return float((across.mean() + 1) / (within.mean() + 1))


def lab_difference(rgb: Pixels, edited: Selection, ring: Selection) -> float:
    """CIE76 distance between the mean colours of `edited` and of the ring, in CIELAB units (0 is
    equal, 2.3 just visible).

    NaN where either is empty. Definition: CIE 1976 L*a*b*, sRGB with D65 white.
    """
    if not edited.any() or not ring.any():
        return float("nan")
    lab = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.linalg.norm(lab[edited].mean(axis=0) - lab[ring].mean(axis=0)))
