"""Gradient-domain correction: match a fill to the colours around its hole.

Generators that regenerate the whole crop, such as latent diffusion, return its context slightly
off in colour, and their fill is off by as much. The drift is known around the hole. A membrane
through those values is added to the fill inside the hole, so the fill keeps its own gradients
(Perez, Gangnet and Blake, "Poisson Image Editing", 2003, applied to a correction instead of the
colours; solved coarse to fine). Only pixels of the hole change. Fills that keep their context, as
classical ones do, stay as they are.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.mask import ring
from operators.rows.arrays import Pixels

BORDER = 3
"""Width in pixels of the ring around the hole whose drift counts.

With more than one pixel, grain does not streak into the hole.
"""
MOST_DRIFT = 32.0
"""Grey levels above which a difference is other content, not drift; such pixels do not count."""
SWEEPS = 12
"""Relaxation sweeps at each scale; each starts from the coarser scale, so few are enough."""

Plane = npt.NDArray[np.float32]


def harmonised(pixels: Pixels, fill: Pixels, hole: Pixels) -> Pixels:
    """The fill with its colour drift taken out.

    `pixels` and `fill` are uint8 height x width x 3 and differ only by drift outside `hole` (uint8
    0 or 255, height x width). The result equals `fill` outside the hole, and everywhere if the
    drift is unknown or zero.
    """
    inside = hole > 0
    drift: Plane = pixels.astype(np.float32) - fill.astype(np.float32)
    known = ring(inside, np.abs(drift).max(axis=2) > MOST_DRIFT, BORDER)
    if not known.any() or not drift[known].any():
        return fill
    membrane = _membrane(
        cv2.blur(drift * known[:, :, None], (BORDER, BORDER)), cv2.blur(known.astype(np.float32), (BORDER, BORDER)), known
    )
    result = fill.copy()
    result[inside] = np.clip(np.rint(fill[inside] + membrane[inside]), 0, 255).astype(np.uint8)
    return result


def _membrane(weighted: Plane, weight: Plane, known: npt.NDArray[np.bool_]) -> Plane:
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
    coarse = _membrane(total, share, share > 0)
    field: Plane = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    kernel = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], np.float32) / 4
    for _ in range(SWEEPS):
        field[known] = values[known]
        field = cv2.filter2D(field, -1, kernel, borderType=cv2.BORDER_REPLICATE)
    field[known] = values[known]
    return field
