"""What a soft mask means to a latent model: which cells it must invent, and how strongly it may
change each of them.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from operators.generators.canvas import Canvas, largest
from operators.masks.mask import BLEND, CONFIDENCE, CORE, dilated
from operators.rows.arrays import Pixels

UNSURE = 0.5
"""Strength where the detector is not sure at all: the fill keeps the coarse half of the smooth
one that it starts from.
"""
SPREAD = 8
"""Pixels over which a stroke's confidence counts for the border that was grown round it."""

Strength = npt.NDArray[np.float32]


def strength_of(mask: Pixels) -> Pixels:
    """How strongly each pixel of a crop may change (uint8 height x width): 0 never, 255 from the
    first step on.

    The larger of `core` and `blend`, weighed by `confidence`: from UNSURE where that is 0 to all
    of it where it is 255.
    """
    weight = np.maximum(mask[:, :, CORE], mask[:, :, BLEND]).astype(np.float32)
    sure = dilated(np.ascontiguousarray(mask[:, :, CONFIDENCE]), SPREAD).astype(np.float32) / np.float32(255)
    return np.ceil(weight * (np.float32(UNSURE) + np.float32(1 - UNSURE) * sure)).astype(np.uint8)


def latent_cells(channel: Pixels, canvas: Canvas, factor: int) -> Strength:
    """A mask channel as a latent model sees it: float32 0..1, canvas height and width over
    `factor`, by max-pooling.

    diffusers thresholds a mask at one half and keeps every `factor`-th pixel, by which thin
    strokes vanish.
    """
    on_canvas = canvas.weights(channel)
    return largest(on_canvas, canvas.height // factor, canvas.width // factor).astype(np.float32) / np.float32(255)


def threshold(step: int, steps: int) -> float:
    """The strength from which a cell is free at a step: 1 at the first, falling evenly to 1 over
    `steps` at the last.

    Levin and Fried, "Differential Diffusion: Giving Each Pixel Its Strength", 2023: until it is
    free, a cell is the source at that step's noise.
    """
    return 1.0 - step / steps
