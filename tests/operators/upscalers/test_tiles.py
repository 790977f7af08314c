"""Tiles give the untiled picture, and nothing outside the boxes changes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.rows.box import Box
from operators.upscalers.catalogue import find_upscaler
from operators.upscalers.tiles import grid, margins, pixels_seen, seen, upscale_boxes, upscale_whole

NETWORK = find_upscaler("animevideov3", 2)
RECEPTIVE_FIELD = 18


@pytest.fixture(scope="module")
def picture(photo):
    return photo[20:100, 180:270].astype(np.float32) / 255


@pytest.fixture(scope="module")
def untiled(picture):
    return upscale_whole(NETWORK, picture, side=128)


def test_tiles_that_see_the_whole_receptive_field_are_the_untiled_picture(picture, untiled):
    exact = replace(NETWORK, overlap=RECEPTIVE_FIELD + NETWORK.feather)
    assert np.abs(upscale_whole(exact, picture, side=32) - untiled).max() * 255 < 0.01


def test_tiles_with_the_usual_overlap_differ_by_less_than_a_grey_level(picture, untiled):
    difference = np.abs(upscale_whole(NETWORK, picture, side=32) - untiled) * 255
    assert np.sqrt(np.mean(difference**2)) < 0.2
    assert difference.max() < 4


def test_outside_the_boxes_and_their_feather_nothing_is_painted(picture):
    mixed, weight = upscale_boxes(NETWORK, picture, [Box(30, 20, 16, 24)])
    inside = weight[40:88, 60:92]
    assert inside.min() == 1
    assert weight.sum() > inside.sum()
    around = np.ones_like(weight, bool)
    around[2 * (20 - NETWORK.feather) : 2 * (44 + NETWORK.feather), 2 * (30 - NETWORK.feather) : 2 * (46 + NETWORK.feather)] = (
        False
    )
    assert weight[around].max() == 0
    assert mixed[around[:, :, 0]].max() == 0


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40))
def test_a_grid_covers_every_pixel_once(width, height, side):
    count = np.zeros((height, width), int)
    for box in grid(width, height, side):
        assert max(box.width, box.height) <= side
        count[box.y : box.y + box.height, box.x : box.x + box.width] += 1
    assert (count == 1).all()


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 8), st.data())
def test_the_seen_part_holds_the_box_and_its_sides_are_multiples(width, height, multiple, data):
    network = replace(NETWORK, multiple=multiple)
    x, y = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    box = Box(x, y, data.draw(st.integers(1, width - x)), data.draw(st.integers(1, height - y)))
    picture = np.random.default_rng(0).random((height, width, 3)).astype(np.float32)
    around = margins(network, box, width, height)
    part = seen(picture, box, around)
    assert part.shape[0] % multiple == part.shape[1] % multiple == 0
    left, top = around[:2]
    assert np.array_equal(part[top : top + box.height, left : left + box.width], picture[y : y + box.height, x : x + box.width])
    assert pixels_seen(network, [box], width, height) == part.shape[0] * part.shape[1]
