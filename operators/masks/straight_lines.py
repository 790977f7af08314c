"""Straight lines of one colour: rules of tables, underlines, borders of panels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.median import median_level
from operators.rows.arrays import Pixels, Selection

Plane = npt.NDArray[Any]

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
    grain = 4.5 * median_level(cv2.absdiff(pixels, cv2.medianBlur(pixels, 3)))
    level, upright = (_level_lines(cv2.split(turned), length, grain) for turned in (pixels, cv2.transpose(pixels)))
    return level | upright.T


def _level_lines(channels: Sequence[Pixels], length: int, grain: float) -> Selection:
    """The pixels of level lines, in a picture given as its three channels, each height x width."""
    contrast, slope, deviation = (np.zeros(channels[0].shape, np.float32) for _ in range(3))
    for channel in channels:
        values = channel.astype(np.float32)
        mean = cv2.blur(values, (length // 2, 1))
        above, below = (cv2.subtract(mean, beside) for beside in _beside(mean, 2))
        # Both are 0 or less where the colour does not lie between those of the sides.
        rises, falls = cv2.min(above, -below), cv2.min(-above, below)
        cv2.max(slope, cv2.max(rises, falls), slope)
        cv2.max(contrast, cv2.max(np.abs(above), np.abs(below)), contrast)
        cv2.max(deviation, cv2.absdiff(values, mean), deviation)
    steady = (contrast > max(LEAST_EDGE, grain)) & (slope <= MOST_SLOPE * contrast)
    steady &= deviation <= np.maximum(max(LINE_STEP, grain), LINE_GRAIN * contrast)
    joined = cv2.morphologyEx(steady.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((1, 3), np.uint8))
    lines = cv2.morphologyEx(joined, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    return (_with_ends(channels, lines, length // 2, max(LINE_STEP, grain)) if lines.any() else lines) > 0


def _with_ends(channels: Sequence[Pixels], lines: Pixels, longest: int, tolerance: float) -> Pixels:
    """The level lines with their ends, where the mean along a line takes in what lies beyond it.

    An end goes on for at most `longest` pixels, as long as its colour does not change by more
    than `tolerance` grey levels from pixel to pixel and differs from the pixels beside it.
    """
    edge, before, after = (np.zeros_like(lines) for _ in range(3))
    for channel in channels:
        for beside in _beside(channel, 2):
            cv2.max(edge, cv2.absdiff(channel, beside), edge)
        padded = cv2.copyMakeBorder(channel, 0, 0, 1, 1, cv2.BORDER_REPLICATE)
        cv2.max(before, cv2.absdiff(channel, padded[:, :-2]), before)
        cv2.max(after, cv2.absdiff(channel, padded[:, 2:]), after)
    constant = ((cv2.min(before, after) <= tolerance) & (edge > max(LEAST_EDGE, tolerance))).astype(np.uint8)
    for _ in range(longest):
        longer = cv2.dilate(lines, np.ones((1, 3), np.uint8)) & constant | lines
        if np.array_equal(longer, lines):
            break
        lines = longer
    return lines


def _beside(plane: Plane, distance: int) -> tuple[Plane, Plane]:
    """The pixels some rows above each pixel, and those below it; the border's are repeated."""
    padded = cv2.copyMakeBorder(plane, distance, distance, 0, 0, cv2.BORDER_REPLICATE)
    return padded[: -2 * distance], padded[2 * distance :]
