"""Translate a soft mask for a latent model: how strongly it may change each cell, and when."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from operators.generators.canvas import Canvas, largest
from operators.masks.mask import BLEND, CONFIDENCE, CORE, dilated
from operators.rows.arrays import Pixels

UNSURE = 0.5
"""Strength where the detector's confidence is 0.

Such cells keep the coarse half of the smooth fill from which the model starts.
"""
SPREAD = 8
"""Pixels by which a stroke's confidence extends into the border that was grown around it."""

Strength = npt.NDArray[np.float32]


def strength_of(mask: Pixels) -> Pixels:
    """How strongly each pixel may change (uint8 height x width): 0 never, 255 from the first step.

    The larger of `core` and `blend`, times a factor that rises with `confidence` from UNSURE at 0
    to 1 at 255. `mask` is uint8 height x width x 4.
    """
    weight = np.maximum(mask[:, :, CORE], mask[:, :, BLEND]).astype(np.float32)
    sure = dilated(np.ascontiguousarray(mask[:, :, CONFIDENCE]), SPREAD).astype(np.float32) / np.float32(255)
    return np.ceil(weight * (np.float32(UNSURE) + np.float32(1 - UNSURE) * sure)).astype(np.uint8)


def latent_cells(channel: Pixels, canvas: Canvas, factor: int) -> Strength:
    """Max-pool a mask channel to latent cells: float32 0..1, canvas height and width / `factor`.

    diffusers instead thresholds a mask at one half and keeps every `factor`-th pixel, which loses
    thin strokes.
    """
    on_canvas = canvas.weights(channel)
    return largest(on_canvas, canvas.height // factor, canvas.width // factor).astype(np.float32) / np.float32(255)


def threshold(step: int, steps: int) -> float:
    """The least strength at which a cell is free at a step, from 1 evenly down to 1 / `steps`.

    A cell that is not free yet is the source at that step's noise (Levin and Fried, "Differential
    Diffusion: Giving Each Pixel Its Strength", 2023).
    """
    return 1.0 - step / steps
