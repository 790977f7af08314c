"""A fill brought to the colours round its hole: the gradient-domain correction of fills whose
context has drifted.

Generators that make the whole crop anew (latent diffusion, say) give back its context slightly
off in colour, and their fill is off by as much. How far off is known round the hole; inside, the
membrane that joins those values is added to the fill, which keeps its own gradients so (Perez,
Gangnet and Blake, "Poisson Image Editing", 2003, for a correction in place of the colours; solved
coarse to fine). Only pixels of the hole change, and fills that keep their context, as the
classical ones do, stay as they are.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.mask import ring
from operators.rows.arrays import Pixels

BORDER = 3
"""Pixels round the hole whose differences are joined: more than one, so that grain does not
streak into the hole.
"""
MOST_DRIFT = 32.0
"""Grey levels from which a difference is the fill's other content and no drift of colour: such
pixels do not count.
"""
SWEEPS = 12
"""Relaxation sweeps at each scale; the start comes from the coarser one, so few are needed."""

Plane = npt.NDArray[np.float32]


def harmonised(pixels: Pixels, fill: Pixels, hole: Pixels) -> Pixels:
    """The fill with its colour drift taken out.

    `pixels` and `fill` are uint8 height x width x 3 and differ only by drift outside `hole` (0 or
    255, height x width). The result equals `fill` outside the hole, and everywhere if nothing is
    known of the drift.
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
    """The smoothest field (height x width x 3) through the known values, which are `weighted /
    weight` where `known`.
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
