"""Following a mark's place from a reduced copy to the full size, to parts of a pixel."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import cv2

from operators.marks.rendering import Pose
from operators.marks.view import View, correlation, template, window
from operators.rows.box import Box
from operators.rows.overlay import Plane

REACH = 3
"""Pixels of the first copy by which the first place may be wrong."""
START = 42.0
"""Root of a mark's area in pixels where it is first aligned."""
FINEST = 360.0
"""Root of a mark's area in pixels above which it is aligned on a reduced copy."""
FIRST_SPREAD, FIRST_TURN = 0.04, 1.5
"""Share of the size and degrees by which the first place may be wrong."""
LEAST_AT_FIRST, LEAST_ALIGNED = 0.17, 0.24
"""Correlation of directions on the first copy below which a place is given up, before and after the
mark is aligned there.
"""
LEAST_LIKELY = 4.2
"""The correlation times the root of the number of the mark's edges, after it is aligned there."""
LEAST_ON_THE_WAY = 0.11
"""The same on the copies that follow."""


def followed(view: View, pose: Pose) -> tuple[Pose, float] | None:
    """A place of a reduced copy followed up to the full size, and the correlation of its edges.

    None if the likeness is lost on the way.
    """
    area = math.sqrt(view.mark.alpha.size)
    start, finest = (_factor(side / (area * pose.scale)) for side in (START, FINEST))
    factors = [start]
    while factors[-1] < finest:
        factors.append(min(finest, _factor(factors[-1] * 1.8)))
    if best_shift(view.reduced(start), view, pose.scaled(start), REACH)[1] < LEAST_AT_FIRST:
        return None
    score, reach, spread, turn = 0.0, REACH, FIRST_SPREAD, min(FIRST_TURN, view.mark.search.turn)
    for number, factor in enumerate([factors[0], *factors, factors[-1], factors[-1]]):
        small = view.reduced(factor)
        pose, score = aligned(small, view, pose, factor, reach if number <= len(factors) else 2, spread, turn)
        spread, turn = spread / 2, turn / 2
        if score < LEAST_ON_THE_WAY or (number == 0 and not _likely(view, pose.scaled(factor), score)):
            return None
    return pose, score


def _factor(wanted: float) -> float:
    """The factor of the next larger of the reduced copies, of which there are four an octave."""
    return min(1.0, math.pow(2.0, math.ceil(4 * math.log2(wanted) - 1e-9) / 4))


def _likely(view: View, pose: Pose, score: float) -> bool:
    """Whether a place on the first copy is worth following, by the correlation there."""
    return score >= LEAST_ALIGNED and sureness(view, pose, score) >= LEAST_LIKELY


def sureness(view: View, pose: Pose, score: float) -> float:
    """A correlation times the root of the number of the mark's edges.

    Accidental correlations grow as the mark has fewer edges: on photographs, the best of all places
    of a picture comes to a sureness of 6 to 9.
    """
    edges, _ = template(view, pose.scale, pose.turn, blurred=False)
    return score * math.sqrt(float((edges**2).sum()))


def aligned(small: Plane, view: View, pose: Pose, factor: float, reach: int, spread: float, turn: float) -> tuple[Pose, float]:
    """The best of some sizes and turns around a pose, moved by up to `reach` pixels."""
    best, best_score = pose, -1.0
    for size, angle in itertools.product((-spread, 0.0, spread), (-turn, 0.0, turn) if turn else (0.0,)):
        tried = replace(pose, scale=pose.scale * (1 + size), turn=pose.turn + angle).scaled(factor)
        moved, score = best_shift(small, view, tried, reach)
        if score > best_score:
            best, best_score = moved.scaled(1 / factor), score
    return best, best_score


def best_shift(small: Plane, view: View, pose: Pose, reach: int) -> tuple[Pose, float]:
    """The pose moved to the best place within `reach` pixels, to parts of a pixel."""
    middle_x, middle_y = round(pose.x), round(pose.y)
    edges, box = template(view, pose.scale, pose.turn, blurred=False)
    place = Box(box.x + middle_x, box.y + middle_y, box.width, box.height)
    seen = view.axes.seen(window(small, place, reach))
    scores = correlation(seen, edges)
    _, value, _, (x, y) = cv2.minMaxLoc(scores)
    across, down = _parabola(scores[y], x), _parabola(scores[:, x], y)
    return replace(pose, x=middle_x + across - reach, y=middle_y + down - reach), float(value)


def _parabola(values: Plane, place: int) -> float:
    """The maximum near `place` of a parabola through three values."""
    if not 0 < place < len(values) - 1:
        return float(place)
    before, here, after = (float(value) for value in values[place - 1 : place + 2])
    bend = before - 2 * here + after
    return place if bend >= 0 else place + 0.5 * (before - after) / bend
