"""The places of a collection where edges recur, as its statistics tell them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from operators.marks.separation import significance
from operators.marks.statistics import ANCHORS, BY_WIDTH, NATIVE, SIDES, WIDTH, Statistics, place_of
from operators.rows.box import Box
from operators.rows.overlay import Plane

LEAST_EDGE, SURE_EDGE = 16.0, 26.0
"""Significance (chi squared) of a pixel of a common edge, and of the surest pixels of a group."""
FEW = 0.05
"""Share of these that each picture adds: a few pictures cannot reach much."""
FEWEST = 0.5
"""Share of these that the smallest collection needs."""
LEAST_PIXELS = 30
"""Pixels of common edges that a place must have."""
GAP = 12
"""Pixels by half of which the parts of one mark may be apart."""
MARGIN = 40
"""Pixels around a mark that are looked at, from which the picture below is continued."""
MOST_PLACES = 10
"""Places that are looked at, the surest first."""
SAME_PLACE = 0.5
"""Share of the smaller of two places that the larger one covers, from which they are the same."""
NATIVE_FIRST = 2.0
"""How much surer a place of pictures that are all reduced to one width must be."""

Zone = tuple[float, ...]
"""Left, top, right and bottom."""


@dataclass(frozen=True, eq=False)
class Place:
    """A part of a frame where edges recur."""

    frame: str
    anchor: tuple[float, float]
    box: Box
    """In pixels of the window, with a margin; it may reach beyond the window."""
    energy: float

    def on(self, width: int, height: int) -> Box:
        """The part of a picture of this size, in pixels of the frame."""
        if self.frame == NATIVE:
            return place_of(self.anchor, self.box, width, height, SIDES[NATIVE])
        return place_of(self.anchor, self.box, WIDTH, max(8, round(height * WIDTH / width)), SIDES[BY_WIDTH])


def places(statistics: Statistics) -> list[Place]:
    """The places of a collection where edges recur, the surest first."""
    found = []
    for frame in SIDES:
        for number, anchor in enumerate(ANCHORS):
            counts = statistics.counts[frame][number]
            energy = significance(statistics.sums[frame][number], counts)
            share = float(np.clip(FEW * counts.max(), FEWEST, 1))
            weight = NATIVE_FIRST if frame == NATIVE else 1.0
            found += [Place(frame, anchor, box, weight * value) for box, value in grouped(energy, share)]
    if not found:
        return []
    size = statistics.sizes.most_common(1)[0][0]
    kept: list[Place] = []
    shown: list[Zone] = []
    for place in sorted(found, key=lambda one: -one.energy):
        box, across = place.on(*size), size[0] if place.frame == NATIVE else WIDTH
        zone = tuple(side / across for side in (box.x, box.y, box.x + box.width, box.y + box.height))
        if all(common_share(zone, other) < SAME_PLACE for other in shown):
            kept.append(place)
            shown.append(zone)
    return kept[:MOST_PLACES]


def common_share(first: Zone, second: Zone) -> float:
    """The area that two zones have in common, as a share of the smaller one."""
    across, down = min(first[2], second[2]) - max(first[0], second[0]), min(first[3], second[3]) - max(first[1], second[1])
    smaller = min((zone[2] - zone[0]) * (zone[3] - zone[1]) for zone in (first, second))
    return max(0.0, across) * max(0.0, down) / max(smaller, 1e-9)


def grouped(energy: Plane, share: float) -> list[tuple[Box, float]]:
    """The groups of common edges, as boxes with a margin and their total significance.

    They reach a `share` of the usual bounds.
    """
    edges = (energy > max(share * LEAST_EDGE, 0.05 * float(energy.max()))).astype(np.uint8)
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(edges, connectivity=8)
    large = boxes[:, cv2.CC_STAT_AREA] >= 8
    large[0] = False
    kept = large[labels]
    joined = cv2.dilate(kept.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * GAP + 1, 2 * GAP + 1)))
    count, labels, _, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    found = []
    for label in range(1, count):
        own = kept & (labels == label)
        if own.sum() < LEAST_PIXELS or float(np.percentile(energy[own], 90)) < share * SURE_EDGE:
            continue
        rows, columns = np.flatnonzero(own.any(axis=1)), np.flatnonzero(own.any(axis=0))
        box = Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1))
        wide = Box(box.x - MARGIN, box.y - MARGIN, box.width + 2 * MARGIN, box.height + 2 * MARGIN)
        found.append((wide, float(energy[own].sum())))
    return found
