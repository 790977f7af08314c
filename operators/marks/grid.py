"""The grid on which the copies of a tiled mark lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from operators.rows.overlay import Plane

GRID_ERROR = 1.5
"""Pixels by which a copy may lie beside the grid."""


def grid_of(points: Sequence[tuple[float, float]]) -> Plane | None:
    """The two steps and the origin of a grid on which points lie, 3 x 2; None if there is none."""
    middles = np.array(points, np.float64)
    steps = (middles[None] - middles[:, None]).reshape(-1, 2)
    steps = steps[(steps[:, 1] > GRID_ERROR) | ((np.abs(steps[:, 1]) <= GRID_ERROR) & (steps[:, 0] > GRID_ERROR))]
    if not len(steps):
        return None
    steps = steps[np.argsort(np.linalg.norm(steps, axis=1))]
    first = steps[0]
    across = np.abs(steps @ np.array([-first[1], first[0]])) > 0.3 * np.linalg.norm(first) * np.linalg.norm(steps, axis=1)
    if not across.any():
        return None
    basis = np.array([first, steps[across][0]])
    places = np.rint((middles - middles[0]) @ np.linalg.inv(basis))
    grid, *_ = np.linalg.lstsq(np.column_stack([places, np.ones(len(places))]), middles, rcond=None)
    error = np.abs(np.column_stack([places, np.ones(len(places))]) @ grid - middles).max()
    return grid.astype(np.float32) if error <= GRID_ERROR else None
