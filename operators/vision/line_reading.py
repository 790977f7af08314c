"""Read a line of text whichever way up it is, and part it between two of its characters."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon, straightened, upright_turn
from operators.rows.arrays import Pixels
from operators.vision.recogniser import Character, recogniser

SURE = 0.9
"""Mean probability of the characters (0..1) from which no other way up is tried."""
ADVANTAGE = 0.15
"""How much surer another way up must be read than those before it."""
SQUARISH = 2.5
"""Ratio of sides below which the text may run along the shorter side of its rectangle."""
STACKED = 1.8
"""Ratio of sides from which an upright rectangle may hold letters that stand on each other."""
STEEP = 0.8
"""Sine of the least angle of such a rectangle."""
AROUND = ((2.0, -0.1), (3.0, 0.15))
"""How much more of a line is read at its ends, and above and below it, in heights of the line.

The first reading leaves out the lines above and below, the second has all of tall letters.
"""
ALONG = 5.0
"""How much more of a line is read at both ends of a crooked part of it, in heights of the line."""
OFFSETS = (0.0, -0.35, 0.35)
"""Where the middle of that line is looked for beside the middle of the part, in heights."""
CROOKED = 10.0
"""Degrees by which a text must run across the lines of its page to count as crooked."""
EDGE = 0.15
"""How far beside a part of a line a character may be placed that stands in it, in heights."""
LETTER = 0.7
"""How far a letter may reach to both sides of its place, in heights of the line."""
TRIMMED = 0.15
"""Share of a line's height at its top and bottom that may show its neighbours."""
GAP_CONTRAST = 0.3
"""Contrast of the columns between letters, as a share of the columns of letters."""


@dataclass(frozen=True)
class LineReading:
    """What a line says, and where along its rectangle each character stands."""

    polygon: list[list[float]]
    characters: list[Character] = field(default_factory=list)
    turns: int = 0
    """Quarter turns anticlockwise by which the straightened line was read."""
    line: Pixels | None = None
    """The straightened line as it was read, uint8 height x width x 3."""

    @property
    def text(self) -> str:
        """The characters read, each a single one, so that places and characters correspond.

        Full-width letters and signs are those of usual width.
        """
        return "".join(unicodedata.normalize("NFKC", character.text[0])[:1] for character in self.characters)

    @property
    def confidence(self) -> float:
        """The mean probability of the characters that are not spaces, 0..1; 0 if there are none."""
        sure = [character.probability for character in self.characters if not character.text.isspace()]
        return sum(sure) / max(1, len(sure))

    @property
    def can_be_parted(self) -> bool:
        """Whether the line was read along its long side."""
        return self.turns in (0, 2) and self.line is not None

    def is_beside(self, number: int, polygon: Polygon, edge: float = EDGE) -> bool:
        """Whether a character stands in a polygon that is a part of this line, or at its edge.

        `edge` is how far outside it may stand, in heights of the line; below zero, how far inside
        it must, or a quarter of the polygon if that is less. Any character may, if the line was
        read along its short side.
        """
        if not self.can_be_parted:
            return True
        turn, (_, height) = upright_turn(self.polygon)
        along, place = np.asarray(polygon) @ turn[0, :2] + turn[0, 2], self._place(number)
        beyond = max(edge * height, -np.ptp(along) / 4)
        return bool(along.min() - beyond <= place <= along.max() + beyond)

    def _place(self, number: int) -> float:
        """Where the middle of a character stands, in pixels from the line's left end."""
        _, (width, _) = upright_turn(self.polygon)
        place = self.characters[number].place * width
        return width - place if self.turns == 2 else place

    def stretched(self, polygon: Polygon, start: int, end: int) -> list[list[float]]:
        """A part of this line, longer if it leaves out characters from `start` to before `end`.

        It is the same polygon if it does not, or if the line was read along its short side.
        """
        same = [[float(x), float(y)] for x, y in polygon]
        if not self.can_be_parted:
            return same
        turn, _ = upright_turn(self.polygon)
        own = np.asarray(polygon) @ turn[:, :2].T + turn[:, 2]
        reached = np.asarray(self.letters(start, end)) @ turn[:, :2].T + turn[:, 2]
        (left, top), (right, bottom) = own.min(axis=0), own.max(axis=0)
        places = [self._place(number) for number in range(start, end) if not self.text[number].isspace()]
        first = reached[:, 0].min() if min(places) < left else left
        last = reached[:, 0].max() if max(places) > right else right
        if (first, last) == (left, right):
            return same
        return _turned_back([[first, top], [last, top], [last, bottom], [first, bottom]], turn)

    def letters(self, start: int, end: int) -> list[list[float]]:
        """The same as `part`, without what is beside the letters at the ends of the line."""
        _, (width, height) = upright_turn(self.polygon)
        places = [each.place * width for each in self.characters[start:end] if not each.text.isspace()]
        first = max(self._cut(start, width), min(places) - LETTER * height)
        last = min(self._cut(end, width), max(places) + LETTER * height)
        return self._between(first, last)

    def part(self, start: int, end: int) -> list[list[float]]:
        """The polygon of the characters from `start` to before `end`.

        It is cut in the gaps between letters, across the line.
        """
        _, (width, _) = upright_turn(self.polygon)
        return self._between(self._cut(start, width), self._cut(end, width))

    def _between(self, first: float, last: float) -> list[list[float]]:
        """The polygon between two places along the line, in pixels from where reading started."""
        turn, (width, height) = upright_turn(self.polygon)
        if self.turns == 2:
            first, last = width - last, width - first
        return _turned_back([[first, 0], [last, 0], [last, height], [first, height]], turn)

    def _cut(self, number: int, width: float) -> float:
        """Where to cut before a character, in pixels from the left end as it was read."""
        assert self.line is not None
        before = [each for each in self.characters[:number] if not each.text.isspace()]
        after = [each for each in self.characters[number:] if not each.text.isspace()]
        if not before:
            return 0.0
        if not after:
            return width
        columns = int(self.line.shape[1])
        left, right = (round(each.place * columns) for each in (before[-1], after[0]))
        return _middle_of_gap(self.line, left, right) * (width / columns)


