"""Polygons on the pixel grid."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.masks.geometry import bounding_box, covers, rasterised, straightened, stroke_height, upright_turn
from operators.rows.box import Box

check = settings(deadline=None, max_examples=40)
FRAME = Box(0, 0, 120, 90)


@st.composite
def boxes(draw, frame=FRAME):
    x, y = draw(st.integers(0, frame.width - 1)), draw(st.integers(0, frame.height - 1))
    return Box(x, y, draw(st.integers(1, frame.width - x)), draw(st.integers(1, frame.height - y)))


@check
@given(st.lists(st.tuples(st.floats(-300, 300), st.floats(-300, 300)), min_size=3, max_size=6))
def test_a_bounding_box_lies_in_the_picture_and_holds_the_polygon(polygon):
    box = bounding_box([polygon], FRAME.width, FRAME.height)
    assert box.width >= 1
    assert box.height >= 1
    assert box.union(FRAME) == FRAME
    for x, y in polygon:
        inside_x, inside_y = min(max(x, 0), FRAME.width - 1), min(max(y, 0), FRAME.height - 1)
        assert box.x <= inside_x <= box.x + box.width - 1
        assert box.y <= inside_y <= box.y + box.height - 1


def test_a_bounding_box_holds_every_polygon():
    assert bounding_box([[[2, 3], [5, 3], [5, 4]], [[10, 8], [12, 8], [12, 9.5]]], 120, 90) == Box(2, 3, 11, 8)


def test_polygon_edges_are_included():
    mask = rasterised([[[12, 23], [16, 23], [16, 25], [12, 25]]], Box(10, 20, 10, 10))
    expected = np.zeros((10, 10), np.uint8)
    expected[3:6, 2:7] = 255
    assert np.array_equal(mask, expected)


def test_a_raster_is_cut_to_its_box():
    assert (rasterised([[[-50, -50], [500, -50], [500, 500], [-50, 500]]], Box(10, 20, 7, 5)) == 255).all()
    assert not rasterised([[[0, 0], [5, 0], [5, 5]]], Box(10, 20, 7, 5)).any()


@check
@given(boxes(), boxes())
def test_a_crop_of_the_raster_is_the_raster_of_the_crop(part, crop):
    right, bottom = part.x + part.width - 1, part.y + part.height - 1
    polygon = [[part.x, part.y], [right, part.y], [right, bottom], [part.x, bottom]]
    whole = rasterised([polygon], FRAME)
    assert np.array_equal(rasterised([polygon], crop), whole[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width])


@check
@given(st.floats(0, math.pi), st.floats(5, 60), st.floats(1, 3))
def test_the_stroke_height_is_the_short_side_however_the_line_is_turned(angle, height, ratio):
    width = height * ratio
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]])
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    assert stroke_height((corners @ turn + 200).tolist()) == pytest.approx(height, abs=0.05)


@pytest.mark.parametrize(("share", "is_covered"), [(0.2, True), (0.3, False)])
def test_a_polygon_covers_another_by_the_share_of_the_others_area(share: float, is_covered: bool) -> None:
    square = [[0, 0], [99, 0], [99, 99], [0, 99]]
    quarter_beyond = [[75, 0], [174, 0], [174, 99], [75, 99]]
    assert covers(square, quarter_beyond, share) is is_covered
    assert covers(square, [[10, 10], [19, 10], [19, 19], [10, 19]], 0.99)


NOISE = np.random.default_rng(0).integers(0, 256, (300, 420, 3), np.uint8)
RECTANGLE = [[100.0, 120.0], [300.0, 120.0], [300.0, 180.0], [100.0, 180.0]]


def test_an_upright_rectangle_is_cut_out_as_it_is():
    cut = straightened(cv2.blur(NOISE, (9, 9)), RECTANGLE)
    assert cut.shape[:2] == (60, 200)
    assert np.abs(cut.astype(int) - cv2.blur(NOISE, (9, 9))[120:180, 100:300]).mean() < 3


def test_a_margin_is_cut_out_around_the_line():
    wide = straightened(NOISE, RECTANGLE, margin=10)
    assert wide.shape[:2] == (80, 220)
    assert np.array_equal(wide[10:-10, 10:-10], straightened(NOISE, RECTANGLE))


def test_a_degenerate_polygon_still_gives_a_picture():
    assert straightened(NOISE, [[10.0, 10.0]] * 4).shape == (1, 1, 3)


@pytest.mark.parametrize("angle", [-80, -46, -10, 0, 30, 45, 60])
def test_the_long_side_of_a_turned_rectangle_becomes_horizontal(angle):
    along = np.array([math.cos(math.radians(angle)), -math.sin(math.radians(angle))])
    across = np.array([-along[1], along[0]])
    corners = [[200, 150] + x * along + y * across for x, y in ((-90, -15), (90, -15), (90, 15), (-90, 15))]
    turn, (width, height) = upright_turn(corners)
    assert (width, height) == pytest.approx((180, 30), abs=0.1)
    upright = np.asarray(corners) @ turn[:, :2].T + turn[:, 2]
    assert np.ptp(upright, axis=0) == pytest.approx((180, 30), abs=0.1)
    assert upright.min(axis=0) == pytest.approx((0, 0), abs=0.1)
