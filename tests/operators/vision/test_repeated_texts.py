"""A text that is repeated in a grid is looked for where it stands again."""

from __future__ import annotations

import math
import time

import cv2
import numpy as np
import pytest

from operators.masks.geometry import bounding_box
from operators.vision.areas import Area, turned
from operators.vision.close_look import FoundText
from operators.vision.first_look import Cells
from operators.vision.repeated_texts import LEAST_LIKELY, LETTERS, MARGIN, repeated_texts

WIDTH, HEIGHT = 900, 690
GRID = [(x, y) for y in (100, 300, 500) for x in (150, 450, 750)]


def text_at(x: float, y: float, length: float = 160, high: float = 30, degrees: float = 0.0) -> FoundText:
    corners = cv2.boxPoints(((x, y), (length, high), -degrees)).tolist()
    box = bounding_box([corners], WIDTH, HEIGHT)
    return FoundText(corners, 0.8, np.ones((1, 1), np.float32), box)


def cells(probability: float) -> list[Cells]:
    """What a first look says that is equally sure of text everywhere."""
    plane = np.full((HEIGHT // 8, WIDTH // 8), probability, np.float32)
    return [Cells(8.0, plane, plane, plane, plane)]


def middles(texts: list[FoundText], probability: float = 0.2) -> list[tuple[int, int]]:
    """The middles of the areas that are looked at."""
    found = repeated_texts(texts, cells(probability), WIDTH, HEIGHT)
    return sorted((round(x), round(y)) for x, y in (middle(area) for area in found))


def middle(area: Area) -> tuple[float, float]:
    x, y = turned(area.angle).T @ [(area.left + area.right) / 2, (area.top + area.bottom) / 2]
    return float(x), float(y)


def test_copies_are_looked_for_where_the_grid_has_gaps() -> None:
    gaps = [(450, 300), (750, 500)]
    assert middles([text_at(*place) for place in GRID if place not in gaps]) == gaps


def test_a_place_many_steps_away_is_reached() -> None:
    row = [(150, 100), (450, 100), (150, 300)]
    assert middles([text_at(*place) for place in [*row, (450, 300)]]) == sorted(set(GRID) - {*row, (450, 300)})


def test_the_area_is_that_of_a_copy_turned_as_it_is() -> None:
    texts = [text_at(*place, degrees=30) for place in GRID if place != (450, 300)]
    (area,) = repeated_texts(texts, cells(0.2), WIDTH, HEIGHT)
    assert middle(area) == pytest.approx((450, 300), abs=1)
    assert area.angle == pytest.approx(math.radians(30), abs=0.01)
    assert (area.right - area.left, area.bottom - area.top) == pytest.approx((160 + 60 * MARGIN, 30 + 60 * MARGIN), abs=1)
    assert area.height == pytest.approx(LETTERS * 30)


def test_where_the_first_look_sees_nothing_at_all_nothing_is_looked_at() -> None:
    texts = [text_at(*place) for place in GRID if place != (450, 300)]
    assert middles(texts, LEAST_LIKELY * 0.9) == []
    assert middles(texts, LEAST_LIKELY * 1.1) == [(450, 300)]


def test_places_out_of_the_picture_and_those_that_another_text_holds_are_left_out() -> None:
    texts = [text_at(*place) for place in GRID if place != (450, 300)]
    assert middles([*texts, text_at(450, 310, 60, 20)]) == []
    assert middles([text_at(*place) for place in GRID]) == []


def test_texts_of_other_lengths_heights_or_angles_are_no_copies() -> None:
    places = [place for place in GRID if place != (450, 300)]
    for others in ({"length": 110}, {"high": 42}, {"degrees": 8}):
        assert middles([text_at(*place, **(others if number % 4 else {})) for number, place in enumerate(places[:4])]) == []
    assert middles([text_at(*place) for place in places[:4]]) != []


def test_two_texts_and_texts_at_random_distances_are_no_grid() -> None:
    assert middles([text_at(150, 100), text_at(450, 100)]) == []
    assert middles([text_at(150, 100), text_at(450, 130), text_at(330, 420), text_at(700, 610)]) == []


def test_a_page_of_hundreds_of_numbers_alike_costs_little() -> None:
    numbers = [text_at(60 + 70 * (number % 12), 20 + 22 * (number // 12), 44, 14) for number in range(360)]
    start = time.process_time()
    assert middles(numbers) == []
    assert time.process_time() - start < 10
