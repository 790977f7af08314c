"""What the boundaries are measured on: one real picture with everything that the pipeline has made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from operators.image import Edit, Picture
from operators.inpaint import RUNGS, hole_of
from operators.mask import BLEND
from operators.table import Pixels, Region
from operators.text_detector import Probability

RoundTrip = Callable[[Pixels], Pixels]
"""A picture (uint8 height x width x 3) into a model's latent space and back, of the same size."""

Embed = Callable[[Pixels], npt.NDArray[np.float32]]
"""A picture (uint8 height x width x 3) to its embedding."""


@dataclass(frozen=True)
class Sample:
    """One picture: its file, its pixels, the detector's float map of it, its regions after `detect` and after `soften`."""

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
        """A fill of every region, as the cheapest rung makes it; None where the crop shows nothing to continue."""
        holes = [hole_of(mask) for _, mask in self.crops]
        fill = RUNGS["navier_stokes"]
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
