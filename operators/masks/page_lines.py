"""The lines near a text: which belong to the page and stay, and which is the text's underline."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.covered_lines import covered_lines
from operators.masks.ink import SAME_COLOUR, has_ink, ink_colour
from operators.masks.mask import dilated
from operators.masks.straight_lines import LEAST_EDGE, LEAST_LINE, straight_lines
from operators.rows.arrays import Pixels, Selection, largest_channel

HAIRLINE = 0.03
"""Thickness, as a share of the line's height, of lines that are too thin for a letter."""
ANOTHER_COLOUR = 24.0
"""Grey levels by which a line between letters differs at least from every mixture of their colour
with the ground, so that it is none of their strokes.
"""
LONG = 2.0
"""Length of such a line in heights of the line of text at least."""
MOST_SLOPING = 0.1
"""Height of such a line as a share of its length at most."""
LEAST_REST = 16
"""Length in pixels of a line that goes on beyond the other end of the text."""
LONGEST_END = 16
"""Pixels at each end of a line that `straight_lines` may miss."""
AROUND = 0.25
"""Distance from a line, in heights of the text, within which letters are around it."""
BESIDE = 3
"""Pixels beside a stroke that `straight_lines` may take for a line of their own."""
LETTERS_RIM = 4
"""Pixels around the letters that show their ground."""
RIM = 12
"""Pixels around an underline that `straight_lines` may count with it."""


class PageLines(NamedTuple):
    """The lines near a text, each height x width."""

    lines: Selection
    """The lines of the page."""
    underline: Selection
    """The underline of the text."""


def page_lines(rgb: Pixels, strokes: Pixels, height: float) -> PageLines:
    """Divide the straight lines near a text into those of the page and the text's underline.

    An underline belongs to the text if it has the colour of the letters and ends where they end.
    `rgb` is uint8 height x width x 3, `strokes` uint8 height x width (0 or 255), and `height` that
    of the line of text in pixels.
    """
    lines = straight_lines(rgb, max(LEAST_LINE, round(1.5 * height)))
    short = straight_lines(rgb, max(LEAST_LINE, round(0.75 * height)))
    thin = _is_thin(rgb, max(1, round(HAIRLINE * height)) + 1)
    lines |= short & thin
    letters = (strokes > 0) & ~lines
    if letters.any():
        rest = straight_lines(rgb, LEAST_REST) & thin
        lines |= _on_both_sides(rgb, rest, letters) | _on_both_sides(rgb.swapaxes(0, 1), rest.T, letters.T).T
        letters &= ~lines
    underline, beside = np.zeros_like(lines), np.zeros_like(lines)
    if not letters.any():
        return PageLines(lines, underline)
    colour = ink_colour(rgb, letters)
    covered = covered_lines(rgb, thin, colour, LONG * height)
    letters &= ~covered
    if not letters.any() or not lines.any():
        return PageLines(lines | covered, underline)
    reaching = _reaching_out(lines, letters, max(BESIDE, round(AROUND * height)))
    lines = reaching | _of_another_colour(rgb, lines & ~reaching, colour, LONG * height)
    left, right = (int(edge) for edge in np.flatnonzero(letters.any(axis=0))[[0, -1]])
    # A line's ends are not detected as such, so its ink is followed a little further.
    longer = cv2.dilate(lines.astype(np.uint8), np.ones((1, 2 * LONGEST_END + 1), np.uint8)) > 0
    top, bottom = (int(edge) for edge in np.flatnonzero(letters.any(axis=1))[[0, -1]])
    around = (dilated(letters.astype(np.uint8), LETTERS_RIM) > 0) & ~letters & ~lines
    in_ink = has_ink(rgb, colour, np.median(rgb[around], axis=0) if around.any() else colour)
    ink = longer & in_ink
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    for label in range(1, count):
        x, y, width, thickness, _ = boxes[label]
        inside = x >= left - 0.3 * height and x + width <= right + 0.3 * height
        goes_on = _goes_on(in_ink, boxes[label])
        below = top <= y <= bottom + 0.5 * height and thickness <= min(0.3 * height, width / 3)
        if inside and below and not goes_on:
            own = labels == label
            underline |= own
            beside |= dilated(own.astype(np.uint8), RIM) > 0
    return PageLines((lines & ~beside) | covered, underline & ~covered)


