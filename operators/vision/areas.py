"""From the cells of the first look to the areas at which the text detector is to look.

Cells beside each other that hold letters of one height form a group. Each group has a rectangle
turned as its line is turned. Rectangles of like height and angle are merged where that costs
little.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Selection
from operators.vision.first_look import Cells, Plane

LEAST_TEXT = 0.28
"""Probability from which a cell may hold text."""
BESIDE, LEAST_BESIDE = 2, 0.5
"""A cell counts only if its probability is at least this share of the highest one within this many
cells. This cuts off the rim of a line, which is less sure than its middle.
"""
LEAST_PEAK = 0.45
"""Probability that the surest cell of a group has at least."""
LOWEST = 1.75
"""Height in cells of the lowest letters that count in a reduced copy; lower ones are seen better in
the copy that is larger.
"""
LOW_TEXT, LOW_PEAK = 0.15, 0.22
"""The least probabilities of a cell and of a group's surest cell if the letters are lower than
LOWEST: the network is less sure of them, and a look at them costs little.
"""
UPRIGHT = math.radians(8)
"""Angle below which the detector needs no turned picture."""
COHERENT = 0.92
"""How much the directions of a group's cells agree, 0..1, if their line is straight."""
SEEN_COHERENT = 0.95
"""The same of the directions that the network sees: those of two lines close together agree, though
the shape of the lines' ends looks bent.
"""
MOST_THICK = 2.0
"""How much thicker a group may be than its letters are high if it is one line."""
LEAST_BAND = 4.0
"""Fewest cells of a bent line, as a multiple of the square of its thickness."""
SHORT = 5.0
"""Length of a short word, in heights of its letters."""
SHAPED = 0.6
"""How much longer than thick the cells of a line are if its shape shows how it runs: the difference
of their squared extents as a share of the sum. Of a shorter word only the network knows.
"""
DIRECTION_SIGMA = 1.2
"""Standard deviation of the window in which a line's direction is seen, in heights of its letters.
"""
SECTOR = math.radians(30)
"""Width of the sectors of directions into which a bent line is parted."""
MARGIN = 1.0
"""What the detector sees around a group, in heights of its letters."""
MOST_MERGED = 1.4
"""Largest size of two merged areas, as a multiple of the sum of their sizes."""
MOST_OCTAVES = 1.0
"""Octaves by which the heights of letters in one area differ at most."""


