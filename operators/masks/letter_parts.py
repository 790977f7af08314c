"""What belongs to letters although the stroke network misses it: their bodies and outlines.

All pictures are uint8 height x width x 3, all strokes uint8 height x width, 0 or 255.
"""

from __future__ import annotations

import cv2
import numpy as np

from operators.masks.mask import dilated
from operators.rows.arrays import Pixels, largest_channel

NEAR = 16
"""Pixels around the strokes whose colours count as those of the surroundings."""
COLOUR_CELLS = 16
"""Steps of each channel in which colours are compared."""
LEAST_BODY = 12
"""Pixels of the smallest body of a letter that is looked for inside its outline."""
WIDEST_OUTLINE = 0.2
"""Width of the widest outline of letters, as a share of the line's height."""
OUTLINE_COLOUR = 40
"""Grey levels by which the pixels of an outline may differ from its colour."""
LEAST_OUTLINED = 0.6
"""Share of the pixels beside the letters that have the outline's colour."""


def with_bodies(rgb: Pixels, strokes: Pixels) -> Pixels:
    """The strokes with what they enclose, where its colour is not that of the surroundings.

    The network may see the outline of a large letter and miss its body. The hole of an `O` is
    enclosed as well, but shows the colour of the surroundings.
    """
    outside = strokes == 0
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(outside.astype(np.uint8), connectivity=4)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    around = np.isin(labels, border) & outside & (dilated(strokes, NEAR) > 0)
    if not around.any():
        return strokes
    seen = np.zeros((COLOUR_CELLS,) * 3, np.uint8)
    cells = rgb // (256 // COLOUR_CELLS)
    seen[tuple(cells[around].T)] = 1
    for axis in range(3):
        padded = np.pad(seen, [(1, 1) if side == axis else (0, 0) for side in range(3)])
        neighbours = [np.take(padded, range(start, start + COLOUR_CELLS), axis=axis) for start in range(3)]
        seen = np.maximum.reduce(neighbours)
    strange = seen[tuple(cells.reshape(-1, 3).T)].reshape(outside.shape) == 0
    result = strokes.copy()
    for label in range(1, count):
        enclosed = labels == label
        if label not in border and boxes[label][4] >= LEAST_BODY and strange[enclosed].mean() > 0.5:
            result[enclosed] = 255
    return result


def with_outline(rgb: Pixels, strokes: Pixels, height: float) -> Pixels:
    """The strokes with an outline of one colour around them, where there is one.

    The pixels next to the letters have mostly one colour then, and those beyond do not.
    """
    width = round(WIDEST_OUTLINE * height)
    beside = (dilated(strokes, 3) > 0) & (dilated(strokes, 1) == 0)
    beyond = (dilated(strokes, 2 * width + 3) > 0) & (dilated(strokes, width + 3) == 0)
    if width < 2 or not beside.any() or not beyond.any():
        return strokes
    colour = np.median(rgb[beside], axis=0)
    alike = largest_channel(np.abs(rgb - colour)) <= OUTLINE_COLOUR
    if alike[beside].mean() < LEAST_OUTLINED or alike[beyond].mean() > 0.5 * alike[beside].mean():
        return strokes
    grown = strokes > 0
    allowed = alike | (dilated(strokes, 1) > 0)
    for _ in range(width + 1):
        grown |= (dilated(grown.astype(np.uint8), 1) > 0) & allowed
    return np.where(grown, 255, 0).astype(np.uint8)
