"""The most likely places of a mark: the first search, on reduced copies of the picture.

Edges are whitened before they are compared, so that the correlation of a place without the mark has
nearly the same known spread for a mark of any size, even for one as large as the picture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import cv2

from operators.marks.closer_look import Place, closer
from operators.marks.rendering import Pose
from operators.marks.template_bank import Look, TemplateBank
from operators.marks.tiled_field import TiledField
from operators.marks.view import View, deep
from operators.rows.box import Box
from operators.rows.overlay import Plane

COARSE = 22.0
"""Root of a mark's area in pixels where it is first looked for."""
LONGEST = 80
"""Longer side in pixels of a mark where it is first looked for, at most."""
SHORTEST = 7
"""Shorter side in pixels of a mark where it is first looked for, at least."""
ASIDE = 2.0
"""Pixels by which the ends of a mark may lie beside those of a size and a turn that are tried."""
LARGEST_STEP = 1.12
"""Ratio of neighbouring sizes of the first search, at most."""
MOST_TURNED = 400_000
"""Pixels of a copy above which no turns are tried, because of their cost."""
OCTAVE = math.sqrt(2)
"""Ratio of neighbouring reduced copies of the picture."""
LOOKED_AT, CANDIDATES = 60, 8
"""Places that are looked at more closely, and those that are followed up, at most."""
LEAST_CLOSER = 11.5
"""The same at a closer look, from which a place is followed up."""
LEAST_FIRST = 4.0
"""Correlation in standard deviations from which a place is looked at."""
SPREAD, TURN = 0.04, 2.0
"""Share of the size and degrees by which a place may be wrong if only one is tried."""
NEAR, ALIKE = 0.15, 0.2
"""Distance as a share of the mark's side, and difference of size, of places that are one."""


def first_places(view: View, least: float, most: float) -> list[Place]:
    """The most likely places of the mark between two sizes, the likeliest first."""
    area, (height, width) = math.sqrt(view.mark.alpha.size), view.mark.alpha.shape
    side = min(COARSE, LONGEST / max(height, width) * area)
    side = max(side, SHORTEST / min(height, width) * area)
    most = min(most, view.frame.height * 1.3 / height, view.frame.width * 1.3 / width)
    if most < least:
        return []
    half = max(height, width) * side / area / 2
    steps, turns = _steps(half), _turns(half, view.mark.search.turn)
    banks: dict[Box, TemplateBank] = {}
    places: list[Place] = []
    for smallest in _octaves(least, most):
        factor = min(1.0, side / (area * smallest))
        small = view.reduced(factor)
        if min(small.shape[:2]) < 4:
            continue
        # Reduced copies show the mark at the same sizes, however large it is in the picture.
        sizes = [round(smallest * factor * step, 6) for step in steps if smallest * step < most * steps[1] ** 0.5 or step == 1]
        few = small.shape[0] * small.shape[1] <= MOST_TURNED
        tried = list(itertools.product(sizes, turns if few else [0.0]))
        bank = TemplateBank.of(view, tried)
        places += _peaks(banks.setdefault(bank.canvas, bank), small, factor, tried)
    spread = (steps[1] / steps[0] - 1) / 2 if len(steps) > 1 else SPREAD
    turn = (turns[1] - turns[0]) / 2 if len(turns) > 1 else min(TURN, view.mark.search.turn)
    first = _apart(places, area, LOOKED_AT)
    likely = [place for place in closer(view, first, spread, turn) if place.score >= LEAST_CLOSER]
    return _apart(likely, area, CANDIDATES)


def _apart(places: Sequence[Place], area: float, most: int) -> list[Place]:
    """The likeliest places, at most so many; of places that are nearly the same, the likeliest."""
    chosen: list[Place] = []
    for place in sorted(places, key=lambda place: -place.score):
        pose = place.pose
        reach = NEAR * pose.scale * area
        near = (
            math.hypot(one.pose.x - pose.x, one.pose.y - pose.y) < reach and abs(one.pose.scale / pose.scale - 1) < ALIKE
            for one in chosen
        )
        if not any(near):
            chosen.append(place)
        if len(chosen) == most:
            break
    return chosen


def _octaves(least: float, most: float) -> list[float]:
    """The smallest size of the mark on each of the reduced copies."""
    return [least * OCTAVE**number for number in range(max(1, math.ceil(math.log(most / least) / math.log(OCTAVE) - 1e-6)))]


def _steps(half: float) -> list[float]:
    """The sizes on one copy as multiples of the smallest, so close that the ends of a mark of half
    this length are never far off.
    """
    count = math.ceil(math.log(OCTAVE) / math.log(min(1 + 2 * ASIDE / half, LARGEST_STEP)) - 1e-6)
    return [OCTAVE ** (number / count) for number in range(count)]


def _turns(half: float, most: float) -> list[float]:
    """Turns in degrees that are as close, around 0."""
    count = max(0, math.ceil(most / math.degrees(2 * ASIDE / half) - 0.5))
    return [number * most / (count + 0.5) for number in range(-count, count + 1)]


def _peaks(bank: TemplateBank, small: Plane, factor: float, looks: Sequence[Look]) -> Iterator[Place]:
    """The best places in a reduced copy of the mark at some sizes and turns, with their scores."""
    boxes = [bank.box(look) for look in looks]
    seen = bank.view.axes.seen(deep(cv2.GaussianBlur(small, (3, 3), 0)))
    field = TiledField.of(seen, bank.canvas, boxes[len(boxes) // 2])
    for look, box in zip(looks, boxes, strict=True):
        for peak in field.peaks(bank.spectrum(look, field.size), box, LEAST_FIRST):
            yield Place(peak.score, Pose(peak.x, peak.y, *look).scaled(1 / factor), factor)