def read_around(rgb: Pixels, polygon: Polygon) -> list[LineReading]:
    """What the line says of which a polygon may be only a part, read once for each of AROUND.

    The detector's box may end in the middle of a word, so more of the line is read at both ends.
    """
    turn, (width, height) = upright_turn(polygon)
    readings = []
    for beyond, above in AROUND:
        left, top, right, bottom = -beyond * height, -above * height, width + beyond * height, (1 + above) * height
        readings.append(read_line(rgb, _turned_back([[left, top], [right, top], [right, bottom], [left, bottom]], turn)))
    return readings


@dataclass(frozen=True)
class PageLines:
    """How the lines of a page run, as far as its texts tell."""

    angle: float = 0.0
    """Degrees by which they fall to the right."""
    height: float = math.inf
    """The usual height of a line in pixels; infinite if no text tells."""

    @classmethod
    def of(cls, polygons: Sequence[Polygon]) -> PageLines:
        """The lines that most of the texts' length follows; upright ones if no text is long."""
        turns = [upright_turn(polygon) for polygon in polygons]
        known = [(turn, width, height) for turn, (width, height) in turns if width >= SQUARISH * height]
        if not known:
            return cls()
        angles = sorted((_angle(turn), width) for turn, width, _ in known)
        before = np.cumsum([width for _, width in angles])
        middle = int(np.searchsorted(before, before[-1] / 2))
        return cls(angles[middle][0], float(np.median([height for *_, height in known])))

    def crosses(self, polygon: Polygon) -> bool:
        """Whether a polygon is too short to tell its direction, or runs across the lines."""
        turn, (width, height) = upright_turn(polygon)
        apart = abs((_angle(turn) - self.angle + 90) % 180 - 90)
        return width < SQUARISH * height or apart > CROOKED


