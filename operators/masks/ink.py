"""The colour that letters are drawn in, and the pixels that have a colour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.mask import dilated
from operators.rows.arrays import Pixels, Selection

SAME_COLOUR = 48.0
"""Grey levels by which what is drawn in one ink may differ from the ink's colour."""


def has_colour(rgb: Pixels, colour: npt.NDArray[np.float64], tolerance: float) -> Selection:
    """The pixels that differ from a colour by at most `tolerance` grey levels in every channel.

    `rgb` is uint8 height x width x 3, and `colour` red, green and blue in grey levels.
    """
    lowest, highest = np.ceil(colour - tolerance), np.floor(colour + tolerance)
    result: Selection = cv2.inRange(np.ascontiguousarray(rgb), lowest, highest) > 0
    return result


def ink_colour(rgb: Pixels, letters: Selection) -> npt.NDArray[np.float64]:
    """The colour of letters: that of their pixels farthest from the surroundings.

    The rims of thin letters are mixed with the surroundings. `rgb` is uint8 height x width x 3;
    `letters` is height x width and holds at least one pixel. The result is red, green and blue in
    grey levels.
    """
    around = (dilated(letters.astype(np.uint8), 4) > 0) & ~letters
    inside = rgb[letters].astype(np.float64)
    if not around.any():
        return np.asarray(np.median(inside, axis=0))
    distance = np.abs(inside - np.median(rgb[around], axis=0)).max(axis=1)
    return np.asarray(np.median(inside[distance >= np.percentile(distance, 60)], axis=0))
