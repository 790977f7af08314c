"""A line is looked at again beyond its ends as far as the first look sees text there."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from operators.masks.geometry import bounding_box
from operators.vision.areas import Area, turned
from operators.vision.close_look import FoundText
from operators.vision.find_texts import ends_of_one_text
from operators.vision.first_look import Cells
from operators.vision.missed_ends import INSIDE, LETTERS, MARGIN, missed_ends

WIDTH, HEIGHT = 800, 400


def text(corners: list[list[float]]) -> FoundText:
    box = bounding_box([corners], WIDTH, HEIGHT)
    return FoundText(corners, 0.8, np.ones((box.height, box.width), np.float32), box)


def rectangle(left: float, right: float, top: float = 100, bottom: float = 140) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


LINE = text(rectangle(200, 400))


def likely_in(corners: list[list[float]], probability: float = 0.9) -> list[Cells]:
    """What a first look says that sees text in one place."""
    plane = np.zeros((HEIGHT // 8, WIDTH // 8), np.float32)
    cv2.fillPoly(plane, [np.rint(np.asarray(corners) / 8 - 0.5).astype(np.int32)], probability)
    return [Cells(8.0, plane, plane, plane, plane)]


def sides(area: Area) -> tuple[float, float]:
    """Where an upright area starts and ends, without its margin."""
    return area.left + area.margin, area.right - area.margin


def test_an_end_is_looked_at_as_far_as_the_first_look_sees_text() -> None:
    (right,) = missed_ends([LINE], likely_in(rectangle(200, 520, 80, 160)), WIDTH, HEIGHT)
    assert sides(right) == pytest.approx((400 - INSIDE * 40, 520), abs=20)
    (left,) = missed_ends([LINE], likely_in(rectangle(60, 400, 80, 160)), WIDTH, HEIGHT)
    assert sides(left) == pytest.approx((60, 200 + INSIDE * 40), abs=20)
    assert (right.top, right.bottom, right.margin) == pytest.approx((100 - MARGIN * 40, 140 + MARGIN * 40, MARGIN * 40))
    assert right.height == pytest.approx(LETTERS * 40)


def test_where_the_first_look_is_not_sure_nothing_is_looked_at() -> None:
    assert list(missed_ends([LINE], likely_in(rectangle(0, 800, 80, 160), 0.45), WIDTH, HEIGHT)) == []
    assert len(list(missed_ends([LINE], likely_in(rectangle(0, 800, 80, 160), 0.55), WIDTH, HEIGHT))) == 2


def test_a_line_ends_at_the_next_text_and_at_the_border() -> None:
    other = text(rectangle(500, 700))
    areas = list(missed_ends([LINE, other], likely_in(rectangle(0, 800, 80, 160)), WIDTH, HEIGHT))
    assert [sides(area) for area in areas] == [
        pytest.approx((0, 260), abs=20),
        pytest.approx((340, 500), abs=20),
        pytest.approx((400, 560), abs=20),
        pytest.approx((640, 800), abs=20),
    ]


def test_a_short_text_does_not_tell_how_its_line_runs() -> None:
    short = text(rectangle(200, 255))
    assert list(missed_ends([short], likely_in(rectangle(0, 800, 80, 160)), WIDTH, HEIGHT)) == []


def test_the_area_of_a_turned_line_is_turned_as_it_is() -> None:
    slope = math.radians(25)
    along, across = np.array([math.cos(slope), math.sin(slope)]), np.array([-math.sin(slope), math.cos(slope)])
    start = np.array([150.0, 60.0])
    line = text([list(start + along * x + across * y) for x, y in ((0, 0), (200, 0), (200, 40), (0, 40))])
    beyond = [list(start + along * x + across * y) for x, y in ((0, -20), (300, -20), (300, 60), (0, 60))]
    (area,) = missed_ends([line], likely_in(beyond), WIDTH, HEIGHT)
    middle = np.array([(area.left + area.right) / 2, (area.top + area.bottom) / 2]) @ turned(area.angle)
    assert middle == pytest.approx(start + along * (200 - INSIDE * 40 + 300) / 2 + across * 20, abs=12)
    assert math.degrees(area.angle) == pytest.approx(-25, abs=0.5)


def test_a_piece_beyond_one_text_is_its_end() -> None:
    end = text(rectangle(380, 560))
    assert ends_of_one_text([end], [LINE, text(rectangle(200, 400, 200, 240))], likely_in(rectangle(0, 800), 0.0)) == [end]


def test_a_piece_between_two_texts_is_an_end_of_neither() -> None:
    between = text(rectangle(380, 560))
    assert ends_of_one_text([between], [LINE, text(rectangle(540, 700))], likely_in(rectangle(0, 800), 0.0)) == []


def test_a_piece_that_a_text_covers_is_no_end() -> None:
    assert ends_of_one_text([text(rectangle(300, 398))], [LINE], likely_in(rectangle(0, 800), 0.0)) == []
