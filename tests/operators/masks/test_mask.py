"""The channels of a mask, and how masks grow, fade and weigh a fill."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.masks.mask import (
    BLEND,
    CHANNELS,
    CONFIDENCE,
    CORE,
    STRUCTURE,
    dilated,
    empty_mask,
    feathered,
    feathered_weights,
    hole_of,
    moved,
    pasted,
    ring,
)
from operators.rows.box import Box

check = settings(deadline=None, max_examples=40)


@st.composite
def masks(draw):
    """A few full rectangles, some of them single pixels, on a small picture."""
    mask = np.zeros((draw(st.integers(1, 40)), draw(st.integers(1, 40))), np.uint8)
    for _ in range(draw(st.integers(0, 3))):
        x, y = draw(st.integers(0, mask.shape[1] - 1)), draw(st.integers(0, mask.shape[0] - 1))
        mask[y : y + draw(st.integers(1, 10)), x : x + draw(st.integers(1, 10))] = 255
    return mask


def test_the_channels_are_in_the_order_of_their_names():
    assert [CHANNELS[index] for index in (CORE, BLEND, CONFIDENCE, STRUCTURE)] == ["core", "blend", "confidence", "structure"]
    mask = empty_mask(Box(3, 4, 5, 6))
    assert mask.shape == (6, 5, 4)
    assert mask.dtype == np.uint8
    assert not mask.any()


@pytest.mark.parametrize("radius", [1, 2, 5, 9])
def test_a_pixel_grows_to_a_disc(radius):
    mask = np.zeros((41, 41), np.uint8)
    mask[20, 20] = 255
    rows, columns = np.nonzero(dilated(mask, radius))
    distance = np.hypot(rows - 20, columns - 20)
    assert distance.max() < radius + 1
    assert {(20 - radius, 20), (20 + radius, 20), (20, 20 - radius), (20, 20 + radius)} <= set(
        zip(rows.tolist(), columns.tolist(), strict=True)
    )


@pytest.mark.parametrize("grown", [dilated, feathered])
def test_a_radius_of_zero_changes_nothing(grown):
    mask = np.eye(9, dtype=np.uint8) * 255
    assert np.array_equal(grown(mask, 0), mask)


@check
@given(masks(), st.integers(0, 6))
def test_a_feathered_mask_keeps_full_weight_on_the_mask(mask, radius):
    assert (feathered(mask, radius)[mask == 255] == 255).all()


@check
@given(masks(), st.integers(0, 6), st.integers(0, 6))
def test_a_dilated_then_feathered_mask_keeps_full_weight_on_the_mask_and_fades_to_zero(mask, dilation, feather):
    soft = feathered(dilated(mask, dilation), feather)
    reach = dilation + 2 * feather
    support = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    assert (soft[dilated(mask, dilation) == 255] == 255).all()
    assert not soft[support == 0].any()


@check
@given(masks(), st.integers(0, 6))
def test_a_feather_is_the_nearest_byte_of_its_weights(mask, radius):
    error = np.abs(feathered(mask, radius) - feathered_weights(mask, radius).astype(np.float64))
    assert error.max() <= 0.5 + 1e-4


def test_feather_weights_are_a_gaussian_of_the_dilated_mask():
    mask = np.zeros((40, 40), np.uint8)
    mask[20, 20] = 255
    line = np.exp(-0.5 * (np.arange(-3, 4) / 1.5) ** 2)
    kernel = np.outer(line, line) / line.sum() ** 2
    grown = np.pad(dilated(mask, 3), 3).astype(np.float64)
    expected = np.einsum("ijkl,kl->ij", np.lib.stride_tricks.sliding_window_view(grown, (7, 7)), kernel)
    expected[20, 20] = 255
    assert np.allclose(feathered_weights(mask, 3), expected, atol=1e-3)


def test_a_feathered_edge_fades_steadily():
    mask = np.zeros((41, 41), np.uint8)
    mask[:, :20] = 255
    line = feathered(mask, 4)[20].astype(int)
    assert (np.diff(line) <= 0).all()
    assert np.count_nonzero((line > 0) & (line < 255)) >= 4


@check
@given(masks(), masks(), st.integers(1, 8))
def test_a_ring_touches_neither_the_inside_nor_what_is_excluded(inside, excluded, width):
    height, across = min(inside.shape[0], excluded.shape[0]), min(inside.shape[1], excluded.shape[1])
    inside, excluded = inside[:height, :across] > 0, excluded[:height, :across] > 0
    found = ring(inside, excluded, width)
    assert not (found & inside).any()
    assert not (found & excluded).any()
    square = cv2.dilate(inside.astype(np.uint8), np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0
    assert not (found & ~square).any()


def test_a_ring_is_as_wide_as_asked():
    inside = np.zeros((21, 21), bool)
    inside[10, 10] = True
    found = ring(inside, np.zeros_like(inside), 3)
    assert np.flatnonzero(found[10]).tolist() == [7, 8, 9, 11, 12, 13]


def test_a_moved_map_is_cut_to_the_crop_and_zero_where_the_map_does_not_reach():
    data = np.arange(1, 7, dtype=np.uint8).reshape(2, 3)
    assert moved(data, Box(4, 5, 3, 2), Box(5, 4, 3, 2)).tolist() == [[0, 0, 0], [2, 3, 0]]
    assert not moved(data, Box(4, 5, 3, 2), Box(20, 20, 3, 2)).any()


def test_the_hole_is_every_stroke_and_whatever_is_weighed():
    mask = np.zeros((1, 4, 4), np.uint8)
    mask[0, 1, CORE], mask[0, 2, BLEND] = 255, 1
    assert hole_of(mask).tolist() == [[0, 255, 255, 0]]


def test_a_paste_keeps_what_is_not_weighed_and_takes_what_is():
    pixels, fill = np.full((1, 3, 3), 100, np.uint8), np.full((1, 3, 3), 201, np.uint8)
    assert pasted(pixels, fill, np.array([[0, 255, 51]], np.uint8))[0, :, 0].tolist() == [100, 201, 120]
