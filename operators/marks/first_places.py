"""The most likely places of a mark: the first search, on reduced copies of the picture.

Edges are whitened before they are compared, so that the correlation of a place without the mark has
nearly the same known spread for a mark of any size, even for one as large as the picture.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Mapping

import cv2

from operators.marks.rendering import Pose
from operators.marks.tiled_field import TiledField
from operators.marks.view import View, deep, resized, template
from operators.rows.box import Box
from operators.rows.overlay import Plane

COARSE = 26.0
"""Root of a mark's area in pixels where it is first looked for."""
LONGEST = 96
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
CANDIDATES = 14
"""Places that are followed up, at most."""
LEAST_SHARE = 0.5
"""Share of the best place's correlation from which another place is followed up."""
LEAST_FIRST = 4.0
"""Correlation in standard deviations from which a place is followed up."""
NEAR, ALIKE = 0.15, 0.2
"""Distance as a share of the mark's side, and difference of size, of places that are one."""


def first_places(view: View, least: float, most: float) -> list[Pose]:
    """The most likely places of the mark between two sizes, the likeliest first."""
    area, (height, width) = math.sqrt(view.mark.alpha.size), view.mark.alpha.shape
    side = min(COARSE, LONGEST / max(height, width) * area)
    side = max(side, SHORTEST / min(height, width) * area)
    most = min(most, view.frame.height * 1.3 / height, view.frame.width * 1.3 / width)
    if most < least:
        return []
    half = max(height, width) * side / area / 2
    steps, turns = _steps(half), _turns(half, view.mark.search.turn)
    drawn: dict[tuple[float, float], tuple[Plane, Box]] = {}
    places: list[tuple[float, Pose]] = []
    for smallest in _octaves(least, most):
        factor = min(1.0, side / (area * smallest))
        small = resized(view.planes, factor)
        if min(small.shape[:2]) < 4:
            continue
        # Reduced copies show the mark at the same sizes, however large it is in the picture.
        sizes = [round(smallest * factor * step, 6) for step in steps if smallest * step < most * steps[1] ** 0.5 or step == 1]
        few = small.shape[0] * small.shape[1] <= MOST_TURNED
        tried = list(itertools.product(sizes, turns if few else [0.0]))
        drawn |= {pair: template(view, *pair, blurred=True) for pair in tried if pair not in drawn}
        places += _peaks(view, small, factor, {pair: drawn[pair] for pair in tried})
    places.sort(key=lambda place: -place[0])
    chosen: list[Pose] = []
    for value, pose in places:
        if value < LEAST_SHARE * places[0][0] or len(chosen) == CANDIDATES:
            break
        reach = NEAR * pose.scale * area
        if not any(
            math.hypot(one.x - pose.x, one.y - pose.y) < reach and abs(one.scale / pose.scale - 1) < ALIKE for one in chosen
        ):
            chosen.append(pose)
    return chosen


def _octaves(least: float, most: float) -> list[float]:
    """The smallest size of the mark on each of the reduced copies."""
    return [least * OCTAVE**number for number in range(max(1, math.ceil(math.log(most / least) / math.log(OCTAVE) - 1e-6)))]


def _steps(half: float) -> list[float]:
    """The sizes on one copy as multiples of the smallest, so close that the ends of a mark of half
    this length are never far off.
    """
    count = math.ceil(math.log(OCTAVE) / math.log(min(1 + 2 * ASIDE / half, LARGEST_STEP)))
    return [OCTAVE ** (number / count) for number in range(count)]


def _turns(half: float, most: float) -> list[float]:
    """Turns in degrees that are as close, around 0."""
    count = max(0, math.ceil(most / math.degrees(2 * ASIDE / half) - 0.5))
    return [number * most / (count + 0.5) for number in range(-count, count + 1)]


def _peaks(
    view: View, small: Plane, factor: float, templates: Mapping[tuple[float, float], tuple[Plane, Box]]
) -> Iterator[tuple[float, Pose]]:
    """The best places in a reduced copy of the mark at some sizes and turns, with their scores."""
    boxes = [box for _, box in templates.values()]
    seen = view.axes.seen(deep(cv2.GaussianBlur(small, (3, 3), 0)))
    field = TiledField.of(seen, functools.reduce(Box.union, boxes), boxes[len(boxes) // 2])
    for (size, turn), (edges, box) in templates.items():
        for peak in field.peaks(edges, box, LEAST_FIRST):
            yield peak.score, Pose(peak.x, peak.y, size, turn).scaled(1 / factor)
