"""Errors that the eye sees: those of places that should be flat, and stains.

They compare a picture with another one of which it should be an equal: the truth, or a second
guess at it.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.metrics.continuity import luma
from operators.rows.arrays import Pixels, Selection

Field = npt.NDArray[np.float32]
"""One value a pixel, or one for each channel of a pixel."""

ERROR_SIGMA = 2.0
"""Pixels over which errors are smoothed before they are compared with the clean picture."""
FLAT_DEVIATION = 3.0
"""Grey levels: the largest local deviation of a flat place; see `flat_places`."""
FLAT_SIGMA = 4.0
"""Pixels: the window over which the local deviation is measured."""
NEAR_BLACK = 32.0
"""Luma of the clean picture below which errors count double, as the eye sees them there."""
STAIN_SIGMA = 5.0
"""Pixels over which the brightness is smoothed to find stains."""


def flat_errors(picture: Pixels, clean: Pixels) -> Field:
    """The smoothed error at each pixel where the clean picture is flat, in grey levels; else 0.

    Both are uint8, height x width x 3. Near black, errors count double.
    """
    errors = smoothed_difference(picture, clean, ERROR_SIGMA)
    errors *= np.where(_smoothed(luma(clean), ERROR_SIGMA) < NEAR_BLACK, 2, 1)
    return np.where(flat_places(clean), errors, 0)


def stains(picture: Pixels, clean: Pixels) -> Field:
    """The size of the difference in brightness at each pixel, smoothed widely, in grey levels."""
    return np.abs(_smoothed(luma(picture) - luma(clean), STAIN_SIGMA))


def flat_places(clean: Pixels) -> Selection:
    """Where a picture is so flat that the eye sees small errors.

    The luma, smoothed over 1 pixel to disregard grain, deviates from its local mean by at most
    FLAT_DEVIATION grey levels (standard deviation in a Gaussian window of FLAT_SIGMA). A gradient
    of less than 0.75 grey levels a pixel is flat; the surroundings of an edge are not, for about
    the window's size.
    """
    level = _smoothed(luma(clean), 1.0)
    variance = _smoothed(level * level, FLAT_SIGMA) - _smoothed(level, FLAT_SIGMA) ** 2
    flat: Selection = variance <= FLAT_DEVIATION**2
    return flat


def smoothed_difference(first: Pixels, second: Pixels, sigma: float) -> Field:
    """The size of the smoothed difference of two pictures at each pixel, in grey levels.

    It is the root mean square over the channels, so a difference of one channel counts less than
    one of all, as it does to the eye.
    """
    difference = _smoothed(first.astype(np.float32) - second, sigma)
    size: Field = np.sqrt((difference * difference).mean(axis=2))
    return size


def _smoothed(values: Field, sigma: float) -> Field:
    smooth: Field = cv2.GaussianBlur(values, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101)
    return smooth
