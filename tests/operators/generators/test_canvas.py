"""Crops fit onto buckets and come back, and max-pooling loses no stroke."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.generators.canvas import Canvas, buckets, largest

SIDES = st.integers(1, 300)
MODELS = st.sampled_from([(64, 8), (64, 16), (512, 8), (512, 64), (1024, 64)])


@given(MODELS)
def test_buckets_are_multiples_of_about_the_native_area_and_few(model):
    native, multiple = model
    sizes = buckets(native, multiple)
    assert sizes[0] == (native, native)
    assert len(sizes) <= 7
    for height, width in sizes:
        assert height % multiple == width % multiple == 0
        assert (width, height) in sizes
        assert abs(height * width - native**2) <= multiple * (height + width)


@given(SIDES, SIDES, MODELS)
def test_a_crop_keeps_its_proportions_and_lies_within_its_bucket(height, width, model):
    canvas = Canvas.of(height, width, *model)
    assert (canvas.height, canvas.width) in buckets(*model)
    assert canvas.top >= 0 and canvas.top + canvas.rows <= canvas.height
    assert canvas.left >= 0 and canvas.left + canvas.columns <= canvas.width
    assert canvas.rows == canvas.height or canvas.columns == canvas.width
    scale = min(canvas.height / height, canvas.width / width)
    assert abs(canvas.rows - height * scale) <= 1 and abs(canvas.columns - width * scale) <= 1


@pytest.mark.parametrize(("size", "bucket"), [((100, 100), (64, 64)), ((50, 160), (40, 112)), ((160, 50), (112, 40))])
def test_wide_crops_go_to_wide_buckets(size, bucket):
    canvas = Canvas.of(*size, 64, 8)
    assert (canvas.height, canvas.width) == bucket


def test_a_crop_of_a_buckets_size_goes_there_and_back_unchanged(photo):
    crop = np.ascontiguousarray(photo[:64, :64])
    canvas = Canvas.of(64, 64, 64, 8)
    assert np.array_equal(canvas.picture(crop), crop)
    assert np.array_equal(canvas.returned(crop), crop)


@given(SIDES, SIDES)
def test_the_returned_picture_has_the_crops_size_and_a_flat_colour_is_unchanged(height, width):
    flat = np.full((height, width, 3), (30, 120, 210), np.uint8)
    canvas = Canvas.of(height, width, 64, 8)
    laid = canvas.picture(flat)
    assert laid.shape == (canvas.height, canvas.width, 3)
    assert np.array_equal(canvas.returned(laid), flat)


def test_the_hole_is_reflected_with_the_picture():
    crop, hole = np.zeros((50, 64, 3), np.uint8), np.zeros((50, 64), np.uint8)
    crop[3], hole[3] = 255, 255
    canvas = Canvas.of(50, 64, 64, 64)
    picture, weights = canvas.picture(crop)[:, :, 0], canvas.weights(hole)
    assert (picture > 0).any(axis=1).sum() > 1
    assert not ((picture > 0) & (weights == 0)).any()


def test_enlarging_reaches_neither_below_black_nor_above_white():
    crop = np.zeros((8, 8, 3), np.uint8)
    crop[:, 4:] = 255
    laid = Canvas.of(8, 8, 64, 8).picture(crop)
    assert (laid[:, :16] < 40).all() and (laid[:, -16:] > 215).all()


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_max_pooling_keeps_the_largest_of_all_that_a_pixel_overlaps(height, width, rows, columns, seed):
    values = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    pooled = largest(values, rows, columns)
    assert pooled.shape == (rows, columns)
    for row in range(rows):
        for column in range(columns):
            down = [y for y in range(height) if y * rows < (row + 1) * height and (y + 1) * rows > row * height]
            across = [x for x in range(width) if x * columns < (column + 1) * width and (x + 1) * columns > column * width]
            assert pooled[row, column] == values[np.ix_(down, across)].max()
