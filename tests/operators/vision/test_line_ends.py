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


def with_mark(mark: tuple[slice, slice]) -> tuple[np.ndarray, list[list[float]], np.ndarray]:
    """A whole line on a calm ground with a rectangle of its ink, the polygon, and the strokes."""
    picture, coverage = written(columns((40, 52, 60)))
    polygon, _ = cut_at(coverage, 1.0)
    picture[mark] = INK
    return picture, polygon, coverage > 0.3


@pytest.mark.parametrize("width", [5, 16], ids=["dot", "dash"])
def test_a_mark_that_stands_alone_beyond_the_letters_is_part_of_the_line(width: int) -> None:
    picture, polygon, strokes = with_mark(np.s_[60:65, 405 : 405 + width])
    assert last_column(polygon) < 405
    assert last_column(whole_line(picture, polygon, strokes, [])) >= 405 + width


@pytest.mark.parametrize("rule", [np.s_[:, 405:408], np.s_[60:63, 400:]], ids=["upright", "level"])
def test_a_rule_that_goes_on_beyond_the_line_is_no_mark_of_it(rule: tuple[slice, slice]) -> None:
    picture, polygon, strokes = with_mark(rule)
    assert whole_line(picture, polygon, strokes, []) == polygon


def test_specks_of_a_ground_that_is_busy_between_the_letters_as_well_are_no_marks() -> None:
    picture, polygon, strokes = with_mark(np.s_[60:65, 405:410])
    grain = (
        np.random.default_rng(2).normal(0, 15, (*picture.shape[:2], 1)) * ~(strokes | (picture == INK).all(axis=2))[:, :, None]
    )
    busy = np.clip(picture + grain, 0, 255).astype(np.uint8)
    assert whole_line(busy, polygon, strokes, []) == polygon


def test_specks_of_a_busy_ground_beyond_a_panel_are_no_marks() -> None:
    picture, polygon, strokes = with_mark(np.s_[60:65, 405:410])
    right = max(x for x, _ in polygon)
    grain = np.random.default_rng(1).normal(0, 12, (HEIGHT, WIDTH - int(right) - 8, 3))
    picture[:, int(right) + 8 :] = np.clip(picture[:, int(right) + 8 :] + grain, 0, 255).astype(np.uint8)
    assert whole_line(picture, polygon, strokes, []) == polygon
