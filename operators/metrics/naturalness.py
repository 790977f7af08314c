"""Does an edit look like the picture it is in? Its fine detail beside the ring's."""

from __future__ import annotations

import cv2
import numpy as np

from operators.metrics.continuity import Selection, luma
from operators.table import Pixels

NOISE_FLOOR = 2.0
"""Mean absolute Laplacian (grey levels) added to both sides, so that two flat areas count as equal."""


def detail_ratio(rgb: Pixels, edited: Selection, ring: Selection) -> float:
    """Base-2 logarithm of the fine detail in `edited` over that in the ring; the detail is the mean absolute Laplacian.

    0 where both are equally detailed, -1 where the edit has half of the ring's detail (a smear), +1 where it has twice.
    NaN where either is empty.
    """
    if not edited.any() or not ring.any():
        return float("nan")
    laplacian = np.abs(cv2.Laplacian(luma(rgb), cv2.CV_32F))
    return float(np.log2((laplacian[edited].mean() + NOISE_FLOOR) / (laplacian[ring].mean() + NOISE_FLOOR)))
