"""The array types of pictures and masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

Selection = npt.NDArray[np.bool_]

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma (ITU-R BT.601)."""


def largest_channel(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The largest of the three channels of each pixel, height x width.

    It is several times faster than numpy's maximum along the last axis.
    """
    result: npt.NDArray[Any] = np.maximum(np.maximum(values[:, :, 0], values[:, :, 1]), values[:, :, 2])
    return result
