"""The arrays that pictures and masks are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in the luma (ITU-R BT.601)."""

Selection = npt.NDArray[np.bool_]