def read_along(rgb: Pixels, polygon: Polygon, page: PageLines) -> list[LineReading]:
    """What the line of the page says on which a crooked polygon lies, once for each of OFFSETS.

    In close lines the detector may see some letters of a line as a text that runs across it.
    """
    turn = cv2.getRotationMatrix2D((0.0, 0.0), page.angle, 1.0)
    points = np.asarray(polygon, np.float64) @ turn[:, :2].T
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    height = min(bottom - top, page.height)
    left, right = left - ALONG * height, right + ALONG * height
    readings = []
    for offset in OFFSETS:
        middle = (top + bottom) / 2 + offset * height
        above, below = middle - height / 2, middle + height / 2
        readings.append(read_line(rgb, _turned_back([[left, above], [right, above], [right, below], [left, below]], turn)))
    return readings


def _angle(turn: npt.NDArray[np.float64]) -> float:
    """The degrees by which a line falls to the right that this map turns upright."""
    return float(np.degrees(np.arctan2(turn[0, 1], turn[0, 0])))


def _turned_back(corners: Sequence[Sequence[float]], turn: npt.NDArray[np.float64]) -> list[list[float]]:
    """Corners of a straightened line in the picture that `turn` has straightened."""
    return [[float(x), float(y)] for x, y in (np.asarray(corners) - turn[:, 2]) @ np.linalg.inv(turn[:, :2]).T]


def read_line(rgb: Pixels, polygon: Polygon, margin: int = 0) -> LineReading:
    """What the text in a polygon says, by the way up that is read most surely.

    `rgb` is the whole picture, uint8 height x width x 3. With a margin, more pixels around the
    polygon are seen, so that the reading may differ.
    """
    corners = [[float(x), float(y)] for x, y in polygon]
    best = LineReading(corners)
    for turns, line in _ways_up(straightened(rgb, polygon, margin), polygon):
        reading = LineReading(corners, recogniser().characters(np.ascontiguousarray(line)), turns, line)
        if reading.confidence > best.confidence + (ADVANTAGE if best.characters else 0):
            best = reading
        if best.confidence >= SURE:
            break
    return best


def _ways_up(line: Pixels, polygon: Polygon) -> Iterator[tuple[int, Pixels]]:
    """The line upright, upside down, on its sides and as a column, where it may be so."""
    height, width = line.shape[:2]
    yield 0, line
    yield 2, np.rot90(line, 2)
    if width < SQUARISH * height:
        yield 1, np.rot90(line, 1)
        yield 3, np.rot90(line, 3)
    turn, _ = upright_turn(polygon)
    down = float(np.linalg.inv(turn[:, :2])[1, 0])
    if width >= STACKED * height and abs(down) >= STEEP:
        column = np.rot90(line, 3 if down > 0 else 1)
        count = max(1, round(width / height))
        edges = np.linspace(0, width, count + 1).round().astype(int)
        cells = [column[start:end] for start, end in pairwise(edges)]
        tallest = max(len(cell) for cell in cells)
        yield (
            (0 if down > 0 else 2),
            np.hstack([cv2.copyMakeBorder(cell, 0, tallest - len(cell), 0, 0, cv2.BORDER_REPLICATE) for cell in cells]),
        )


def _middle_of_gap(line: Pixels, left: int, right: int) -> float:
    """The middle of the widest gap between two letters whose middles are at `left` and `right`."""
    trimmed = int(TRIMMED * line.shape[0])
    luma = cv2.cvtColor(np.ascontiguousarray(line[trimmed : line.shape[0] - trimmed]), cv2.COLOR_RGB2GRAY).astype(np.int16)
    contrast = np.ptp(luma, axis=0)
    window = contrast[left : right + 1]
    if len(window) < 3:
        return (left + right) / 2
    lowest = int(window.min())
    open_columns = window <= lowest + GAP_CONTRAST * (int(window.max()) - lowest)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], open_columns.astype(np.int8), [0]])))
    starts, ends = edges[::2], edges[1::2]
    middle = (len(window) - 1) / 2
    widest = max(
        range(len(starts)), key=lambda gap: (ends[gap] - starts[gap], -abs((starts[gap] + ends[gap] - 1) / 2 - middle))
    )
    return float(left + (starts[widest] + ends[widest]) / 2)
