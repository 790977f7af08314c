"""Frequencies of real planes, by OpenCV: several times faster than those of numpy, in float32.

OpenCV packs the frequencies of a plane into a plane of the same size. All columns but the first and
the last hold complex numbers. Those two, of no change and of the fastest change along a row, are
left out: whitening leaves next to nothing of the one, and smoothing of the other.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.overlay import Plane

Spectrum = npt.NDArray[np.complex64]


def fast_size(least: int) -> int:
    """The next even number of pixels that is transformed fast."""
    size = cv2.getOptimalDFTSize(least)
    while size % 2:
        size = cv2.getOptimalDFTSize(size + 1)
    return int(size)


def spectrum_of(plane: Plane, rows: int = 0) -> Spectrum:
    """The frequencies of a plane with an even number of columns.

    `rows` says how many rows at the top hold something, if not all do.
    """
    frequencies: Spectrum = cv2.dft(plane, nonzeroRows=rows)[:, 1:-1].view(np.complex64)
    return frequencies


def plane_of(first: Spectrum, *others: Spectrum) -> Plane:
    """The plane of a sum of frequencies."""
    packed = np.zeros((first.shape[0], 2 * first.shape[1] + 2), np.float32)
    inside = packed[:, 1:-1].view(np.complex64)
    inside += first
    for other in others:
        inside += other
    plane: Plane = cv2.idft(packed, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
    return plane
