"""Soft masks and context crops: from polygons to the four channels that every fill and every paste-back follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.table import Pixels

CHANNELS = ("core", "blend", "confidence", "structure")
"""Channel order of a region's mask, each 0..255.

`core`: must be regenerated, the dilated strokes of every region in this crop; `blend`: weight at paste-back, this region's own
strokes, fading in their rim; `confidence`: how sure the detector is; `structure`: edges to keep through the fill.
"""
CORE, BLEND, CONFIDENCE, STRUCTURE = range(4)


@dataclass(frozen=True)
class Box:
    """A rectangle in upright source pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Its pixels."""
        return self.width * self.height

    def union(self, other: Box) -> Box:
        """The smallest box holding both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Box(x, y, right - x, bottom - y)

    def overlaps(self, other: Box) -> bool:
        """Whether they share a pixel."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def grown(self, margin: int, width: int, height: int) -> Box:
        """The box grown by `margin` on each side, cut to a width x height picture."""
        x, y = max(0, self.x - margin), max(0, self.y - margin)
        right, bottom = min(width, self.x + self.width + margin), min(height, self.y + self.height + margin)
        return Box(x, y, right - x, bottom - y)


Polygon = Sequence[Sequence[float]]


def bounding_box(polygons: Sequence[Polygon], width: int, height: int) -> Box:
    """The pixels that the polygons touch, cut to a width x height picture; at least one pixel."""
    points = np.concatenate([np.asarray(polygon, np.float64).reshape(-1, 2) for polygon in polygons])
    left, top = np.clip(np.floor(points.min(axis=0)), 0, [width - 1, height - 1]).astype(int)
    right, bottom = np.clip(np.ceil(points.max(axis=0)), [left, top], [width - 1, height - 1]).astype(int)
    return Box(int(left), int(top), int(right - left + 1), int(bottom - top + 1))


def stroke_height(polygon: Polygon) -> float:
    """The height of a line of text in pixels: the short side of the smallest rectangle round its polygon."""
    (_, sides, _) = cv2.minAreaRect(np.asarray(polygon, np.float32).reshape(-1, 2))
    return float(min(sides))


def rasterised(polygons: Sequence[Polygon], box: Box) -> Pixels:
    """The polygons filled (0 or 255) on the box's pixel grid; corners rounded to 1/16 pixel, edges included."""
    mask = np.zeros((box.height, box.width), np.uint8)
    for polygon in polygons:
        shifted = (np.asarray(polygon, np.float64).reshape(-1, 2) - [box.x, box.y]) * 16
        cv2.fillPoly(mask, [np.rint(shifted).astype(np.int32)], 255, cv2.LINE_8, 4)
    return mask


def dilated(mask: Pixels, radius: int) -> Pixels:
    """The mask grown by a disc of `radius` pixels."""
    if radius <= 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    result: Pixels = cv2.dilate(mask, disc)
    return result


def feathered(mask: Pixels, radius: int) -> Pixels:
    """The mask dilated by `radius` and then smoothed over the same radius: full weight everywhere the mask was full.

    Feathering first would lower the weight on the strokes themselves and leave their ghosts.
    """
    return np.rint(feathered_weights(mask, radius)).astype(np.uint8)


def feathered_weights(mask: Pixels, radius: int) -> npt.NDArray[np.float32]:
    """What `feathered` rounds to bytes, float32 0..255. OpenCV's blur of bytes would be off by more than a level."""
    if radius <= 0:
        return mask.astype(np.float32)
    grown = dilated(mask, radius).astype(np.float32)
    smooth: npt.NDArray[np.float32] = cv2.GaussianBlur(grown, (2 * radius + 1, 2 * radius + 1), radius / 2)
    return np.maximum(smooth, mask.astype(np.float32))


def ring(inside: npt.NDArray[np.bool_], excluded: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    """The pixels within `width` of `inside` that are neither in it nor `excluded`."""
    return (dilated(inside.astype(np.uint8), width) > 0) & ~inside & ~excluded


def grouped(crops: Sequence[Box], largest: int, frame: Box) -> list[list[int]]:
    """Indices of crops to be worked as one: overlapping ones whose common box costs no more than they do apart.

    A group's box stays within `largest` pixels a side, so that one bad letter rolls back a paragraph and not a page,
    unless all groups together would cover more than the frame: then neighbours are joined whatever their size.
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


def moved(data: Pixels, box: Box, crop: Box) -> Pixels:
    """What `data` (height x width, on `box`) shows of the crop: cut where it reaches out, zero where it does not reach."""
    placed = np.zeros((crop.height, crop.width), np.uint8)
    left, top = max(box.x, crop.x), max(box.y, crop.y)
    right, bottom = min(box.x + box.width, crop.x + crop.width), min(box.y + box.height, crop.y + crop.height)
    if left < right and top < bottom:
        there = np.s_[top - crop.y : bottom - crop.y, left - crop.x : right - crop.x]
        placed[there] = data[top - box.y : bottom - box.y, left - box.x : right - box.x]
    return placed


def empty_mask(box: Box) -> Pixels:
    """A mask of the box's size with all four channels at zero."""
    return np.zeros((box.height, box.width, len(CHANNELS)), np.uint8)
