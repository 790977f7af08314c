"""What one crossing of a boundary lost: figures that add up over pictures.

Three kinds of loss, each only where it means something: the error of the values, the energy that
arrives in each octave band, and the cells of a mask that are gone on the other side.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from operators.metrics.naturalness import BANDS, octave_bands
from operators.rows.arrays import Pixels, Selection

BAND_NAMES = tuple(f"{2 ** (band + 1)}-{2 ** (band + 2)} px" for band in range(BANDS))
"""The octave bands by the length of their waves, finest first."""

LEAST_ENERGY = 1.0
"""Mean squared grey levels below which a band holds nothing that could be lost."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Crossing:
    """Sums over what was compared at one boundary.

    `squared` and `largest` are errors as shares of the full range. `sent` is the energy of each
    octave band before, `arrived` its inner product with the same band after; `weighed` counts
    their pixels.
    """

    boundary: str
    values: int = 0
    squared: float = 0.0
    largest: float = 0.0
    weighed: int = 0
    sent: tuple[float, ...] = (0.0,) * BANDS
    arrived: tuple[float, ...] = (0.0,) * BANDS
    cells: int = 0
    lost: int = 0

    @property
    def psnr(self) -> float | None:
        """10 log10(1 / mean squared error) in dB, infinite without any error; None where no
        values were compared.
        """
        if not self.values:
            return None
        return math.inf if self.squared == 0 else 10 * math.log10(self.values / self.squared)

    @property
    def grey_levels(self) -> float | None:
        """The largest error in levels of 255; None where no values were compared."""
        return 255 * self.largest if self.values else None

    @property
    def band_energy(self) -> tuple[float | None, ...]:
        """Share of each octave band's energy that arrives, finest first; None for a band that was
        empty before.

        Only what is still the same wave counts: 1 for an identity, 0 for a band that is gone, and
        noise or aliasing that fills the band again does not make up for it.
        """
        return tuple(
            max(0.0, arrived / sent) ** 2 if self.weighed and sent / self.weighed >= LEAST_ENERGY else None
            for sent, arrived in zip(self.sent, self.arrived, strict=True)
        )

    @property
    def cells_lost(self) -> float | None:
        """Share of the mask's cells that are gone, 0..1; None where no mask crossed."""
        return self.lost / self.cells if self.cells else None


def pooled(crossings: Iterable[Crossing]) -> Crossing:
    """Several crossings of one boundary as one. Raises ValueError without any, or for two
    boundaries.
    """
    parts = list(crossings)
    if len({part.boundary for part in parts}) != 1:
        raise ValueError(f"not one boundary: {sorted({part.boundary for part in parts})}")
    return Crossing(
        parts[0].boundary,
        sum(part.values for part in parts),
        sum(part.squared for part in parts),
        max(part.largest for part in parts),
        sum(part.weighed for part in parts),
        tuple(map(sum, zip(*(part.sent for part in parts), strict=True))),
        tuple(map(sum, zip(*(part.arrived for part in parts), strict=True))),
        sum(part.cells for part in parts),
        sum(part.lost for part in parts),
    )


def of_values(boundary: str, before: Values, after: Values, full_range: float) -> Crossing:
    """Values of one shape before and after; their errors are divided by `full_range`."""
    error = (before.astype(np.float64) - after) / full_range
    return Crossing(boundary, error.size, float(np.sum(error**2)), float(np.abs(error).max(initial=0)))


def of_bands(boundary: str, before: Pixels, after: Pixels, where: Selection) -> Crossing:
    """The octave bands of two uint8 pictures (height x width x 3), over `where`."""
    pairs = [(one[where], other[where]) for one, other in zip(octave_bands(before), octave_bands(after), strict=True)]
    return Crossing(
        boundary,
        weighed=int(where.sum()),
        sent=tuple(float(np.sum(one**2, dtype=np.float64)) for one, _ in pairs),
        arrived=tuple(float(np.sum(one * other, dtype=np.float64)) for one, other in pairs),
    )


def of_pictures(boundary: str, before: Pixels, after: Pixels, where: Selection | None = None) -> Crossing:
    """Errors and octave bands of two uint8 pictures (height x width x 3) of one size, over
    `where` or all of them.
    """
    chosen = np.ones(before.shape[:2], bool) if where is None else where
    return pooled([of_values(boundary, before[chosen], after[chosen], 255), of_bands(boundary, before, after, chosen)])


def of_cells(boundary: str, before: Selection, after: Selection) -> Crossing:
    """The cells of a mask before, and which of them are still there after."""
    return Crossing(boundary, cells=int(before.sum()), lost=int((before & ~after).sum()))
