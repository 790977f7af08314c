"""How strongly each pixel is replaced: from weights in float to the mask's bytes, and the paste-back that follows them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operators.boundaries.crossing import Crossing, of_values
from operators.boundaries.sample import Sample
from operators.mask import CORE, dilated, feathered, feathered_weights
from operators.soften import Soften
from operators.table import Pixels


def soft_mask(sample: Sample) -> Iterator[Crossing]:
    """The feathered weights of real strokes, 0..255, against what the mask keeps of them."""
    for _, mask in sample.crops:
        strokes = _strokes(mask)
        exact, stored = feathered_weights(strokes, Soften.feather), feathered(strokes, Soften.feather)
        soft = (exact > 0) & (exact < 255)
        yield of_values("soft mask to bytes", exact[soft], stored[soft].astype(np.float32), 255)


def paste_back(sample: Sample) -> Iterator[Crossing]:
    """The composed pixels before rounding, by weights of bytes against weights of float, where the mask is soft."""
    for (pixels, mask), fill in zip(sample.crops, sample.fills, strict=True):
        if fill is None:
            continue
        strokes = _strokes(mask)
        exact, stored = feathered_weights(strokes, Soften.feather), feathered(strokes, Soften.feather)
        soft = (exact > 0) & (exact < 255)
        change = fill[soft].astype(np.float64) - pixels[soft]
        yield of_values(
            "paste-back by bytes", change * (exact[soft][:, None] / 255), change * (stored[soft][:, None] / 255.0), 255
        )


def _strokes(mask: Pixels) -> Pixels:
    return dilated(np.ascontiguousarray(mask[:, :, CORE]), Soften.least_dilation)