@dataclass(frozen=True)
class Area:
    """A rectangle of a picture, turned about the picture's origin, in which text may be."""

    angle: float
    """How far the lines are turned, in radians, anticlockwise as it is seen."""
    left: float
    top: float
    right: float
    bottom: float
    """The rectangle in pixels, once the picture has been turned upright about its origin."""
    height: float
    """Height of the letters in pixels."""
    margin: float = 0.0
    """How far the rectangle reaches beyond its cells, in pixels."""
    bent: bool = False
    """Whether it holds a part of a bent line."""
    peak: float = 0.0
    """The probability of text in its surest cell, 0..1."""

    @property
    def size(self) -> float:
        """The area of the rectangle in pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    def merged(self, other: Area) -> Area:
        """The smallest rectangle around both."""
        weight = self.size / max(1.0, self.size + other.size)
        height = math.exp(weight * math.log(self.height) + (1 - weight) * math.log(other.height))
        return Area(
            self.angle,
            min(self.left, other.left),
            min(self.top, other.top),
            max(self.right, other.right),
            max(self.bottom, other.bottom),
            height,
            max(self.margin, other.margin),
            peak=max(self.peak, other.peak),
        )

    def touches(self, other: Area) -> bool:
        """Whether the rectangles overlap."""
        return self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom


def areas(copies: Sequence[Cells]) -> list[Area]:
    """The areas of a picture, and of its reduced copies, at which the detector is to look."""
    found = [
        area
        for number, cells in enumerate(copies)
        for group in _groups(cells, LOWEST if number else 0.0)
        for area in _areas_of(group)
    ]
    return _merged(found)


class _Group(NamedTuple):
    """Cells beside each other with letters of like height."""

    cells: Cells
    """The cells of the box around the group."""
    members: Selection
    """Which of them belong to the group."""
    x: int
    y: int
    """The place of the box, in cells."""


def _groups(cells: Cells, lowest: float) -> list[_Group]:
    """The groups of a picture's cells.

    Letters lower than `lowest`, in cells, do not count.
    """
    surest = cv2.dilate(cells.text, np.ones((2 * BESIDE + 1, 2 * BESIDE + 1), np.uint8))
    low = cells.height < LOWEST * cells.side
    least = np.where(low, LOW_TEXT, LEAST_TEXT)
    likely = (cells.text >= np.maximum(least, LEAST_BESIDE * surest)) & (cells.height >= lowest * cells.side)
    octave = np.rint(2 * np.log2(np.maximum(cells.height, 1e-3)))
    groups = []
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(likely.astype(np.uint8), connectivity=8)
    for number in range(1, count):
        x, y, w, h, _ = boxes[number]
        place = np.s_[y : y + h, x : x + w]
        rest, inside = labels[place] == number, cells.part(place)
        while rest.any():
            middle = np.median(octave[place][rest])
            chosen = rest & (np.abs(octave[place] - middle) <= 2 * MOST_OCTAVES)
            if not chosen.any():
                chosen = rest
            peak = LOW_PEAK if low[place][chosen].mean() > 0.5 else LEAST_PEAK
            if inside.text[chosen].max() >= peak:
                groups.append(_Group(inside, chosen, x, y))
            rest = rest & ~chosen
    return groups


def _areas_of(group: _Group) -> list[Area]:
    """The rectangle of a group, or several if its line is bent."""
    members, planes = group.members, _directions(group)
    cosine, sine = (plane[members] for plane in planes)
    angle = math.atan2(float(sine.sum()), float(cosine.sum())) / 2
    seen = _coherence(group.cells.cosine[members], group.cells.sine[members])
    straight = _coherence(cosine, sine) >= COHERENT or seen >= SEEN_COHERENT
    if straight or members.sum() < LEAST_BAND * _thickness(group) ** 2:
        return [_area(group, angle if straight else 0.0)]
    sectors = np.rint(np.arctan2(planes[1], planes[0]) / 2 / SECTOR) % round(math.pi / SECTOR)
    parts = []
    for sector in range(round(math.pi / SECTOR)):
        count, labels = cv2.connectedComponents((members & (sectors == sector)).astype(np.uint8), connectivity=8)
        angle = sector * SECTOR if sector * SECTOR <= math.pi / 2 else sector * SECTOR - math.pi
        parts += [replace(_area(group._replace(members=labels == number), angle), bent=True) for number in range(1, count)]
    return parts


def _coherence(cosine: Plane, sine: Plane) -> float:
    """How much directions agree, 0..1: the length of their sum as a share of the sum of lengths."""
    total = float(np.hypot(cosine, sine).sum())
    return math.hypot(float(cosine.sum()), float(sine.sum())) / max(total, 1e-6)


def _directions(group: _Group) -> tuple[Plane, Plane]:
    """Cosine and sine of twice the line's angle at each cell of a group.

    A group that is one line high shows by its shape how the line runs, also where it is bent: it is
    the longer axis of the cells around each cell. Of a paragraph and of a short word only the
    network knows.
    """
    cells, members = group.cells, group.members
    height = max(1.0, float(np.median(cells.height[members])) / cells.side)
    if _thickness(group) > MOST_THICK * max(height, 1.5):
        return cells.cosine, cells.sine
    weight = members.astype(np.float32)
    rows, columns = (values * weight for values in np.indices(members.shape).astype(np.float32))
    # Blurred with the number of cells, the products are the moments of the cells around each cell.
    products = np.dstack([weight, columns, rows, columns * columns, rows * rows, columns * rows])
    moments = cv2.GaussianBlur(products, (0, 0), DIRECTION_SIGMA * height, borderType=cv2.BORDER_CONSTANT)
    x, y, across, down, both = np.moveaxis(moments[:, :, 1:] / np.maximum(moments[:, :, :1], 1e-6), 2, 0)
    cosine: Plane = (across - x * x) - (down - y * y)
    sine: Plane = -2 * (both - x * y)
    extent = float((across - x * x + down - y * y)[members].sum())
    if math.hypot(float(cosine[members].sum()), float(sine[members].sum())) < SHAPED * extent and _is_short(group, height):
        return cells.cosine, cells.sine
    return cosine, sine


def _is_short(group: _Group, height: float) -> bool:
    """Whether a group is no longer than a short word; `height` is that of its letters in cells."""
    return bool(max(group.members.shape) <= SHORT * height)


def _thickness(group: _Group) -> float:
    """The width of a group's thickest place, in cells."""
    return 2 * float(cv2.distanceTransform(np.pad(group.members.astype(np.uint8), 1), cv2.DIST_L2, 3).max())


def _area(group: _Group, angle: float) -> Area:
    """The rectangle around a group."""
    angle = 0.0 if abs(angle) < UPRIGHT else angle
    cells, members = group.cells, group.members
    rows, columns = np.nonzero(members)
    places = np.stack([columns + group.x, rows + group.y], axis=1).astype(np.float64)
    corners = np.concatenate([places + corner for corner in ((0, 0), (1, 0), (0, 1), (1, 1))])
    upright = corners * cells.side @ turned(angle).T
    height = float(np.median(cells.height[members]))
    margin = MARGIN * height + cells.side / 2
    (left, top), (right, bottom) = upright.min(axis=0) - margin, upright.max(axis=0) + margin
    peak = float(cells.text[members].max())
    return Area(angle, float(left), float(top), float(right), float(bottom), height, margin, peak=peak)


def turned(angle: float) -> npt.NDArray[np.float64]:
    """The matrix that turns pixels (x, y) of lines with this angle upright, about the origin."""
    return np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])


def _merged(found: Sequence[Area]) -> list[Area]:
    """The areas, with those merged that overlap, if the result is hardly larger than its parts."""
    areas = list(found)
    changed = True
    while changed:
        changed = False
        for first in range(len(areas)):
            for second in range(len(areas) - 1, first, -1):
                if _alike(areas[first], areas[second]):
                    together = areas[first].merged(areas[second])
                    if together.size <= MOST_MERGED * (areas[first].size + areas[second].size):
                        areas[first] = together
                        del areas[second]
                        changed = True
    return areas


def _alike(one: Area, other: Area) -> bool:
    """Whether two areas may be looked at as one."""
    if one.bent or other.bent or one.angle != other.angle or abs(math.log2(one.height / other.height)) > MOST_OCTAVES:
        return False
    return one.touches(other)
