"""Bounds for the loss at each boundary, which `cleanplate audit` checks.

They state the documentation of the row (`operators.rows.schema`) as figures. Each bound follows
from theory or from a published figure, never from a sample. It applies to every single picture,
because a mean can hide a ruined one. A boundary with an empty bound is an alternative that the
pipeline does not use; it is measured for comparison only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flows.audit.boundaries.crossing import BAND_NAMES, Crossing
from flows.audit.boundaries.embedding import STORED_TYPE
from flows.audit.boundaries.sizes import SIZES

HALF_A_LEVEL = 0.5
"""Largest error of rounding to a byte, in grey levels of 255."""
HALF_THE_ENERGY = 0.5
"""Energy that is left at the edge of a filter's passband (-3 dB), by the usual definition."""
ROUNDED_TWICE = 1.5
"""Grey levels: half a level times a slope of 2, the steepest between two common transfer curves,
plus half a level of the second rounding.
"""
LEAST_SEEN = 0.1
"""A part of the picture is starved if one grey level of it moves the embedding by less than this
share (-20 dB) of the move by the best seen part.
"""


def psnr_of(grey_levels: float) -> float:
    """PSNR in dB if every value is off by this many levels of 255."""
    return 20 * math.log10(255 / grey_levels)


@dataclass(frozen=True)
class Bound:
    """The most that one boundary may lose, and the reason for it; None sets no limit."""

    why: str
    psnr: float | None = None
    """Least PSNR in dB."""
    grey_levels: float | None = None
    """Largest error of a value, in levels of 255."""
    band_energy: tuple[float | None, ...] = (None,) * len(BAND_NAMES)
    """Least share of the energy of each octave band that arrives, finest band first."""
    cells_lost: float | None = None
    """Largest share of a mask's cells that is lost."""


@dataclass(frozen=True)
class Breach:
    """A figure that breaks its bound."""

    figure: str
    """`PSNR`, `largest error`, the name of a band, or `cells`."""
    value: float
    limit: float
    unit: str = ""

    def __str__(self) -> str:
        return f"{self.figure} {self.value:.3g}{self.unit}, bound {self.limit:.3g}{self.unit}"


LONGEST_CROP = 768
"""Longest side in pixels of the crops whose resizing is bounded."""


def _resizing(size: int) -> Bound:
    """The bound of the sampling theorem for a crop of LONGEST_CROP pixels.

    All bands below the limit of the smaller grid must arrive.
    """
    scale = size / LONGEST_CROP
    arriving = [name for band, name in enumerate(BAND_NAMES) if scale >= 2.0**-band]
    return Bound(
        f"a crop of {LONGEST_CROP} px is scaled by {scale:.2g} or more, "
        f"a longer line is to be worked in pieces; sampling theory leaves {', '.join(arriving)}, at half their energy or more",
        band_energy=tuple(HALF_THE_ENERGY if scale >= 2.0**-band else None for band in range(len(BAND_NAMES))),
    )


BOUNDS: dict[str, Bound] = {
    "detector map to stored map": Bound(
        "the detector's own cells in 255 steps: half a step at most", psnr_of(HALF_A_LEVEL), HALF_A_LEVEL + 1e-3
    ),
    "stored map to source pixels": Bound(
        "every cell covers whole pixels, so nothing moves; half a step of the map, and half a step of what it is scaled to",
        grey_levels=2 * HALF_A_LEVEL + 1e-3,
    ),
    "polygon to stored corners": Bound("float32 has 24 bits: 2^-24 of the longer side at most", grey_levels=255 * 2.0**-24),
    "polygon to raster": Bound(
        "the detector's corners are whole pixels, a convex polygon that covers more than half of a pixel holds its centre, and "
        "edges are drawn: none is lost",
        cells_lost=0.0,
    ),
    "soft mask to bytes": Bound("weights in 255 steps: half a step at most", psnr_of(HALF_A_LEVEL), HALF_A_LEVEL + 1e-3),
    "paste-back by bytes": Bound(
        "half a step of the weight moves a pixel by half a level at most, where fill and picture are black and white",
        psnr_of(HALF_A_LEVEL),
        HALF_A_LEVEL + 1e-3,
    ),
    "strokes to latent cells, max-pooled": Bound("a cell that any stroke touches is masked", cells_lost=0.0),
    "strokes to latent cells, nearest": Bound("not taken: how the usual latent pipelines shrink a mask"),
    "strokes to latent cells, mean at 0.5": Bound("not taken: averaged and made binary"),
    **{f"crop to {size} px and back": _resizing(size) for size in SIZES},
    "latent round trip": Bound(
        "23.4 dB is what the card of Stable Diffusion's first 8-fold, 4-channel autoencoder publishes for COCO at 256 px, the "
        "weakest in use; waves longer than two latent cells fit the latent grid",
        psnr=23.4,
        band_energy=(None, None, None, HALF_THE_ENERGY),
    ),
    "embedding to stored type": Bound(
        f"the row keeps {np.dtype(STORED_TYPE)}: half of its last bit of the largest value at most",
        grey_levels=255 * 2.0 ** -(np.finfo(STORED_TYPE).nmant + 1),
    ),
    "embedding to float16": Bound("not taken: half the bytes"),
    "embedding to uint8": Bound("not taken: a quarter of the bytes"),
    "colour space and back": Bound(
        "8-bit sRGB as it is costs nothing; another space is rounded twice", psnr_of(ROUNDED_TWICE), ROUNDED_TWICE + 1e-3
    ),
    "file: untouched pixels": Bound("they are copied, or their coefficients are", grey_levels=0.0),
    "file: untouched pixels, coded again": Bound("as the edited pixels of such a file", psnr=28.3),
    "file: rest of touched JPEG blocks": Bound(
        "coded again by the same tables: the noise of Annex K's luminance table halved (mean q^2/12), which the standard calls "
        "nearly indistinguishable",
        psnr=28.3,
    ),
    "file: edited pixels, JPEG": Bound("as the rest of their blocks", psnr=28.3),
    "file: edited pixels, coded again": Bound(
        "as for JPEG: lossy WebP, AVIF, HEIC, JPEG XL and JPEG 2000 take no coarser steps", psnr=28.3
    ),
    "file: edited pixels, palette": Bound(
        "no new colours: even the fixed palette of 6 x 7 x 6 colours has steps of 42.5 to 51 levels (step^2/12)",
        psnr=25.2,
    ),
    "file: edited pixels, lossless": Bound("nothing", grey_levels=0.0),
}
"""Every boundary in the order an image crosses them, with its bound."""


def breaches(crossing: Crossing) -> Iterator[Breach]:
    """Yield the figures of a crossing that break the bound of its boundary.

    Raises KeyError for a boundary without a bound.
    """
    bound = BOUNDS[crossing.boundary]
    if bound.psnr is not None and crossing.psnr is not None and crossing.psnr < bound.psnr:
        yield Breach("PSNR", crossing.psnr, bound.psnr, " dB")
    if bound.grey_levels is not None and crossing.grey_levels is not None and crossing.grey_levels > bound.grey_levels:
        yield Breach("largest error", crossing.grey_levels, bound.grey_levels, " levels")
    for name, share, least in zip(BAND_NAMES, crossing.band_energy, bound.band_energy, strict=True):
        if share is not None and least is not None and share < least:
            yield Breach(name, share, least, " of its energy")
    if bound.cells_lost is not None and crossing.cells_lost is not None and crossing.cells_lost > bound.cells_lost:
        yield Breach("cells", 1 - crossing.cells_lost, 1 - bound.cells_lost, " arrived")
