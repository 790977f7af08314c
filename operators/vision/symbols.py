"""Symbols beside a text that the detector took into its box: icons, check boxes, arrows.

A symbol stands at an end of the line, a gap away from the words. The recogniser has the last
word: what it reads as a character of the words' own script is text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import rasterised
from operators.rows.arrays import Pixels, Selection
from operators.rows.box import Box
from operators.vision.line_ends import MOST_ASPECT, ordered_corners
from operators.vision.recogniser import PlacedCharacter, recogniser

LEAST_GAP = 0.2
"""Least distance of a symbol from the words, in heights of the line."""
WIDEST = 1.8
"""Largest width of a symbol, in heights of the line."""
NEAR = 0.15
"""How far from its strokes the recogniser may place a character, in heights of the line."""
LEAST_LETTERS = 3
"""Letters that the recogniser must read in the words, so that its reading says something."""
LEAST_CERTAINTY = 0.8
"""Mean probability of these letters, 0..1."""
LEAST_READ = 0.85
"""Probability from which a character beside the words is text, 0..1."""
MARGIN = 8
"""Pixels around the line that the recogniser sees."""


class WordsAlone(NamedTuple):
    """A line of text without the symbols at its ends."""

    polygon: list[list[float]]
    beyond: Selection
    """The pixels beyond the ends that were cut, height x width."""


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
        corners = np.roll(corners, 2, axis=0)
    upright = _upright(rgb, corners, long, short)
    inked = _upright(np.where(strokes, 255, 0).astype(np.uint8), corners, long, short)[MARGIN:-MARGIN, MARGIN:-MARGIN] > 127
    groups = _groups(np.asarray(inked.any(axis=0)), LEAST_GAP * short)
    if len(groups) < 2:
        return None
    ends = [end for end in (0, -1) if groups[end][1] - groups[end][0] <= WIDEST * short]
    if not ends:
        return None
    placed = [(each, each.place * upright.shape[1] - MARGIN) for each in recogniser().placed_characters(upright)]
    cut = corners.copy()
    for end in ends:
        start, stop = groups[end]
        inside = [each for each, x in placed if start - NEAR * short <= x <= stop + NEAR * short]
        rest = [each for each, x in placed if not start - NEAR * short <= x <= stop + NEAR * short]
        if _are_words(rest) and not _is_text(inside, rest):
            gap = (stop + groups[1][0]) / 2 if end == 0 else (groups[-2][1] + start) / 2
            for corner in (0, 3) if end == 0 else (1, 2):
                base = corners[0] if corner in (0, 1) else corners[3]
                cut[corner] = base + gap * (corners[1] - corners[0]) / long
    if np.array_equal(cut, corners):
        return None
    return WordsAlone([[float(x), float(y)] for x, y in cut], _beyond(cut, corners, rgb.shape[:2], short))


def _upright(picture: Pixels, corners: npt.NDArray[np.float64], long: float, short: float) -> Pixels:
    """The picture under a rectangle and MARGIN pixels around it, turned upright."""
    inner = [[MARGIN, MARGIN], [MARGIN + long, MARGIN], [MARGIN, MARGIN + short]]
    turn = cv2.getAffineTransform(corners[[0, 1, 3]].astype(np.float32), np.array(inner, np.float32))
    size = (round(long) + 2 * MARGIN, round(short) + 2 * MARGIN)
    result: Pixels = cv2.warpAffine(picture, turn, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return result


def _groups(columns: Selection, least_gap: float) -> list[tuple[int, int]]:
    """The first and the last column of each group of columns with strokes."""
    inked = np.flatnonzero(columns)
    if not len(inked):
        return []
    breaks = np.flatnonzero(np.diff(inked) > max(1.0, least_gap))
    starts, stops = [inked[0], *inked[breaks + 1]], [*inked[breaks], inked[-1]]
    return [(int(start), int(stop)) for start, stop in zip(starts, stops, strict=True)]


def _are_words(characters: Sequence[PlacedCharacter]) -> bool:
    letters = [each.probability for each in characters if each.text.isalpha()]
    return len(letters) >= LEAST_LETTERS and float(np.mean(letters)) >= LEAST_CERTAINTY


def _is_text(characters: Sequence[PlacedCharacter], words: Sequence[PlacedCharacter]) -> bool:
    """Whether the characters are read for certain, and belong to the script of the words.

    The recogniser reads a check box as a character of another script.
    """
    read = [each for each in characters if each.probability >= LEAST_READ and not each.text.isspace()]
    scripts = {_script(each.text) for each in words if each.text.isalpha()}
    return any(not _is_symbol(each.text) and (not each.text.isalpha() or _script(each.text) in scripts) for each in read)


def _is_symbol(character: str) -> bool:
    """Whether a character is a sign that no keyboard has, such as an arrow or a star."""
    return unicodedata.category(character[0]) in ("So", "Sm") and not character.isascii()


def _script(letter: str) -> str:
    """The script of a letter: the first word of its Unicode name."""
    return unicodedata.name(letter[0], "UNKNOWN").split()[0]


def _beyond(cut: npt.NDArray[np.float64], corners: npt.NDArray[np.float64], shape: tuple[int, ...], short: float) -> Selection:
    """The pixels beyond the cut ends, also above and below the line."""
    down = (corners[3] - corners[0]) / np.linalg.norm(corners[3] - corners[0])
    along = (corners[1] - corners[0]) / np.linalg.norm(corners[1] - corners[0])
    beyond = np.zeros(shape, bool)
    for first, second, sign in ((0, 3, -1.0), (1, 2, 1.0)):
        if np.array_equal(cut[first], corners[first]):
            continue
        top, bottom, far = cut[first] - short * down, cut[second] + short * down, sign * (WIDEST + 2) * short * along
        area = [list(point) for point in (top, top + far, bottom + far, bottom)]
        beyond |= rasterised([area], Box(0, 0, shape[1], shape[0])) > 0
    return beyond
