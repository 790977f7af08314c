"""Polygons and boxes: bounding boxes, rasters, line heights, and the grouping of crops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import cv2
import numpy as np

from operators.rows.arrays import Pixels
from operators.rows.box import Box

Polygon = Sequence[Sequence[float]]
"""Corners (x, y) in pixels, pixel centres at whole numbers."""


def bounding_box(polygons: Sequence[Polygon], width: int, height: int) -> Box:
    """The pixels that the polygons touch, cut to a width x height picture; at least one pixel."""
    points = np.concatenate([np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in polygons])
    left, top = np.clip(np.floor(points.min(axis=0)), 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0)), [left, top], [width - 1, height - 1]).astype(int)
    return Box(int(left), int(top), int(right - left + 1), int(bottom - top + 1))


def stroke_height(polygon: Polygon) -> float:
    """The height in pixels of a line of text.

    It is the short side of the smallest rectangle around the line's polygon.
    """
    (_, sides, _) = cv2.minAreaRect(np.asarray(polygon, np.float32).reshape(-1, 2))
    return float(min(sides))


def rasterised(polygons: Sequence[Polygon], box: Box) -> Pixels:
    """The filled polygons (0 or 255) on the box's pixel grid, edges included.

    Corners are rounded to 1/16 pixel.
    """
    mask = np.zeros((box.height, box.width), np.uint8)
    for polygon in polygons:
        shifted = (np.asarray(polygon, np.float64).reshape(-1, 2) - [box.x, box.y]) * 16
        cv2.fillPoly(mask, [np.rint(shifted).astype(np.int32)], 255, cv2.LINE_8, 4)
    return mask


def grouped(crops: Sequence[Box], largest: int, frame: Box) -> list[list[int]]:
    """Groups of crops that share one box, as indices into `crops`.

    Crops are joined if they overlap and their common box covers no more pixels than they do
    apart. The box of a group is at most `largest` pixels a side, so that one bad letter rolls
    back a paragraph and not a page. If all groups together would cover more than the frame,
    neighbours are joined whatever their size.
    """
    groups = [([index], crop) for index, crop in enumerate(crops)]

    def joinable(first: int, second: int, limit: int, at_any_cost: bool) -> bool:
        left, right = groups[first][1], groups[second][1]
        union = left.union(right)
        fits = max(union.width, union.height) <= limit
        return left.overlaps(right) and fits and (at_any_cost or union.area <= left.area + right.area)

    def join(limit: int, at_any_cost: bool, wanted: Callable[[], bool]) -> None:
        first = 0
        while first < len(groups) and wanted():
            earlier = (number for number in range(first) if joinable(number, first, limit, at_any_cost))
            later = (number for number in range(first + 1, len(groups)) if joinable(first, number, limit, at_any_cost))
            partner = next(chain(earlier, later), None)
            if partner is None:
                first += 1
                continue
            first, second = sorted((first, partner))
            groups[first] = (sorted(groups[first][0] + groups[second][0]), groups[first][1].union(groups[second][1]))
            del groups[second]

    def groups_exceed_frame() -> bool:
        return sum(box.area for _, box in groups) > frame.area

    join(largest, at_any_cost=False, wanted=lambda: True)
    join(max(frame.width, frame.height), at_any_cost=True, wanted=groups_exceed_frame)
    return [members for members, _ in groups]
