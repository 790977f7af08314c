"""Texts are found at the size that they have, and each of them once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from operators.masks.geometry import bounding_box, rasterised
from operators.rows.box import Box
from operators.vision.find_texts import MOST_BESIDE, MOST_GROWTH, covers, find_texts, own_cells
from operators.vision.text_detector import Scale


def draw_column(width: int, height: int, places: list[int], size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """A grey strip with a line of text at each of the heights, and which of its pixels are text."""
    image = Image.new("RGB", (width, height), (200, 205, 210))
    for number, y in enumerate(places):
        ImageDraw.Draw(image).text((60, y), f"LINE {number:02}", fill=(20, 20, 20), font=ImageFont.load_default(size))
    picture = np.asarray(image)
    return picture, picture.max(axis=2) < 100


PLACES = list(range(100, 5900, 145))
"""Lines so close together that every seam between tiles has some beside it or upon it."""


@pytest.fixture(scope="module", params=["upright", "lying"])
def strip(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, list]:
    """A strip of 400 x 6000 pixels, or the same lying, its text's pixels, and the texts found."""
    picture, text = draw_column(400, 6000, PLACES)
    if request.param == "lying":
        columns = [draw_column(400, 400, [180]) for _ in range(15)]
        picture, text = (np.concatenate(parts, axis=1) for parts in zip(*columns, strict=True))
    height, width = text.shape
    return picture, text, find_texts(np.ascontiguousarray(picture), width, height, Scale().factor(width, height), 0.5)


def test_every_text_of_a_long_strip_is_found_in_the_pixels_of_the_strip(strip: tuple) -> None:
    _, text, found = strip
    box = Box(0, 0, text.shape[1], text.shape[0])
    covered = rasterised([one.polygon for one in found], box) > 0
    assert covered[text].mean() > 0.99
    assert covered.mean() < 0.2


def test_no_text_is_found_twice_where_tiles_overlap(strip: tuple) -> None:
    _, text, found = strip
    assert len(found) == (len(PLACES) if text.shape[1] == 400 else 15)
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            assert not covers(one.polygon, other.polygon, 0.1)


def test_every_text_has_its_own_cells_and_their_box_around_its_polygon(strip: tuple) -> None:
    _, text, found = strip
    for one in found:
        corners = np.clip(np.asarray(one.polygon), 0, [text.shape[1] - 1, text.shape[0] - 1])
        assert (corners.min(axis=0) >= [one.box.x, one.box.y]).all()
        assert (corners.max(axis=0) <= [one.box.x + one.box.width - 1, one.box.y + one.box.height - 1]).all()
        assert one.cells.max() > 127


def test_a_strip_decoded_at_half_its_size_is_found_in_its_own_pixels() -> None:
    picture, text = draw_column(800, 8000, [500, 3900, 7400], size=80)
    half = np.asarray(Image.fromarray(picture).reduce(2))
    found = find_texts(half, 800, 8000, Scale().factor(800, 8000), 0.5)
    assert (rasterised([one.polygon for one in found], Box(0, 0, 800, 8000)) > 0)[text].mean() > 0.97
    assert len(found) == 3


@pytest.mark.parametrize(("share", "is_covered"), [(0.2, True), (0.3, False)])
def test_a_polygon_covers_another_by_the_share_of_the_others_area(share: float, is_covered: bool) -> None:
    square = [[0, 0], [99, 0], [99, 99], [0, 99]]
    quarter_beyond = [[75, 0], [174, 0], [174, 99], [75, 99]]
    assert covers(square, quarter_beyond, share) is is_covered
    assert covers(square, [[10, 10], [19, 10], [19, 19], [10, 19]], 0.99)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_stored_map_is_whole_cells_of_the_detectors_map_over_the_polygons_box(data):
    width, height = data.draw(st.integers(8, 400)), data.draw(st.integers(8, 400))
    factor = data.draw(st.floats(0.2, 3))
    shape = max(1, round(height * factor)), max(1, round(width * factor))
    probability = np.random.default_rng(0).random(shape, np.float32)
    corners = st.tuples(st.integers(0, width - 1), st.integers(0, height - 1))
    polygon = data.draw(st.lists(corners, min_size=4, max_size=4))
    cells, box = own_cells(probability, polygon, width, height)
    row, column = round(box.y * shape[0] / height), round(box.x * shape[1] / width)
    row, column = min(row, shape[0] - 1), min(column, shape[1] - 1)
    own = probability[row : row + cells.shape[0], column : column + cells.shape[1]]
    assert np.array_equal(cells, np.rint(own * 255))
    assert cells.size
    tight = bounding_box([polygon], width, height)
    assert tight.union(box) == box
    assert box.x >= max(0, tight.x - MOST_GROWTH)
    assert box.x + box.width <= min(width, tight.x + tight.width + MOST_GROWTH)
    assert box.y + box.height <= height


@pytest.mark.parametrize(("pixels", "cells"), [(512, 736), (600, 1104), (451, 1106), (64, 64)])
def test_a_stored_maps_box_lies_within_a_sixteenth_of_its_cells(pixels, cells):
    probability = np.zeros((cells, cells), np.float32)
    for start in range(0, pixels - 20, 7):
        _, box = own_cells(probability, [[start, start], [start + 15, start + 15]], pixels, pixels)
        for edge in (box.x, box.x + box.width):
            assert abs(edge * cells / pixels - round(edge * cells / pixels)) <= MOST_BESIDE
