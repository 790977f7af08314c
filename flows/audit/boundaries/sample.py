"""What the boundaries are measured on: one real picture with everything that the pipeline has
made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.detect import Detect
from operators.fetch import Fetch
from operators.generators.classical import CLASSICAL
from operators.masks.mask import BLEND, hole_of
from operators.pictures.codec import FRAMES
from operators.pictures.picture import Edit, Picture
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure
from operators.rows.table import Region, row_views
from operators.soften import Soften
from operators.storage.source_image import SourceImage
from operators.vision.text_detector import Probability, text_detector

RoundTrip = Callable[[Pixels], Pixels]
"""A picture (uint8 height x width x 3) into a model's latent space and back, of the same size."""

Embed = Callable[[Pixels], npt.NDArray[np.float32]]
"""A picture (uint8 height x width x 3) to its embedding."""


@dataclass(frozen=True)
class Sample:
    """One picture: its file, its pixels, the detector's float map of it, its regions after
    `detect` and after `soften`.
    """

    data: bytes
    picture: Picture
    probability: Probability
    found: Sequence[Region]
    softened: Sequence[Region]
    autoencoder: RoundTrip | None = None
    embed: Embed | None = None

    @cached_property
    def rgb(self) -> Pixels:
        """The whole picture, upright, uint8 height x width x 3."""
        return self.picture.rgb()

    @cached_property
    def crops(self) -> list[tuple[Pixels, Pixels]]:
        """Pixels and four-channel mask of every region that `soften` made."""
        return [(region.array("pixels", 3), region.array("mask", 4)) for region in self.softened]

    @cached_property
    def fills(self) -> list[Pixels | None]:
        """A fill of every region, as the cheapest rung makes it; None where the crop shows
        nothing to continue.
        """
        holes = [hole_of(mask) for _, mask in self.crops]
        fill = CLASSICAL["navier_stokes"]
        return [
            fill(np.ascontiguousarray(pixels), hole, 0) if (hole == 0).any() else None
            for (pixels, _), hole in zip(self.crops, holes, strict=True)
        ]

    @cached_property
    def edits(self) -> list[Edit]:
        """The edits that `compose` would make if every fill were accepted."""
        return [
            Edit(region["crop"]["x"], region["crop"]["y"], fill, mask[:, :, BLEND].astype(np.float32) / np.float32(255))
            for region, (_, mask), fill in zip(self.softened, self.crops, self.fills, strict=True)
            if fill is not None
        ]


def sample_of(item: SourceImage, autoencoder: RoundTrip | None = None, embed: Embed | None = None) -> Sample:
    """A listed picture, fetched, detected and softened. Raises Failure as those operators meet
    it.

    The detector's map is made again, as `detect` makes it, since the row keeps only parts of it.
    """
    size = pa.array([item.size if item.size >= 0 else None], pa.int64())
    operator = Detect()
    table = operator.apply(Fetch().apply(pa.table({"uri": [item.uri], "size": size})))
    (detected,), (softened,) = row_views(table), row_views(Soften().apply(table))
    if softened["failure"] is not None:
        raise Failure(softened["failure"]["code"], softened["failure"]["message"])
    data, sha256 = bytes(detected.data("bytes") or b""), detected["source_sha256"]
    shown = FRAMES.at_least(sha256, data, operator.limits, operator.scale.factor)
    width, height = shown.size
    rgb = shown.rgb()
    probability = text_detector().probability(rgb, operator.scale.factor(width, height) * width / rgb.shape[1])
    picture = FRAMES.decode(sha256, data, operator.limits)
    return Sample(data, picture, probability, detected.regions, softened.regions, autoencoder, embed)
