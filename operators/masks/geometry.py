"""Polygons and boxes: bounding boxes, rasters, heights of lines, and lines turned upright."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

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


def covers(cover: Polygon, polygon: Polygon, share: float) -> bool:
    """Whether one polygon covers more than this share of another's area."""
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    left, top = np.floor(points.min(axis=0)).astype(int)
    right, bottom = np.ceil(points.max(axis=0)).astype(int)
    box = Box(int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)
    area, covered = rasterised([polygon], box) > 0, rasterised([cover], box) > 0
    return bool((area & covered).sum() > share * area.sum())


def straightened(picture: Pixels, polygon: Polygon, margin: int = 0) -> Pixels:
    """The picture under a polygon and `margin` pixels around it, turned upright.

    It is the smallest rectangle around the polygon, its long side horizontal. `picture` is uint8,
    height x width or height x width x 3.
    """
    turn, (width, height) = upright_turn(polygon)
    turn[:, 2] += margin
    size = (max(1, round(width)) + 2 * margin, max(1, round(height)) + 2 * margin)
    result: Pixels = cv2.warpAffine(picture, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return result


def upright_turn(polygon: Polygon) -> tuple[npt.NDArray[np.float64], tuple[float, float]]:
    """The map (2 x 3) that turns the smallest rectangle around a polygon upright, and its sides.

    The long side becomes horizontal and the left upper corner the origin.
    """
    (centre, (width, height), angle) = cv2.minAreaRect(np.asarray(polygon, np.float32).reshape(-1, 2))
    if width < height:
        width, height, angle = height, width, angle - 90
    angle = (angle + 90) % 180 - 90
    turn: npt.NDArray[np.float64] = cv2.getRotationMatrix2D(centre, angle, 1.0)
    turn[:, 2] += [width / 2 - centre[0], height / 2 - centre[1]]
    return turn, (width, height)
