"""Find the straight edges of a picture that cross a hidden part of it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from operators.metrics.continuity import luma
from operators.rows.arrays import Pixels, Selection

STEEPNESS = 8.0
"""Grey levels per pixel from which a change of luma counts as an edge."""
CANDIDATES = 32
"""How many lines are examined, those with the most votes."""
LEAST_SUPPORT = 16
"""Pixels of a line that must be visible, a quarter of them on each side of the hidden part."""
SUPPORTED = 0.7
"""Share of a line's visible pixels that must lie on an edge in the line's direction."""
ALIGNED = np.cos(np.deg2rad(22.5))
"""Least cosine between an edge's gradient and the line's normal."""
SAME_ANGLE, SAME_DISTANCE = np.deg2rad(10), 4.0
"""Radians and pixels below which two lines are the same."""
Array = npt.NDArray[np.float32]


class Line(NamedTuple):
    """A line by its distance from a point in pixels and the angle of its normal in radians."""

    distance: float
    angle: float


class Edges(NamedTuple):
    """The luma's gradient in grey levels per pixel, across and down, and where its edges are."""

    across: Array
    down: Array
    edges: Pixels
    """Above 0 on an edge."""


def straight_edges(rgb: Pixels, seen: Selection, hidden: Selection) -> tuple[int, float]:
    """How many straight edges enter `hidden` and come out again, and their mean steepness.

    The steepness is in grey levels per pixel, 0 without any edge. The Hough transform (Duda and
    Hart 1972) proposes lines over Canny edges in `seen`. A line counts if most of its visible
    pixels, on both sides of the hidden pixels that it meets, lie on an edge in its direction.
    """
    if min(rgb.shape[:2]) < 8 or not hidden.any():
        return 0, 0.0
    grey = cv2.GaussianBlur(luma(rgb), (0, 0), 1.0)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125)
    edges = cv2.Canny((across * 8).astype(np.int16), (down * 8).astype(np.int16), STEEPNESS * 4, STEEPNESS * 8, L2gradient=True)
    edges[~seen] = 0
    lines = cv2.HoughLines(edges, 1, np.pi / 180, LEAST_SUPPORT // 2)
    rows, columns = np.nonzero(hidden)
    crossing: list[tuple[Line, float]] = []
    for distance, angle in [] if lines is None else lines.reshape(-1, 2)[:CANDIDATES].astype(float):
        central = Line(distance - np.cos(angle) * columns.mean() - np.sin(angle) * rows.mean(), angle)
        if any(_is_same(central, earlier) for earlier, _ in crossing):
            continue
        steepness = _steepness(Line(distance, angle), Edges(across, down, edges), seen, hidden)
        if steepness is not None:
            crossing.append((central, steepness))
    return len(crossing), float(np.mean([steepness for _, steepness in crossing])) if crossing else 0.0


def _is_same(first: Line, second: Line) -> bool:
    """Whether two lines are the same; distances are from the middle of the hidden part.

    Between angles near 0 and near pi the distance changes its sign.
    """
    turn, distance = abs(first.angle - second.angle), second.distance
    if turn > np.pi / 2:
        turn, distance = np.pi - turn, -distance
    return bool(turn < SAME_ANGLE and abs(first.distance - distance) < SAME_DISTANCE)


def _steepness(line: Line, gradient: Edges, seen: Selection, hidden: Selection) -> float | None:
    """The mean steepness along a line whose visible pixels are an edge.

    The line's distance is from the origin. None if the line is not an edge or does not meet the
    hidden part.
    """
    height, width = seen.shape
    normal = np.array([np.cos(line.angle), np.sin(line.angle)])
    along = np.arange(-(height + width), height + width)
    points = normal * line.distance + along[:, None] * np.array([-normal[1], normal[0]])
    x, y = np.rint(points).astype(int).T
    inside = (x >= 1) & (x < width - 1) & (y >= 1) & (y < height - 1)
    x, y = x[inside], y[inside]
    under = np.flatnonzero(hidden[y, x]) if len(x) else np.zeros(0, int)
    if not len(under):
        return None
    visible = seen[y, x]
    if min(visible[: under[0]].sum(), visible[under[-1] :].sum()) < LEAST_SUPPORT // 4 or visible.sum() < LEAST_SUPPORT:
        return None
    across, down, edges = gradient
    slopes = np.zeros(len(x), np.float32)
    for step in (-1, 0, 1):
        beside = np.rint(np.stack([x, y], 1) + step * normal).astype(int)
        place = np.clip(beside[:, 1], 0, height - 1), np.clip(beside[:, 0], 0, width - 1)
        along_normal = np.abs(across[place] * normal[0] + down[place] * normal[1])
        aligned = along_normal > ALIGNED * np.hypot(across[place], down[place])
        slopes = np.maximum(slopes, np.where(aligned & (edges[place] > 0), along_normal, 0))
    on_edge = slopes[visible] > 0
    return float(slopes[visible][on_edge].mean()) if on_edge.mean() >= SUPPORTED else None
