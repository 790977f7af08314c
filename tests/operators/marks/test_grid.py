"""Points tell the grid on which they lie."""

from __future__ import annotations

import numpy as np

from operators.marks.grid import GRID_ERROR, grid_of

FIRST, SECOND, ORIGIN = np.array([50.0, 4.0]), np.array([-6.0, 40.0]), np.array([12.0, 9.0])
PLACES = [(0, 0), (1, 0), (2, 0), (0, 1), (2, 1), (1, 2)]


def lattice() -> list[tuple[float, float]]:
    points = [ORIGIN + across * FIRST + down * SECOND for across, down in PLACES]
    return [(float(x), float(y)) for x, y in points]


def test_the_steps_and_the_origin_are_those_of_the_points() -> None:
    grid = grid_of(lattice())
    assert grid is not None
    steps = {tuple(np.rint(np.abs(step)).astype(int)) for step in grid[:2]}
    assert steps == {(50, 4), (6, 40)}
    assert np.allclose(grid[2], ORIGIN, atol=0.01)


def test_a_point_beside_the_grid_shows_that_there_is_none() -> None:
    x, y = ORIGIN + FIRST + SECOND
    assert grid_of([*lattice(), (float(x) + 6 * GRID_ERROR, float(y))]) is None


def test_points_on_one_line_or_at_one_place_tell_no_grid() -> None:
    assert grid_of([(10.0 * number, 5.0) for number in range(5)]) is None
    assert grid_of([(10.0, 5.0)] * 4) is None
