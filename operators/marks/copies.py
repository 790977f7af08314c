"""The other copies of a mark that was found once: alone, on a grid, or cut by the border."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from operators.marks.alignment import best_shift
from operators.marks.grid import grid_of
from operators.marks.removal import MOST_ROUGHENED, Found, evidence, roughened, taken_off, visible, whole_poses
from operators.marks.rendering import Pose
from operators.marks.view import View, correlation, deep, resized, template
from operators.rows.overlay import Plane

COARSE = 65.0
"""Root of a mark's area in pixels where its copies are looked for."""
LEAST_FIRST = 3.6
"""Standard deviations of all places' scores from which a copy is looked at."""
LEAST_SCORE = 0.15
"""Correlation of directions at full size that a copy must have."""
LEAST_TILES = 4
"""Copies of a mark from which they tell a grid."""
MOST_PLACES = 400
"""Copies of a tiled mark in one picture, at most."""


def copies(view: View, first: Found) -> list[Found]:
    """The other places of a mark with the size and the turn of the first one."""
    plane, mark, pose = view.planes, first.mark, first.pose
    factor = min(1.0, COARSE / (math.sqrt(mark.alpha.size) * pose.scale))
    edges, box = template(view, pose.scale * factor, pose.turn, blurred=True)
    seen = view.axes.seen(deep(cv2.GaussianBlur(resized(plane, factor), (3, 3), 0)))
    across, down = box.width // 2, box.height // 2
    padded = cv2.copyMakeBorder(seen, down, down, across, across, cv2.BORDER_CONSTANT, value=0)
    scores = correlation(padded, edges)
    deviation, reach = _deviation(scores), max(2, round(0.3 * min(box.width, box.height)))
    least = max(LEAST_FIRST * deviation, 0.4 * first.score)
    found: list[Found] = []
    misses = 0
    while misses < 4 and len(found) < MOST_PLACES:
        _, value, _, (x, y) = cv2.minMaxLoc(scores)
        if value < least:
            break
        scores[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = -1
        place = Pose(x - across - box.x, y - down - box.y, pose.scale * factor).scaled(1 / factor)
        tried = replace(pose, x=place.x, y=place.y)
        if math.hypot(tried.x - pose.x, tried.y - pose.y) < reach / factor:
            continue
        moved, score = best_shift(plane, view, tried, max(2, math.ceil(1.5 / factor)))
        off = taken_off(view, moved, score) if score >= LEAST_SCORE else None
        off = off if off is None or off.evidence > 0 else None
        misses = 0 if off is not None else misses + 1
        found += [] if off is None else [off]
    return found


def cut_copies(view: View, places: Sequence[Found]) -> list[Found]:
    """The copies of a tiled mark that are missing from its grid, such as those cut by the border.

    Too little of them shows to be sure of them, but their places are known from the others.
    """
    grid = grid_of([(one.pose.x, one.pose.y) for one in places]) if len(places) >= LEAST_TILES else None
    if grid is None:
        return []
    strength = float(np.median([one.strength for one in places]))
    reach = math.ceil(math.hypot(view.frame.width, view.frame.height) / min(np.linalg.norm(grid[:2], axis=1))) + 2
    steps = np.array(list(itertools.product(range(-reach, reach + 1), repeat=2)))
    found = []
    for x, y in steps @ grid[:2] + grid[2]:
        pose = replace(places[0].pose, x=float(x), y=float(y))
        near = any(math.hypot(one.pose.x - x, one.pose.y - y) < 3 for one in places)
        if near or visible(view, pose) is None:
            continue
        pose = next(iter(whole_poses(places[0].mark, pose)), pose) if _is_whole(places) else pose
        if roughened(view, pose, strength) <= MOST_ROUGHENED:
            found.append(Found(places[0].mark, pose, strength, places[-1].score, evidence(view, pose, strength)))
    return found


def _is_whole(places: Sequence[Found]) -> bool:
    """Whether copies of a mark have its own size and no turn."""
    return all(one.pose.scale == 1 and one.pose.turn == 0 for one in places)


def separate(places: Sequence[Found]) -> list[Found]:
    """The places without those that overlap a surer one by more than half."""
    kept: list[Found] = []
    for one in sorted(places, key=lambda place: -place.score):
        height, width = (side * one.pose.scale for side in one.mark.alpha.shape)
        near = (abs(one.pose.x - other.pose.x) < width / 2 and abs(one.pose.y - other.pose.y) < height / 2 for other in kept)
        if not any(near):
            kept.append(one)
    return kept


def _deviation(scores: Plane) -> float:
    """The standard deviation of the scores of places without the mark.

    A large mark raises the scores of much of the picture, so the middle ones say it.
    """
    return max(1.4826 * float(np.median(np.abs(scores - np.median(scores)))), 1e-3)
