"""Measure the loss of storing the weights of a mask as bytes, and of pasting with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flows.audit.boundaries.crossing import Crossing, compare_values
from flows.audit.boundaries.sample import Sample, Weights
from operators.masks.mask import BLEND
from operators.rows.arrays import Pixels, Selection


def soft_mask(sample: Sample) -> Iterator[Crossing]:
    """Compare the weights that real strokes are pasted back with, 0..255, with the mask's bytes."""
    for exact, (_, mask) in zip(sample.weights, sample.crops, strict=True):
        stored, soft = _stored(exact, mask)
        yield compare_values("soft mask to bytes", exact[soft], stored[soft], 255)


def paste_back(sample: Sample) -> Iterator[Crossing]:
    """Compare the composed pixels by float weights and by byte weights, before rounding.

    Only pixels where the mask is soft count.
    """
    for exact, (pixels, mask), fill in zip(sample.weights, sample.crops, sample.fills, strict=True):
        if fill is None:
            continue
        stored, soft = _stored(exact, mask)
        change = fill[soft].astype(np.float64) - pixels[soft]
        yield compare_values(
            "paste-back by bytes", change * (exact[soft][:, None] / 255), change * (stored[soft][:, None] / 255.0), 255
        )


def _stored(exact: Weights, mask: Pixels) -> tuple[Weights, Selection]:
    """The weights as a mask stores them, and where strokes are soft.

    A trace that can be told from the ground has full weight whatever its probability is. That is
    a decision and no loss, so only weights below 255 count.
    """
    stored = mask[:, :, BLEND].astype(np.float32)
    soft: Selection = (stored > 0) & (stored < 255) & (exact > 0)
    return stored, soft
