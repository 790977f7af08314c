"""Letters on a panel that the stroke network has missed, and those that a polygon has cut off.

On a panel of one colour, letters are the connected pixels of one ink. The network misses some where
the detector's box is higher than the line, and a box may end within a word.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels, Selection

Flags = npt.NDArray[np.bool_]

LEAST_HELD, LEAST_TOUCHED, LEAST_INSIDE = 0.5, 0.1, 0.6
"""Share of a letter that strokes cover if it is theirs, the same within the polygon, and the share
of it that lies in the polygon then.
"""
MOST_GAP = 0.35
"""Widest gap between two letters of a word, in heights of the letters."""
LOWEST, HIGHEST, LEAST_OVERLAP = 0.6, 1.6, 0.5
"""Heights of a letter beyond the polygon, in heights of the letters, and the least share of the
lower one of two letters that lies beside the other.
"""
MOST_MISSED = 1.0
"""Pixels that may be missed, as a share of those of the letters; more are a thing."""


def missed_letters(ink: Selection, letters: Selection, panel: Selection, inside: Pixels) -> Selection:
    """The pixels of letters on a panel that `letters` lacks; all maps are height x width.

    `ink` are the pixels in the letters' ink, and `inside` is the filled polygon of the text (0 or
    255). What lies in the polygon is a letter if it is as near to one as letters of a word are.
    Beyond it, it must stand beside one in the same line and be about as high.
    """
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    sizes = np.maximum(np.bincount(labels.ravel(), minlength=count), 1)
    covered, on_panel, in_polygon = (
        np.bincount(labels[places], minlength=count) / sizes for places in (letters, panel, panel & (inside > 0))
    )
    own = (covered >= LEAST_HELD) | ((covered >= LEAST_TOUCHED) & (in_polygon >= LEAST_INSIDE))
    own[0] = False
    if not own.any():
        return np.zeros_like(letters)
    upright = boxes[:, [1, 0, 3, 2]] if _is_vertical(inside) else boxes[:, :4]
    heights = upright[own, 3]
    height = float(np.median(heights[heights >= LEAST_OVERLAP * heights.max()]))
    candidates = (on_panel == 1) & ~own
    candidates[0] = False
    found = own.copy()
    while (new := candidates & ~found & _are_beside(upright, found, in_polygon >= LEAST_INSIDE, height)).any():
        found |= new
    missed: Selection = ink & found[labels] & panel & ~letters
    return missed if missed.sum() <= MOST_MISSED * letters.sum() else np.zeros_like(letters)


def _is_vertical(inside: Pixels) -> bool:
    _, _, width, height = cv2.boundingRect(inside)
    return bool(height > width)


def _are_beside(boxes: npt.NDArray[np.int32], found: Flags, in_polygon: Flags, height: float) -> Flags:
    """Which boxes (left, top, width, height) stand beside one of those found."""
    left, top, right, bottom = (boxes[:, 0], boxes[:, 1], boxes[:, 0] + boxes[:, 2], boxes[:, 1] + boxes[:, 3])
    gap = np.maximum(left[:, None] - right[None, found], left[None, found] - right[:, None])
    apart = np.maximum(top[:, None] - bottom[None, found], top[None, found] - bottom[:, None])
    lower = np.minimum(boxes[:, None, 3], boxes[None, found, 3])
    near = (gap <= MOST_GAP * height) & (apart <= MOST_GAP * height)
    as_high = (boxes[:, 3] >= LOWEST * height) & (boxes[:, 3] <= HIGHEST * height)
    in_line = near & (-apart >= LEAST_OVERLAP * lower)
    result: Flags = np.where(in_polygon, near.any(axis=1), as_high & in_line.any(axis=1))
    return result
