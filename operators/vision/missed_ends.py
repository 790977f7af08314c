"""Where a line may go on beyond the ends of its polygon: the first look sees text there.

Of a line that changes its ground, or whose letters stand far apart, the detector may see a part. It
sees the rest if it looks at the end alone, with higher letters.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from operators.masks.geometry import Polygon, upright_turn
from operators.vision.areas import Area
from operators.vision.close_look import FoundText
from operators.vision.first_look import Cells, likelihood
from operators.vision.join_lines import LEAST_LONG

STEP, MOST_STEPS = 0.5, 32
"""How far the line is followed at a time, in heights of its polygon, and how often at most."""
LEAST_BEYOND = 0.5
"""Mean probability of text at the first look, 0..1, in each step."""
INSIDE = 1.5
"""How much of the text is looked at again, in heights of its polygon."""
MARGIN = 0.4
"""How much is looked at around the line, in heights of its polygon."""
LETTERS = 0.6
"""Height of the letters as a share of that of a polygon."""


def missed_ends(texts: Sequence[FoundText], copies: Sequence[Cells], width: int, height: int) -> Iterator[Area]:
    """The areas in a width x height picture in which texts may go on, each with an end of a text.

    `copies` is what the first look says of the picture and its reduced copies.
    """
    for text in texts:
        others = [other.polygon for other in texts if other is not text]
        for at_left in (True, False):
            area = _beyond(text.polygon, at_left, others, copies, width, height)
            if area is not None:
                yield area


def _beyond(
    polygon: Polygon, at_left: bool, others: Sequence[Polygon], copies: Sequence[Cells], width: int, height: int
) -> Area | None:
    """The area of one end of a text; None if the first look sees nothing beyond it."""
    turn, (length, high) = upright_turn(polygon)
    if length < LEAST_LONG * high:
        return None
    steps = 0
    while steps < MOST_STEPS:
        near, far = steps * STEP * high, (steps + 1) * STEP * high
        left, right = (-far, -near) if at_left else (length + near, length + far)
        part = (np.array([[left, 0], [right, 0], [right, high], [left, high]]) - turn[:, 2]) @ turn[:, :2]
        x, y = part.mean(axis=0)
        is_free = 0 <= x < width and 0 <= y < height and not any(_holds(other, x, y) for other in others)
        if not is_free or likelihood(copies, part.tolist()) < LEAST_BEYOND:
            break
        steps += 1
    if steps == 0:
        return None
    beyond, inside, margin = steps * STEP * high, min(length, INSIDE * high), MARGIN * high
    left, right = (-beyond, inside) if at_left else (length - inside, length + beyond)
    # Areas are turned about the picture's origin, `turn` moves the polygon to it as well.
    x, y = (float(offset) for offset in turn[:, 2])
    angle = math.atan2(turn[1, 0], turn[0, 0])
    return Area(angle, left - x - margin, -y - margin, right - x + margin, high - y + margin, LETTERS * high, margin)


def _holds(polygon: Polygon, x: float, y: float) -> bool:
    """Whether a polygon holds a point."""
    return cv2.pointPolygonTest(np.asarray(polygon, np.float32), (float(x), float(y)), False) >= 0
