"""What an edit must not touch: the texts beside it that stay, with their exact pixels."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon, rasterised, stroke_height
from operators.masks.mask import dilated
from operators.rows.arrays import Pixels, Selection
from operators.rows.box import Box

HEART = 0.2
"""How deep inside its polygon a text that stays has every pixel, as a share of its height."""
BEYOND = 0.25
"""How far letters may reach out of their polygon, as a share of the line's height."""
LEAST_BEYOND = 3
"""The same at least, in pixels."""
SOFT_EDGE = 2
"""Pixels around the strokes of a letter that its soft edge may reach."""


def beside(own: Sequence[Polygon], kept: Sequence[Polygon], box: Box) -> Selection:
    """The pixels of a box that belong to texts that stay, and not to the text of `own`.

    A pixel in or near the polygons of both belongs to the one that it is deeper in, or nearer to.
    But the middle of a line that stays is its own, however deep it is in a crooked polygon of
    another text.
    """
    protected = np.zeros((box.height, box.width), bool)
    near = [polygon for polygon in kept if _touches(polygon, box)]
    if not near:
        return protected
    inside = _depth(rasterised(own, box))
    for polygon in near:
        depth = _depth(rasterised([polygon], box))
        own_line = depth > HEART * stroke_height(polygon)
        protected |= ((depth >= inside) & (depth > -_reach(polygon))) | own_line
    return protected


def _reach(polygon: Polygon) -> float:
    """How far the letters of a polygon may reach out of it, in pixels."""
    return max(LEAST_BEYOND, BEYOND * stroke_height(polygon))


def _touches(polygon: Polygon, box: Box) -> bool:
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    across = left < box.x + box.width and right >= box.x
    return bool(across and top < box.y + box.height and bottom >= box.y)


def whole_letters(protected: Selection, strokes: Pixels) -> Selection:
    """The protected pixels, with the whole of each letter that is mostly protected.

    `strokes` (0 or 255) are those of the texts that stay.
    """
    count, labels = cv2.connectedComponents((strokes > 0).astype(np.uint8), connectivity=8)
    labels = labels.ravel()
    inside = np.bincount(labels, weights=protected.ravel(), minlength=count) / np.maximum(
        1, np.bincount(labels, minlength=count)
    )
    kept = inside > 0.5
    kept[0] = False
    letters = kept[labels].reshape(protected.shape)
    return protected | (dilated(letters.astype(np.uint8), SOFT_EDGE) > 0)


def _depth(filled: Pixels) -> npt.NDArray[np.float32]:
    """How deep each pixel is in a filled area, in pixels; negative outside."""
    if not filled.any():
        return np.full(filled.shape, -np.inf, np.float32)
    padded = cv2.copyMakeBorder(filled, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 5) if not padded.all() else np.full(padded.shape, 1e6, np.float32)
    outside = cv2.distanceTransform(255 - padded, cv2.DIST_L2, 5)
    depth: npt.NDArray[np.float32] = (inside - outside)[1:-1, 1:-1]
    return depth
