"""The array types of pictures and masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

Selection = npt.NDArray[np.bool_]

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma (ITU-R BT.601)."""
