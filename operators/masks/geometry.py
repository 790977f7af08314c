"""Polygons and boxes: bounding boxes, rasters, line heights, and which crops are worked as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import cv2
import numpy as np

from operators.rows.arrays import Pixels
from operators.rows.box import Box

Polygon = Sequence[Sequence[float]]


def bounding_box(polygons: Sequence[Polygon], width: int, height: int) -> Box:
    """The pixels that the polygons touch, cut to a width x height picture; at least one pixel."""
    points = np.concatenate([np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in polygons])
    left, top = np.clip(np.floor(points.min(axis=0)), 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0)), [left, top], [width - 1, height - 1]).astype(int)
    return Box(int(left), int(top), int(right - left + 1), int(bottom - top + 1))


def stroke_height(polygon: Polygon) -> float:
    """The height of a line of text in pixels: the short side of the smallest rectangle round its
    polygon.
    """
    (_, sides, _) = cv2.minAreaRect(np.asarray(polygon, np.float32).reshape(-1, 2))
    return float(min(sides))


def rasterised(polygons: Sequence[Polygon], box: Box) -> Pixels:
    """The polygons filled (0 or 255) on the box's pixel grid; corners rounded to 1/16 pixel,
    edges included.
    """
    mask = np.zeros((box.height, box.width), np.uint8)
    for polygon in polygons:
        shifted = (np.asarray(polygon, np.float64).reshape(-1, 2) - [box.x, box.y]) * 16
        cv2.fillPoly(mask, [np.rint(shifted).astype(np.int32)], 255, cv2.LINE_8, 4)
    return mask


def grouped(crops: Sequence[Box], largest: int, frame: Box) -> list[list[int]]:
    """Indices of crops to be worked as one: overlapping ones whose common box costs no more than
    they do apart.

    A group's box stays within `largest` pixels a side, so that one bad letter rolls back a
    paragraph and not a page, unless all groups together would cover more than the frame: then
    neighbours are joined whatever their size.
    """
    groups = [([index], crop) for index, crop in enumerate(crops)]

    def worth(first: int, second: int, limit: int, always: bool) -> bool:
        one, other = groups[first][1], groups[second][1]
        union = one.union(other)
        fits = max(union.width, union.height) <= limit
        return one.overlaps(other) and fits and (always or union.area <= one.area + other.area)

    def join(limit: int, always: bool, wanted: Callable[[], bool]) -> None:
        first = 0
        while first < len(groups) and wanted():
            earlier = (number for number in range(first) if worth(number, first, limit, always))
            later = (number for number in range(first + 1, len(groups)) if worth(first, number, limit, always))
            partner = next(chain(earlier, later), None)
            if partner is None:
                first += 1
                continue
            first, second = sorted((first, partner))
            groups[first] = (sorted(groups[first][0] + groups[second][0]), groups[first][1].union(groups[second][1]))
            del groups[second]

    join(largest, always=False, wanted=lambda: True)
    join(max(frame.width, frame.height), always=True, wanted=lambda: sum(box.area for _, box in groups) > frame.area)
    return [members for members, _ in groups]
