"""A polygon is extended to the end of its line, and no farther."""

from __future__ import annotations

import numpy as np
import pytest
from font_roboto import RobotoBold

from flows.evaluation.draw_text import Caption, draw
from operators.masks.geometry import bounding_box
from operators.vision.line_ends import whole_line

WIDTH, HEIGHT = 520, 120
INK = (188, 184, 172)


def written(ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A line of text over a ground that is given by column, and the pixels that it touched."""
    clean = np.repeat(np.rint(ground).astype(np.uint8)[None], HEIGHT, axis=0)
    return draw(clean, Caption("Keep off the grass", RobotoBold, 40, 0.4, 0.5, colour=INK))


def columns(colour: tuple[int, int, int]) -> np.ndarray:
    """A ground of one colour, WIDTH x 3."""
    return np.tile(np.array(colour, np.float64), (WIDTH, 1))


def cut_at(coverage: np.ndarray, share: float) -> tuple[list[list[float]], int]:
    """A box around the first part of a line, and the last column of the line."""
    across, down = np.flatnonzero((coverage > 0.1).any(axis=0)), np.flatnonzero((coverage > 0.1).any(axis=1))
    left, right = float(across[0] - 3), float(across[0] + share * (across[-1] - across[0]))
    top, bottom = float(down[0] - 4), float(down[-1] + 4)
    return [[left, top], [right, top], [right, bottom], [left, bottom]], int(across[-1])


def last_column(polygon: list[list[float]]) -> int:
    """The last column of a polygon."""
    box = bounding_box([polygon], WIDTH, HEIGHT)
    return box.x + box.width


@pytest.mark.parametrize("share", [0.4, 0.75])
def test_a_box_that_ends_in_the_line_is_extended_to_its_end(share: float) -> None:
    picture, coverage = written(columns((40, 52, 60)))
    polygon, end = cut_at(coverage, share)
    assert last_column(whole_line(picture, polygon, coverage > 0.3, [])) >= end - 2


def test_letters_go_on_where_the_ground_fades_into_their_colour() -> None:
    light, fading = np.array([228.0, 222, 210]), np.clip((np.arange(WIDTH) - 150) / 200, 0, 1)[:, None]
    ground = light * (1 - 0.72 * fading) + np.array(INK) * 0.72 * fading
    picture, coverage = written(ground)
    polygon, end = cut_at(coverage, 0.75)
    assert last_column(whole_line(picture, polygon, coverage > 0.3, [])) >= end - 2


def test_a_panel_of_the_letters_colour_beyond_the_line_is_no_letter() -> None:
    ground = columns((40, 52, 60))
    picture, coverage = written(ground)
    polygon, _ = cut_at(coverage, 1.0)
    picture = picture.copy()
    picture[:, round(polygon[1][0]) + 1 :] = INK
    assert whole_line(picture, polygon, coverage > 0.3, []) is polygon


def test_a_line_ends_where_another_text_begins() -> None:
    picture, coverage = written(columns((40, 52, 60)))
    polygon, end = cut_at(coverage, 0.5)
    right = polygon[1][0]
    other = [[right + 2, polygon[0][1]], [end + 3.0, polygon[0][1]], [end + 3.0, polygon[2][1]], [right + 2, polygon[2][1]]]
    assert whole_line(picture, polygon, coverage > 0.3, [other]) is polygon
