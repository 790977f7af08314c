"""Measure the loss of storing the weights of a mask as bytes, and of pasting with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from flows.audit.boundaries.crossing import Crossing, compare_values
from flows.audit.boundaries.sample import Sample
from operators.masks.mask import BLEND
from operators.masks.stroke_mask import StrokeMask
from operators.rows.arrays import Selection
from operators.rows.table import Region
from operators.soften import Soften
from operators.vision.stroke_network import Line, stroke_network

Weights = npt.NDArray[np.float32]


def soft_mask(sample: Sample) -> Iterator[Crossing]:
    """Compare the weights that real strokes are pasted back with, 0..255, with the mask's bytes."""
    for region in sample.softened:
        exact, stored, soft = _weights(region)
        yield compare_values("soft mask to bytes", exact[soft], stored[soft], 255)


def paste_back(sample: Sample) -> Iterator[Crossing]:
    """Compare the composed pixels by float weights and by byte weights, before rounding.

    Only pixels where the mask is soft count.
    """
    for region, fill in zip(sample.softened, sample.fills, strict=True):
        if fill is None:
            continue
        exact, stored, soft = _weights(region)
        change = fill[soft].astype(np.float64) - region.array("pixels", 3)[soft]
        yield compare_values(
            "paste-back by bytes", change * (exact[soft][:, None] / 255), change * (stored[soft][:, None] / 255.0), 255
        )


def _weights(region: Region) -> tuple[Weights, Weights, Selection]:
    """The weights of a region as floats and as stored in its mask, and where strokes are soft.

    A trace that can be told from the ground has full weight whatever its probability is. That is
    a decision and no loss, so only weights below 255 count. Runs the stroke network again, because
    a mask keeps no floats.
    """
    crop, stored = region.crop, region.array("mask", 4)[:, :, BLEND].astype(np.float32)
    exact = np.zeros_like(stored)
    if region["strokes"] == "found":
        line = Line.of(region.polygons_on_crop(), crop.width, crop.height)
        rgb = region.array("pixels", 3)[line.place]
        probability = stroke_network().line_probability(rgb, line, Soften.seen_height)
        exact[line.place] = np.clip(probability / np.float32(StrokeMask.certain), 0, 1) * 255
    soft: Selection = (stored > 0) & (stored < 255) & (exact > 0)
    return exact, stored, soft
