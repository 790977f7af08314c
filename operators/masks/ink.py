"""The colour that letters are drawn in, and the pixels that have a colour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.mask import dilated
from operators.rows.arrays import Pixels, Selection, largest_channel

STRONGEST = 1.6
"""How many times as far from the ground as the ink of thin letters its full colour may be."""
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


def has_ink(rgb: Pixels, ink: npt.NDArray[np.float64], ground: npt.NDArray[np.float64]) -> Selection:
    """The pixels with the colour of an ink, or with a stronger one of the same tint.

    The ink of thin letters is seen mixed with the ground. `ground` is the colour around them, red,
    green and blue in grey levels.
    """
    way = ink - ground
    length = max(1.0, float(way @ way))
    share = np.maximum((rgb - ground) @ way / length, 1.0)
    apart = largest_channel(np.abs(rgb - ground - share[:, :, None] * way))
    stronger: Selection = (share > 1) & (share <= STRONGEST) & (apart <= SAME_COLOUR)
    return has_colour(rgb, ink, SAME_COLOUR) | stronger
