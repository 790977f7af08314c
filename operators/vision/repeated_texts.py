"""Where a text that is repeated in a grid stands again: a watermark tiled over a picture.

On a calm ground the first look finds each of its copies, on a rough one some. The distances between
those that were found say where the others stand.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.masks.geometry import upright_turn
from operators.vision.areas import Area
from operators.vision.close_look import FoundText
from operators.vision.first_look import Cells, likelihood
from operators.vision.missed_ends import LETTERS, MARGIN

LIKE_SIDES = 1.2
"""Largest ratio of the lengths, and of the heights, of two copies of a text."""
LIKE_ANGLE = math.radians(4)
"""Largest difference of their angles."""
LEAST_COPIES = 3
"""Copies that a text has at least if it is repeated."""
EXACT = 0.5
"""How far a copy lies from its place in the grid at most, in heights of its polygon."""
LEAST_STEP = 1.2
"""Shortest distance between two copies, in heights of the polygon."""
LEAST_LIKELY = 0.08
"""Mean probability of text at the first look, 0..1, at a place that is looked at."""
NEIGHBOURS = 12
"""Copies nearest to each copy whose distances are steps of a grid."""
MOST_GRID = 200
"""Places that a grid has at most."""
MOST_PLACES = 3
"""Places that are looked at, for each copy that was found, at most."""

Point = npt.NDArray[np.float64]


class Copy(NamedTuple):
    """The rectangle of a text."""

    text: FoundText
    middle: Point
    angle: float
    """How far its line is turned, in radians, anticlockwise as it is seen."""
    length: float
    height: float

    @classmethod
    def of(cls, text: FoundText) -> Copy:
        """The rectangle of one text."""
        turn, (length, height) = upright_turn(text.polygon)
        return cls(text, np.mean(text.polygon, axis=0), math.atan2(turn[1, 0], turn[0, 0]), length, height)

    def is_like(self, other: Copy) -> bool:
        """Whether two texts may be copies of one."""
        sides = ((self.length, other.length), (self.height, other.height))
        if any(max(pair) > LIKE_SIDES * min(pair) for pair in sides):
            return False
        return abs(math.remainder(self.angle - other.angle, math.pi)) <= LIKE_ANGLE

    def holds(self, point: Point) -> bool:
        """Whether a copy in the middle of which this point lies would touch this one."""
        return bool(np.abs(self._across(point - self.middle)).max() < 1)

    def _across(self, offset: Point) -> Point:
        """An offset along and across the line, in lengths and heights of this rectangle."""
        along = np.array([math.cos(self.angle), -math.sin(self.angle)])
        return np.array([offset @ along / self.length, offset @ [-along[1], along[0]] / self.height])

    def area_at(self, middle: Point) -> Area:
        """The area around a copy with this middle."""
        turn = np.array([[math.cos(self.angle), -math.sin(self.angle)], [math.sin(self.angle), math.cos(self.angle)]])
        (x, y), margin = turn @ middle, MARGIN * self.height
        across, down = self.length / 2 + margin, self.height / 2 + margin
        letters = LETTERS * self.height
        return Area(self.angle, float(x - across), float(y - down), float(x + across), float(y + down), letters, margin)


def repeated_texts(texts: Sequence[FoundText], copies: Sequence[Cells], width: int, height: int) -> Iterator[Area]:
    """The areas in a width x height picture in which a text may stand again.

    `copies` is what the first look says of the picture and its reduced copies.
    """
    known = [Copy.of(text) for text in texts]
    for alike in _alike(known):
        free = 0
        for one, place in _places(alike, width, height):
            is_free = free < MOST_PLACES * len(alike) and not any(other.holds(place) for other in known)
            moved = (np.asarray(one.text.polygon) + place - one.middle).tolist()
            if is_free and likelihood(copies, moved) >= LEAST_LIKELY:
                free += 1
                yield one.area_at(place)


def _places(alike: Sequence[Copy], width: int, height: int) -> list[tuple[Copy, Point]]:
    """The places of a grid in a width x height picture at which no copy was found, each with the
    copy from which steps lead there.
    """
    steps = _steps(alike)
    places = [(one, one.middle) for one in alike]
    middles = np.array([one.middle for one in alike])
    for one, start in places:
        for place in start + steps:
            is_inside = bool((place >= 0).all() and (place < [width, height]).all())
            if is_inside and len(places) < MOST_GRID and np.hypot(*(middles - place).T).min() > one.height:
                places.append((one, place))
                middles = np.vstack([middles, place])
    return places[len(alike) :]


def _alike(known: Sequence[Copy]) -> list[list[Copy]]:
    """The texts that may be copies of one, in groups."""
    groups: list[list[Copy]] = []
    for one in known:
        group = next((group for group in groups if group[0].is_like(one)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return [group for group in groups if len(group) >= LEAST_COPIES]


def _steps(alike: Sequence[Copy]) -> Point:
    """The steps of a grid, each way, number x 2: the distances between neighbours that at least two
    pairs of copies have.
    """
    middles = np.array([one.middle for one in alike])
    apart = middles[None] - middles[:, None]
    nearest = np.argsort(np.hypot(apart[..., 0], apart[..., 1]), axis=1, kind="stable")[:, 1 : NEIGHBOURS + 1]
    distances = np.take_along_axis(apart, nearest[..., None], axis=1).reshape(-1, 2)
    near, least = EXACT * alike[0].height, LEAST_STEP * alike[0].height
    found = np.empty((0, 2))
    for distance in distances[np.argsort(np.hypot(*distances.T), kind="stable")]:
        same = distances[np.hypot(*(distances - distance).T) <= near]
        is_known = (np.hypot(*(found - distance).T) <= near).any()
        if len(same) >= 2 and not is_known and np.hypot(*distance) >= least:
            found = np.vstack([found, same.mean(axis=0)])
    return found
