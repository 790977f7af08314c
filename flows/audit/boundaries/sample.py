"""A sample for the boundaries: one real picture with all intermediate results of the pipeline."""

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
from operators.masks.alpha import lift_fill
from operators.masks.mask import BLEND, hole_of, moved
from operators.masks.stroke_mask import FOUND, StrokeMask
from operators.pictures.codec import FRAME_CACHE
from operators.pictures.picture import Edit, Picture
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure
from operators.rows.regions import OPEN
from operators.rows.table import Region, row_views
from operators.soften import Look, Soften
from operators.storage.source_image import SourceImage
from operators.vision.close_look import FoundText

RoundTrip = Callable[[Pixels], Pixels]
"""Takes a picture (uint8 height x width x 3) to a model's latent space and back, at its size."""

Weights = npt.NDArray[np.float32]

Embed = Callable[[Pixels], npt.NDArray[np.float32]]
"""Embeds a picture (uint8 height x width x 3)."""


@dataclass(frozen=True)
class Sample:
    """One picture with its intermediate results, and the models that some boundaries need."""

    data: bytes
    """The file."""
    picture: Picture
    seen: Sequence[FoundText]
    """The texts as `detect` sees them, before they are stored."""
    found: Sequence[Region]
    """The regions after `detect`, in the same order."""
    softened: Sequence[Region]
    """The regions after `soften`, without those that are kept."""
    weights: Sequence[Weights]
    """For each of them, the weights at paste-back before they are rounded to bytes, 0..255, float32
    height x width of the crop. Zero where no weight follows from the strokes' probabilities.
    """
    autoencoder: RoundTrip | None = None
    embed: Embed | None = None

    @cached_property
    def rgb(self) -> Pixels:
        """The whole picture, upright, uint8 height x width x 3."""
        return self.picture.rgb()

    @cached_property
    def crops(self) -> list[tuple[Pixels, Pixels]]:
        """The pixels and the four-channel mask of every region after `soften`."""
        return [(region.array("pixels", 3), region.array("mask", 4)) for region in self.softened]

    @cached_property
    def fills(self) -> list[Pixels | None]:
        """The fill of every region by the cheapest rung; None if the mask covers the whole crop."""
        holes = [hole_of(mask) for _, mask in self.crops]
        fill = CLASSICAL["navier_stokes"]
        return [
            fill(np.ascontiguousarray(pixels), hole, 0) if (hole == 0).any() else None
            for (pixels, _), hole in zip(self.crops, holes, strict=True)
        ]

    @cached_property
    def edits(self) -> list[Edit]:
        """The edits of `compose` if every fill were accepted."""
        edits = []
        for region, (pixels, mask), fill in zip(self.softened, self.crops, self.fills, strict=True):
            if fill is None:
                continue
            seen = region.transparency()
            colours, alpha = (fill, None) if seen is None else lift_fill(pixels, fill, mask, seen)
            weight = mask[:, :, BLEND].astype(np.float32) / np.float32(255)
            edits.append(Edit(region.crop.x, region.crop.y, colours, weight, alpha))
        return edits


def take_sample(item: SourceImage, autoencoder: RoundTrip | None = None, embed: Embed | None = None) -> Sample:
    """Fetch a listed picture, detect its text, and soften the regions.

    Runs the detector and the stroke network a second time, because the row keeps their maps in 255
    steps.
    Raises Failure as these operators do.
    """
    size = pa.array([item.size if item.size >= 0 else None], pa.int64())
    operator = Detect()
    table = operator.apply(Fetch().apply(pa.table({"uri": [item.uri], "size": size})))
    (detected,), (softened,) = row_views(table), row_views(Soften().apply(table))
    if softened["failure"] is not None:
        raise Failure(softened["failure"]["code"], softened["failure"]["message"])
    data, sha256 = bytes(detected.data("bytes") or b""), detected["source_sha256"]
    frame = FRAME_CACHE.decode_at_least(sha256, data, operator.limits, operator.view.factor)
    seen = [one.text for one in operator.see(frame)]
    picture = FRAME_CACHE.decode(sha256, data, operator.limits)
    masked = {number: region for number, region in enumerate(softened.regions) if region["state"] == OPEN}
    looks = Soften().looks(picture, [region.record() for region in detected.regions])
    weights = {look.number: _weights(masked[look.number], look) for look in looks}
    chosen = sorted(masked)
    return Sample(
        data,
        picture,
        seen,
        detected.regions,
        [masked[number] for number in chosen],
        [weights[number] for number in chosen],
        autoencoder,
        embed,
    )


def _weights(region: Region, look: Look) -> Weights:
    """The exact weights of a region's strokes on its crop; see `Sample.weights`."""
    crop = region.crop
    if region["strokes"] != FOUND:
        return np.zeros((crop.height, crop.width), np.float32)
    return moved(StrokeMask().exact_certainty(look.probability), look.line.reach, crop)
