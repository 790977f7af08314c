"""The first look says where text is, how high its letters are and how it is turned."""

from __future__ import annotations

import numpy as np
import pytest
from font_roboto import RobotoBold

from flows.evaluation.draw_text import Caption, draw, polygon_around
from operators.rows.arrays import Pixels
from operators.vision.first_look import AROUND, CELL, TILE, View, first_look, likelihood

GROUND = np.full((480, 640, 3), (190, 200, 180), np.uint8)


def written(size: int, angle: float = 0.0) -> tuple[Pixels, np.ndarray]:
    picture, coverage = draw(GROUND, Caption("SUMMER SALE", RobotoBold, size, colour=(30, 20, 30), angle=angle))
    return picture, coverage


@pytest.mark.parametrize(
    ("size", "factor"),
    [((300, 200), 2.0), ((640, 480), 512 / 480), ((1600, 1200), 1.0), ((6000, 4000), 0.36), ((800, 15000), 1.0)],
)
def test_a_picture_is_seen_at_a_size_that_depends_on_its_shorter_side(size: tuple[int, int], factor: float) -> None:
    assert View().factor(*size) == pytest.approx(factor)


@pytest.mark.parametrize("angle", [0.0, 30.0, -50.0])
def test_text_is_likely_on_its_line_and_nowhere_else(angle: float) -> None:
    picture, coverage = written(44, angle)
    cells = first_look().cells(picture, 640, 480, 1.0)
    polygon = polygon_around(coverage)
    assert likelihood(cells, polygon) > 0.5
    beside = [[x, y - 480 if y > 240 else y] for x, y in [[5.0, 5.0], [100.0, 5.0], [100.0, 60.0], [5.0, 60.0]]]
    assert likelihood(cells, beside) < 0.1
    (first, *_) = cells
    inside = first.text > 0.5
    assert 20 < np.median(first.height[inside]) < 50


def test_high_letters_are_seen_in_a_reduced_copy() -> None:
    picture, coverage = draw(np.full((900, 1400, 3), 200, np.uint8), Caption("BIG", RobotoBold, 420, colour=(30, 20, 30)))
    _, reduced, *_ = first_look().cells(picture, 1400, 900, 1.0)
    assert likelihood([reduced], polygon_around(coverage)) > 0.4


def test_cells_are_measured_in_pixels_of_the_picture_whatever_the_decoded_scale() -> None:
    picture, _ = written(60)
    whole, half = (first_look().cells(rgb, 640, 480, 0.5)[0] for rgb in (picture, picture[::2, ::2]))
    assert whole.side == half.side == 2 * CELL
    assert whole.text.shape == half.text.shape == (30, 40)


def test_what_is_seen_does_not_depend_on_the_tiles() -> None:
    picture = np.tile(written(44)[0], (1, 4, 1))
    assert 1280 < TILE < 1920 and picture.shape[1] > TILE + AROUND
    (tiled, *_) = first_look().cells(picture, 2560, 480, 1.0)
    (alone, *_) = first_look().cells(np.ascontiguousarray(picture[:, 1280:1920]), 640, 480, 1.0)
    seam = np.s_[:, TILE // CELL - 4 : TILE // CELL + 4]
    there = alone.text[:, (TILE - 1280) // CELL - 4 : (TILE - 1280) // CELL + 4]
    assert there.max() > 0.5
    assert np.abs(tiled.text[seam] - there).max() < 0.05


def test_the_same_pixels_give_the_same_cells() -> None:
    picture, _ = written(44)
    one, two = (first_look().cells(picture, 640, 480, 1.0)[0] for _ in range(2))
    assert one.text.tobytes() == two.text.tobytes()
