"""Dilation by large discs: the pixels of OpenCV's, in a time that hardly depends on the radius.

OpenCV's time grows with the area of the disc. Here the distance to the nearest letter tells whether
the disc reaches a pixel; only at the rim of the disc its rows are compared one by one.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels, Selection

FAR = 1 << 20
"""Distance in pixels of a letter in a row that has none."""


def dilate_by_distance(mask: Pixels, radius: int) -> Pixels:
    """The mask, in which all letters have one value, dilated by a disc of `radius` pixels.

    The disc is OpenCV's ellipse: its row `y` reaches as far as sqrt(radius^2 - y^2), rounded. So it
    holds every pixel within `radius`, and none at `radius` + 1/2 or beyond. `mask` is uint8.
    """
    letters = mask > 0
    distance = cv2.distanceTransform((~letters).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    grown = distance <= radius
    rows, columns = np.nonzero((distance > radius) & (distance < radius + 0.5))
    grown[rows, columns] = _reached(_distance_in_row(letters), rows, columns, radius)
    return np.where(grown, mask.max(), 0).astype(np.uint8)


def _reached(
    distance: npt.NDArray[np.int32], rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], radius: int
) -> Selection:
    """Which of some pixels the disc reaches, from the distances to a letter in the same row."""
    reached = np.zeros(len(rows), bool)
    for down in range(-radius, radius + 1):
        half = round(float(np.sqrt(radius * radius - down * down)))
        inside = (rows + down >= 0) & (rows + down < len(distance))
        reached[inside] |= distance[rows[inside] + down, columns[inside]] <= half
    return reached


def _distance_in_row(letters: Selection) -> npt.NDArray[np.int32]:
    """How far the nearest letter in the same row is from each pixel."""
    place = np.arange(letters.shape[1], dtype=np.int32)
    before = np.maximum.accumulate(np.where(letters, place, np.int32(-FAR)), axis=1)
    after = np.minimum.accumulate(np.where(letters, place, np.int32(FAR))[:, ::-1], axis=1)[:, ::-1]
    return np.minimum(place - before, after - place)
