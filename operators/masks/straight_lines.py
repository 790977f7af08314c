"""Straight lines of one colour: rules of tables, underlines, borders of panels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels, Selection, largest_channel

LEAST_LINE = 24
"""Length in pixels from which a straight line counts as part of the ground."""
LINE_STEP = 3.0
"""Grey levels by which pixels along a line may differ from their mean."""
LINE_GRAIN = 0.1
"""The same as a share of the line's contrast."""
LEAST_EDGE = 12.0
"""Grey levels by which a line differs from the pixels beside it at least."""
MOST_SLOPE = 0.35
"""Difference of a line from its nearer side, as a share of that from the other, if its colour lies
between the two. On a slope, as that of a glow, both differences are alike.
"""


def straight_lines(pixels: Pixels, length: int) -> Selection:
    """The pixels of level and upright lines of one colour, at least `length` pixels long.

    Rules of tables, underlines and borders of panels are such lines; letters have none as long.
    A line may be grainy, but less so than it differs from the pixels beside it. The pixels beside
    a thin line count as part of it.
    """
    values = pixels.astype(np.float32)
    grain = 4.5 * float(np.median(np.abs(values - cv2.medianBlur(pixels, 3))))
    result = np.zeros(pixels.shape[:2], bool)
    for across in (0, 1):
        mean = cv2.blur(values, (length // 2, 1) if across == 0 else (1, length // 2))
        sides = [mean - _shifted(mean, step, across) for step in (-2, 2)]
        contrast = np.maximum(*(largest_channel(np.abs(side)) for side in sides))
        slope = largest_channel(np.where(sides[0] * sides[1] < 0, np.minimum(*(np.abs(side) for side in sides)), 0))
        deviation = largest_channel(np.abs(values - mean))
        steady = (contrast > max(LEAST_EDGE, grain)) & (slope <= MOST_SLOPE * contrast)
        steady &= deviation <= np.maximum(max(LINE_STEP, grain), LINE_GRAIN * contrast)
        gap, kernel = (np.ones((1, side) if across == 0 else (side, 1), np.uint8) for side in (3, length))
        joined = cv2.morphologyEx(steady.astype(np.uint8), cv2.MORPH_CLOSE, gap)
        lines = cv2.morphologyEx(joined, cv2.MORPH_OPEN, kernel)
        result |= _with_ends(values, lines, across, length // 2, max(LINE_STEP, grain)) > 0
    return result


def _with_ends(values: npt.NDArray[np.float32], lines: Pixels, across: int, longest: int, tolerance: float) -> Pixels:
    """The lines with their ends, where the mean along a line takes in what lies beyond it.

    An end goes on for at most `longest` pixels, as long as its colour does not change by more
    than `tolerance` grey levels from pixel to pixel and differs from the pixels beside it.
    """
    edge = np.maximum(*(largest_channel(np.abs(values - _shifted(values, step, across))) for step in (-2, 2)))
    along = 1 - across
    steps = (largest_channel(np.abs(values - _shifted(values, step, along))) for step in (-1, 1))
    constant = ((np.minimum(*steps) <= tolerance) & (edge > max(LEAST_EDGE, tolerance))).astype(np.uint8)
    kernel = np.ones((1, 3) if across == 0 else (3, 1), np.uint8)
    for _ in range(longest):
        longer = cv2.dilate(lines, kernel) & constant | lines
        if np.array_equal(longer, lines):
            break
        lines = longer
    return lines


def _shifted(values: npt.NDArray[np.float32], step: int, axis: int) -> npt.NDArray[np.float32]:
    """The values moved by some pixels along an axis; those of the border are repeated."""
    places = np.clip(np.arange(values.shape[axis]) - step, 0, values.shape[axis] - 1)
    return np.take(values, places, axis=axis)
