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


def plane_of(frequencies: Spectrum) -> Plane:
    """The plane that has these frequencies."""
    packed = _packed(frequencies)
    packed[:, 1:-1].view(np.complex64)[:] = frequencies
    return _plane(packed)


def product_of(first: Spectrum, second: Spectrum) -> Plane:
    """The sum over planes of products of frequencies (planes x rows x columns), as a plane."""
    packed = _packed(first[0])
    inside = packed[:, 1:-1].view(np.complex64)
    np.multiply(first[0], second[0], out=inside)
    for one, other in zip(first[1:], second[1:], strict=True):
        inside += one * other
    return _plane(packed)


def _packed(frequencies: Spectrum) -> Plane:
    """Room for frequencies as OpenCV packs them, nothing in the columns that are left out."""
    packed = np.empty((frequencies.shape[0], 2 * frequencies.shape[1] + 2), np.float32)
    packed[:, 0] = packed[:, -1] = 0
    return packed


def _plane(packed: Plane) -> Plane:
    plane: Plane = cv2.idft(packed, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT)
    return plane
