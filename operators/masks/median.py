"""The median of grey levels, counted instead of sorted: several times faster, and exact."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels

MOST_EXACT = 1 << 24
"""Pixels up to which OpenCV's counts, in single precision, are exact. NumPy's always are, but take
several times as long.
"""


def median_level(levels: Pixels) -> float:
    """The median of grey levels (uint8, any shape, at least one), as `numpy.median` has it."""
    if levels.size > MOST_EXACT:
        return median_of_counts(np.bincount(levels.ravel()))
    counts = cv2.calcHist([levels.reshape(-1, 1)], [0], None, [256], [0, 256])
    return median_of_counts(counts.ravel().astype(np.int64))


def median_of_counts(counts: npt.NDArray[np.int_]) -> float:
    """The median of whole numbers, of which `counts[n]` have the value n; at least one in all."""
    total = np.cumsum(counts)
    ends = (total[-1] - 1) // 2, total[-1] // 2
    return float(np.searchsorted(total, ends, side="right").mean())
