"""The loss at a boundary, in figures that add up over pictures.

There are three kinds of loss, and each boundary has those that apply: the error of the values, the
energy that arrives in each octave band, and the lost cells of a mask.
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
"""The octave bands by wavelength, finest first."""

LEAST_ENERGY = 1.0
"""Mean squared grey levels below which a band counts as empty."""

Values = npt.NDArray[Any]


@dataclass(frozen=True)
class Crossing:
    """Sums over everything that was compared at one boundary."""

    boundary: str
    values: int = 0
    """Number of compared values."""
    squared: float = 0.0
    """Sum of the squared errors, as shares of the full range."""
    largest: float = 0.0
    """Largest error, as a share of the full range."""
    weighed: int = 0
    """Number of pixels whose octave bands were compared."""
    sent: tuple[float, ...] = (0.0,) * BANDS
    """Energy of each octave band before the boundary."""
    arrived: tuple[float, ...] = (0.0,) * BANDS
    """Inner product of each octave band before the boundary with the same band after it."""
    cells: int = 0
    """Number of cells of the mask before the boundary."""
    lost: int = 0
    """Number of these cells that are missing after it."""

    @property
    def psnr(self) -> float | None:
        """10 log10(1 / mean squared error) in dB: infinite without error, None without values."""
        if not self.values:
            return None
        return math.inf if self.squared == 0 else 10 * math.log10(self.values / self.squared)

    @property
    def grey_levels(self) -> float | None:
        """The largest error in levels of 255; None without values."""
        return 255 * self.largest if self.values else None

    @property
    def band_energy(self) -> tuple[float | None, ...]:
        """Share of each octave band's energy that arrives, finest first; None for an empty band.

        Only energy of the same wave counts: 1 for an identity, 0 for a lost band. Noise or
        aliasing that fills a band again does not replace its energy.
        """
        return tuple(
            max(0.0, arrived / sent) ** 2 if self.weighed and sent / self.weighed >= LEAST_ENERGY else None
            for sent, arrived in zip(self.sent, self.arrived, strict=True)
        )

    @property
    def cells_lost(self) -> float | None:
        """Share of the mask's cells that are lost, 0..1; None without a mask."""
        return self.lost / self.cells if self.cells else None


def pooled(crossings: Iterable[Crossing]) -> Crossing:
    """Pool several crossings of one boundary into one.

    Raises ValueError without crossings, and for crossings of different boundaries.
    """
    parts = list(crossings)
    if len({part.boundary for part in parts}) != 1:
        raise ValueError(f"crossings are not of one boundary: {sorted({part.boundary for part in parts})}")
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


def compare_values(boundary: str, before: Values, after: Values, full_range: float) -> Crossing:
    """Compare values of one shape before and after; errors are divided by `full_range`."""
    error = (before.astype(np.float64) - after) / full_range
    return Crossing(boundary, error.size, float(np.sum(error**2)), float(np.abs(error).max(initial=0)))


def compare_bands(boundary: str, before: Pixels, after: Pixels, where: Selection) -> Crossing:
    """Compare the octave bands of two uint8 pictures (height x width x 3) over `where`."""
    pairs = [(sent[where], got[where]) for sent, got in zip(octave_bands(before), octave_bands(after), strict=True)]
    return Crossing(
        boundary,
        weighed=int(where.sum()),
        sent=tuple(float(np.sum(sent**2, dtype=np.float64)) for sent, _ in pairs),
        arrived=tuple(float(np.sum(sent * got, dtype=np.float64)) for sent, got in pairs),
    )


def compare_pictures(boundary: str, before: Pixels, after: Pixels, where: Selection | None = None) -> Crossing:
    """Compare the values and octave bands of two uint8 pictures of one size, over `where`.

    The pictures have the shape height x width x 3. `where` defaults to all pixels.
    """
    selection = np.ones(before.shape[:2], bool) if where is None else where
    values = compare_values(boundary, before[selection], after[selection], 255)
    return pooled([values, compare_bands(boundary, before, after, selection)])


def compare_cells(boundary: str, before: Selection, after: Selection) -> Crossing:
    """Count the cells of a mask before, and those of them that are missing after."""
    return Crossing(boundary, cells=int(before.sum()), lost=int((before & ~after).sum()))
