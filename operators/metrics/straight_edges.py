"""Which straight edges of a picture go through a part of it that is hidden?"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.metrics.continuity import luma
from operators.rows.arrays import Pixels, Selection

STEEPNESS = 8.0
"""Grey levels per pixel from which a change of luma counts as an edge."""
CANDIDATES = 32
"""Lines with the most votes that are looked at."""
LEAST_SUPPORT = 16
"""Pixels of a line that must be seen, a quarter of them on either side of what is hidden."""
SUPPORTED = 0.7
"""Share of a line's seen pixels that must lie on an edge of the line's own direction."""
ALIGNED = np.cos(np.deg2rad(22.5))
"""Least cosine between an edge's gradient and the line's normal."""
SAME_ANGLE, SAME_DISTANCE = np.deg2rad(10), 4.0
Array = npt.NDArray[np.float32]


def straight_edges(rgb: Pixels, seen: Selection, hidden: Selection) -> tuple[int, float]:
    """How many straight edges enter `hidden` and come out again, and how steep they are (grey
    levels per pixel, 0 without any).

    Lines are proposed by the Hough transform (Duda and Hart 1972) over Canny edges in `seen`; a
    line counts if most of what is seen of it, on both sides of the hidden pixels it meets, lies
    on an edge of its direction.
    """
    if min(rgb.shape[:2]) < 8 or not hidden.any():
        return 0, 0.0
    grey = cv2.GaussianBlur(luma(rgb), (0, 0), 1.0)
    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(grey, cv2.CV_32F, 0, 1, scale=0.125)
    edges = cv2.Canny((across * 8).astype(np.int16), (down * 8).astype(np.int16), STEEPNESS * 4, STEEPNESS * 8, L2gradient=True)
    edges[~seen] = 0
    lines = cv2.HoughLines(edges, 1, np.pi / 180, LEAST_SUPPORT // 2)
    rows, columns = np.nonzero(hidden)
    found: list[tuple[tuple[float, float], float]] = []
    for distance, angle in [] if lines is None else lines.reshape(-1, 2)[:CANDIDATES].astype(float):
        central = (distance - np.cos(angle) * columns.mean() - np.sin(angle) * rows.mean(), angle)
        if any(_alike(central, other) for other, _ in found):
            continue
        slope = _support(distance, angle, (across, down, edges), seen, hidden)
        if slope is not None:
            found.append((central, slope))
    return len(found), float(np.mean([slope for _, slope in found])) if found else 0.0


def _alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two lines (distance from the middle of what is hidden, angle of the normal) are
    one.

    Near 0 and pi the distance changes its sign.
    """
    (first, first_angle), (second, second_angle) = one, other
    apart = abs(first_angle - second_angle)
    if apart > np.pi / 2:
        apart, second = np.pi - apart, -second
    return bool(apart < SAME_ANGLE and abs(first - second) < SAME_DISTANCE)


def _support(
    distance: float, angle: float, gradient: tuple[Array, Array, Pixels], seen: Selection, hidden: Selection
) -> float | None:
    """The mean steepness along a line that is an edge where it can be seen; None if it is none,
    or misses what is hidden.
    """
    height, width = seen.shape
    normal = np.array([np.cos(angle), np.sin(angle)])
    along = np.arange(-(height + width), height + width)
    points = normal * distance + along[:, None] * np.array([-normal[1], normal[0]])
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
        at = np.rint(np.stack([x, y], 1) + step * normal).astype(int)
        at_x, at_y = np.clip(at[:, 0], 0, width - 1), np.clip(at[:, 1], 0, height - 1)
        aligned = np.abs(across[at_y, at_x] * normal[0] + down[at_y, at_x] * normal[1])
        direct = aligned > ALIGNED * np.hypot(across[at_y, at_x], down[at_y, at_x])
        slopes = np.maximum(slopes, np.where(direct & (edges[at_y, at_x] > 0), aligned, 0))
    on_edge = slopes[visible] > 0
    return float(slopes[visible][on_edge].mean()) if on_edge.mean() >= SUPPORTED else None