def _on_both_sides(rgb: Pixels, rest: Selection, letters: Selection) -> Selection:
    """The level lines that end on one side of the letters and go on, in the same row and colour,
    on the other side.
    """
    first, last = (int(edge) for edge in np.flatnonzero(letters.any(axis=0))[[0, -1]])
    before, after = rest.copy(), rest.copy()
    before[:, first:], after[:, : last + 1] = False, False
    same: Selection = np.asarray(before.any(axis=1) & after.any(axis=1))
    for row in np.flatnonzero(same):
        colours = [rgb[row][places[row]].mean(axis=0) for places in (before, after)]
        same[row] = np.abs(colours[0] - colours[1]).max() <= SAME_COLOUR / 2
    result: Selection = (before | after) & same[:, None]
    return result


def _reaching_out(lines: Selection, letters: Selection, near: int) -> Selection:
    """The lines that reach beyond the letters around them; others run between letters.

    Of a slanted text, only the letters within `near` pixels of a line are around it.
    """
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(lines.astype(np.uint8), connectivity=8)
    inside = np.zeros(count, bool)
    inside[0] = True
    for label in range(1, count):
        x, y, width, thickness = (int(value) for value in boxes[label][:4])
        beside = np.flatnonzero(letters[max(0, y - near) : y + thickness + near].any(axis=0))
        above = np.flatnonzero(letters[:, max(0, x - near) : x + width + near].any(axis=1))
        inside[label] = _lies_within(x, x + width, beside) and _lies_within(y, y + thickness, above)
    reaching: Selection = ~inside[labels]
    return reaching


def _lies_within(start: int, stop: int, places: npt.NDArray[np.int_]) -> bool:
    """Whether a stretch lies between the first and the last of some places, or BESIDE them."""
    return bool(len(places)) and start >= places[0] - BESIDE and stop <= places[-1] + 1 + BESIDE


def _of_another_colour(rgb: Pixels, lines: Selection, colour: npt.NDArray[np.float64], least_length: float) -> Selection:
    """The long level lines whose colour is neither that of the letters nor mixed of it and the
    ground. Letters that cross a line do not divide it.
    """
    joined = cv2.dilate(lines.astype(np.uint8), np.ones((1, 2 * LONGEST_END + 1), np.uint8))
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    result = np.zeros_like(lines)
    for label in range(1, count):
        width, thickness = boxes[label][2:4]
        if width < least_length + 2 * LONGEST_END or thickness > MOST_SLOPING * width:
            continue
        own = lines & (labels == label)
        beside = (dilated(own.astype(np.uint8), 2) > 0) & (dilated(own.astype(np.uint8), 1) == 0)
        line, ground = np.median(rgb[own], axis=0), np.median(rgb[beside], axis=0)
        way = colour - ground
        share = float(np.clip((line - ground) @ way / max(1.0, float(way @ way)), 0, 1))
        apart = float(np.abs(line - ground - share * way).max())
        result |= own & (apart > ANOTHER_COLOUR)
    return result


def _is_thin(rgb: Pixels, distance: int) -> Selection:
    """Pixels brighter or darker than those at this distance on both sides, in either direction."""
    values = rgb.astype(np.int16)
    thin = np.zeros(rgb.shape[:2], bool)
    for axis in (0, 1):
        places = np.arange(values.shape[axis])
        before, after = (
            values - np.take(values, np.clip(places + step, 0, len(places) - 1), axis=axis) for step in (-distance, distance)
        )
        ridge = (np.sign(before) == np.sign(after)) * np.minimum(np.abs(before), np.abs(after))
        thin |= largest_channel(ridge) > LEAST_EDGE
    return thin


def _goes_on(in_ink: Selection, box: npt.NDArray[np.int32]) -> bool:
    """Whether pixels of the line's ink continue it beyond either end, as a curve's do."""
    x, y, width, height, _ = (int(value) for value in box)
    rows = slice(max(0, y - 2), y + height + 2)
    ends = (slice(max(0, x - 4), max(0, x - 1)), slice(x + width + 1, x + width + 4))
    return any(bool(in_ink[rows, columns].any()) for columns in ends)
