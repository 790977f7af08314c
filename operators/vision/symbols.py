"""Symbols beside a text that the detector took into its box: icons, check boxes, arrows.

A symbol stands at an end of the line, a gap away from the words. The recogniser has the last
word: what it reads as a character of the words' own script is text. It must be surer of that where
the colour is not that of the words.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np

from operators.masks.geometry import straightened
from operators.masks.ink import ink_colour
from operators.rows.arrays import Pixels, Selection
from operators.vision.line_ends import MOST_ASPECT, ordered_corners
from operators.vision.recogniser import Character, are_words, recogniser

LEAST_GAP, MOST_LOOSE = 0.2, 1.4
"""Least distance of a symbol from the words, in heights of the line. The detector's box may be
higher than the line and show no such gap: then the line is the second value times as high as its
strokes.
"""
WIDEST = 1.8
"""Largest width of a symbol, in heights of the line."""
LEAST_SIDE = 0.36
"""Least width and height of a symbol in the ink of the words, in heights of the line: dashes, dots
and bars are part of the line, although the recogniser often does not read them.
"""
NEAR = 0.15
"""How far from its strokes the recogniser may place a character, in heights of the line."""
LEAST_READ = 0.85
"""Probability from which a character beside the words is text, 0..1."""
ANOTHER_COLOUR = 64.0
"""Grey levels by which the ink of a symbol differs from that of the words at least, if it does."""
LEAST_READ_IN_COLOUR = 0.99
"""LEAST_READ for what has another colour than the words: an icon may be read as a letter."""
RIGHTS, LEAST_READ_RIGHTS = "©®℗™℠", 0.97
"""Signs that are written with the words, and LEAST_READ for them: rings and faces in a circle are
read as such a sign as well, but never as surely.
"""
MARGIN = 8
"""Pixels around the line that the recogniser sees."""


class WordsAlone(NamedTuple):
    """A line of text without the symbols at its ends."""

    polygon: list[list[float]]
    beyond: Selection
    """The pixels beyond the ends that were cut, also above and below the line, height x width."""


def words_alone(rgb: Pixels, polygon: list[list[float]], strokes: Selection) -> WordsAlone | None:
    """The line without the symbols at its ends; None if there are none.

    `rgb` is the picture around the polygon (uint8 height x width x 3), and `strokes` the strokes
    found in it.
    """
    (long, short), corners = ordered_corners(polygon)
    if long < MOST_ASPECT * short:
        return None
    along = (corners[1] - corners[0]) / long
    if abs(along[1]) > abs(along[0]):
        return None
    if along[0] < 0:
        corners, along = np.roll(corners, 2, axis=0), -along
    upright = straightened(rgb, polygon, MARGIN)
    inked = straightened(np.where(strokes, 255, 0).astype(np.uint8), polygon, MARGIN)[MARGIN:-MARGIN, MARGIN:-MARGIN] > 127
    across = np.asarray(inked.any(axis=0))
    groups = _groups(across, LEAST_GAP * short)
    if len(groups) == 1:
        groups = _groups(across, LEAST_GAP * min(short, MOST_LOOSE * _height(inked)))
    narrow = [end for end in (0, -1) if len(groups) > 1 and groups[end][1] - groups[end][0] <= WIDEST * short]
    coloured = {end: _has_own_colour(upright, inked, groups, end) for end in narrow}
    narrow = [end for end in narrow if coloured[end] or _least_side(inked, groups[end]) >= LEAST_SIDE * short]
    if not narrow:
        return None
    characters = recogniser().characters(upright)
    first, last = 0.0, long
    for end in narrow:
        start, stop = groups[end][0] + MARGIN - NEAR * short, groups[end][1] + MARGIN + NEAR * short
        beside = [start <= each.place * upright.shape[1] <= stop for each in characters]
        symbol, words = (list(compress(characters, chosen)) for chosen in (beside, np.logical_not(beside)))
        least = LEAST_READ_IN_COLOUR if coloured[end] else LEAST_READ
        if not are_words(words) or _is_text(symbol, words, least):
            continue
        middle = (groups[0][1] + groups[1][0]) / 2 if end == 0 else (groups[-2][1] + groups[-1][0]) / 2
        border = round(middle) + MARGIN
        alone = recogniser().characters(np.ascontiguousarray(upright[:, border:] if end == 0 else upright[:, :border]))
        if _is_text(_read_more(characters, alone, end), words, least):
            continue
        if end == 0:
            first = middle
        else:
            last = middle
    if (first, last) == (0.0, long):
        return None
    cut = corners + np.outer([first, last - long, last - long, first], along)
    rows, columns = np.indices(rgb.shape[:2])
    place = (columns - corners[0, 0]) * along[0] + (rows - corners[0, 1]) * along[1]
    beyond = ((place < first) & (first > 0)) | ((place > last) & (last < long))
    return WordsAlone([[float(x), float(y)] for x, y in cut], beyond)


def _read_more(characters: Sequence[Character], alone: Sequence[Character], end: int) -> Sequence[Character]:
    """What is read of a line beyond what is read without the symbol at its first or last end.

    The recogniser places a thin letter, such as an I, where the next one begins.
    """
    whole, rest = ([each for each in line if not each.text.isspace()] for line in (characters, alone))
    more = len(whole) - len(rest)
    kept, beyond = (whole[more:], whole[:more]) if end == 0 else (whole[: len(rest)], whole[len(rest) :])
    same = [each.text for each in kept] == [each.text for each in rest]
    return beyond if more > 0 and same else []


def _groups(columns: Selection, least_gap: float) -> list[tuple[int, int]]:
    """The first and the last column of each group of columns with strokes."""
    inked = np.flatnonzero(columns)
    if not len(inked):
        return []
    breaks = np.flatnonzero(np.diff(inked) > max(1.0, least_gap))
    starts, stops = [inked[0], *inked[breaks + 1]], [*inked[breaks], inked[-1]]
    return [(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def _height(inked: Selection) -> float:
    """The height in pixels of all strokes."""
    rows = np.flatnonzero(inked.any(axis=1))
    return float(np.ptp(rows)) + 1 if len(rows) else 0.0


def _least_side(inked: Selection, group: tuple[int, int]) -> int:
    """The smaller one of the width and the height in pixels of a group of strokes."""
    rows = np.flatnonzero(inked[:, group[0] : group[1] + 1].any(axis=1))
    return int(min(group[1] - group[0], rows[-1] - rows[0])) + 1


def _has_own_colour(upright: Pixels, inked: Selection, groups: Sequence[tuple[int, int]], end: int) -> bool:
    """Whether the first or last group of strokes has another colour than all others."""
    start, stop = groups[end]
    own = inked.copy()
    own[:, :start] = own[:, stop + 1 :] = False
    pixels = np.ascontiguousarray(upright[MARGIN:-MARGIN, MARGIN:-MARGIN])
    colours = [ink_colour(pixels, letters) for letters in (own, inked & ~own)]
    return bool(np.abs(colours[0] - colours[1]).max() >= ANOTHER_COLOUR)


def _is_text(characters: Sequence[Character], words: Sequence[Character], least_read: float) -> bool:
    """Whether characters are read with this probability at least, and belong to the words.

    The recogniser reads a check box as a character of another script.
    """
    read = [each for each in characters if each.probability >= least_read and not each.text.isspace()]
    return any(each.belongs_to(words) or _is_of_rights(each) for each in read)


def _is_of_rights(character: Character) -> bool:
    return character.text in RIGHTS and character.probability >= LEAST_READ_RIGHTS
