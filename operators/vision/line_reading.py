"""Read a line of text whichever way up it is, and part it between two of its characters."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np

from operators.masks.geometry import Polygon
from operators.rows.arrays import Pixels
from operators.vision.recogniser import Character, recogniser, straightened, upright_turn

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
EDGE = 0.15
"""How far beside a part of a line a character may be placed that stands in it, in heights."""
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

    def is_beside(self, number: int, polygon: Polygon) -> bool:
        """Whether a character stands in a polygon that is a part of this line, or at its edge.

        Any character may, if the line was read along its short side.
        """
        if not self.can_be_parted:
            return True
        turn, (width, height) = upright_turn(self.polygon)
        along = np.asarray(polygon) @ turn[0, :2] + turn[0, 2]
        place = self.characters[number].place * width
        place = width - place if self.turns == 2 else place
        return bool(along.min() - EDGE * height <= place <= along.max() + EDGE * height)

    def part(self, start: int, end: int) -> list[list[float]]:
        """The polygon of the characters from `start` to before `end`.

        It is cut in the gaps between letters, across the line.
        """
        assert self.line is not None
        turn, (width, height) = upright_turn(self.polygon)
        first, last = self._cut(start, width), self._cut(end, width)
        if self.turns == 2:
            first, last = width - last, width - first
        corners = np.array([[first, 0], [last, 0], [last, height], [first, height]])
        back = np.linalg.inv(turn[:, :2])
        return [[float(x), float(y)] for x, y in (corners - turn[:, 2]) @ back.T]

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
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
        wide = (corners - turn[:, 2]) @ np.linalg.inv(turn[:, :2]).T
        readings.append(read_line(rgb, [[float(x), float(y)] for x, y in wide]))
    return readings


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
