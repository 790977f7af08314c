"""A membrane: the smoothest field through values that are known at some pixels.

It solves Laplace's equation coarse to fine, as in gradient-domain editing (Perez, Gangnet and
Blake, "Poisson Image Editing", 2003).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

SWEEPS = 12
"""Relaxation sweeps at each scale; each starts from the coarser scale, so few are enough."""

Plane = npt.NDArray[np.float32]


def membrane(weighted: Plane, weight: Plane, known: npt.NDArray[np.bool_]) -> Plane:
    """The smoothest field (height x width x 3) through the known values.

    Where `known`, the value is `weighted / weight`.
    """
    values = weighted / np.maximum(weight, 1e-6)[:, :, None] * known[:, :, None]
    height, width = known.shape
    if min(height, width) <= 2:
        return np.broadcast_to(values[known].mean(axis=0), values.shape).astype(np.float32)
    half = ((width + 1) // 2, (height + 1) // 2)
    share = cv2.resize(known.astype(np.float32), half, interpolation=cv2.INTER_AREA)
    total = cv2.resize(values, half, interpolation=cv2.INTER_AREA)
    coarse = membrane(total, share, share > 0)
    field: Plane = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    kernel = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    chosen = known.astype(np.uint8)
    for _ in range(SWEEPS):
        cv2.copyTo(values, chosen, field)
        field = cv2.filter2D(field, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    cv2.copyTo(values, chosen, field)
    return field
