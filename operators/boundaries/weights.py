"""How strongly each pixel is replaced: from weights in float to the mask's bytes, and the paste-back that follows them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from operators.boundaries.crossing import Crossing, of_values
from operators.boundaries.sample import Sample
from operators.mask import BLEND, CONFIDENCE
from operators.metrics.continuity import Selection
from operators.soften import Soften
from operators.table import Region

Weights = npt.NDArray[np.float32]


def soft_mask(sample: Sample) -> Iterator[Crossing]:
    """The weights that the confidence of real strokes asks for, 0..255, against what the mask keeps of them."""
    for region in sample.softened:
        exact, stored, soft = _weights(region)
        yield of_values("soft mask to bytes", exact[soft], stored[soft], 255)


def paste_back(sample: Sample) -> Iterator[Crossing]:
    """The composed pixels before rounding, by weights of bytes against weights of float, where the mask is soft."""
    for region, fill in zip(sample.softened, sample.fills, strict=True):
        if fill is None:
            continue
        exact, stored, soft = _weights(region)
        change = fill[soft].astype(np.float64) - region.array("pixels", 3)[soft]
        yield of_values(
            "paste-back by bytes", change * (exact[soft][:, None] / 255), change * (stored[soft][:, None] / 255.0), 255
        )


def _weights(region: Region) -> tuple[Weights, Weights, Selection]:
    """A region's weights in float and as its mask keeps them, and where its own strokes are pasted softly.

    Only lines that stand alone: neighbours share a mask, in which each pixel has the weight of one and the confidence of the
    surest.
    """
    mask = region.array("mask", 4)
    exact: Weights = mask[:, :, CONFIDENCE].astype(np.float32) / np.float32(Soften.certain)
    stored: Weights = mask[:, :, BLEND].astype(np.float32)
    alone = region["strokes"] == "found" and len(region["polygons"]) == 1
    soft: Selection = (stored > 0) & (exact < 255) & alone
    return exact, stored, soft
