"""Measure whether an edit looks like its picture: its detail in each band, and its overshoot."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.metrics.continuity import luma
from operators.rows.arrays import Pixels, Selection

BANDS = 4
"""Number of octave bands; the finest, half to a quarter of the sampling rate, comes first."""


def octave_bands(rgb: Pixels) -> list[npt.NDArray[np.float32]]:
    """The luma's octave bands at full size, finest first, in grey levels.

    They are differences of Gaussians whose sigma starts at 0.8 pixels and doubles each time (Burt
    and Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983, without subsampling).
    """
    level, bands = luma(rgb), []
    for octave in range(BANDS):
        smooth = cv2.GaussianBlur(luma(rgb), (0, 0), 0.8 * 2**octave, borderType=cv2.BORDER_REFLECT_101)
        bands.append(level - smooth)
        level = smooth
    return bands


def band_energies(rgb: Pixels, where: Selection) -> list[float]:
    """Mean squared value of each octave band over `where`, in squared grey levels, finest first.

    NaN if `where` is empty.
    """
    return [float(np.mean(band[where] ** 2)) if where.any() else float("nan") for band in octave_bands(rgb)]


def band_ratios(rgb: Pixels, edited: Selection, ring: Selection) -> list[float]:
    """Base-2 logarithm of each octave band's energy in `edited` over that in the ring.

    The finest band comes first. 0 means equal energies; one squared grey level is added to both.
    NaN if either is empty.
    """
    pairs = zip(band_energies(rgb, edited), band_energies(rgb, ring), strict=True)
    return [float(np.log2((inside + 1) / (around + 1))) for inside, around in pairs]


def overshoot_share(result: Pixels, source: Pixels, where: Selection, radius: int = 5) -> float:
    """Share of `where`, 0..1, in which the result's luma leaves the source's local range.

    The range is that of the source within `radius` pixels, plus two grey levels for rounding. The
    share counts ringing and oversharpening (after Marziliano et al., 2004). NaN if `where` is
    empty.
    """
    if not where.any():
        return float("nan")
    kernel = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    values, source_luma = luma(result), luma(source)
    outside = (values > cv2.dilate(source_luma, kernel) + 2) | (values < cv2.erode(source_luma, kernel) - 2)
    return float(outside[where].mean())
