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

from operators.masks.mask import ring
from operators.masks.membrane import membrane
from operators.rows.arrays import Pixels

BORDER = 3
"""Width in pixels of the ring around the hole whose drift counts.

With more than one pixel, grain does not streak into the hole.
"""
MOST_DRIFT = 32.0
"""Grey levels above which a difference is other content, not drift; such pixels do not count."""


def harmonised(pixels: Pixels, fill: Pixels, hole: Pixels) -> Pixels:
    """The fill with its colour drift taken out.

    `pixels` and `fill` are uint8 height x width x 3 and differ only by drift outside `hole` (uint8
    0 or 255, height x width). The result equals `fill` outside the hole, and everywhere if the
    drift is unknown or zero.
    """
    inside = hole > 0
    drift = pixels.astype(np.float32) - fill.astype(np.float32)
    known = ring(inside, np.abs(drift).max(axis=2) > MOST_DRIFT, BORDER)
    if not known.any() or not drift[known].any():
        return fill
    correction = membrane(
        cv2.blur(drift * known[:, :, None], (BORDER, BORDER)), cv2.blur(known.astype(np.float32), (BORDER, BORDER)), known
    )
    result = fill.copy()
    result[inside] = np.clip(np.rint(fill[inside] + correction[inside]), 0, 255).astype(np.uint8)
    return result
