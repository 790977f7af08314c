import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.masks.geometry import bounding_box, grouped, rasterised, stroke_height
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
    ring,
)
from operators.rows.box import Box

check = settings(deadline=None, max_examples=40)
FRAME = Box(0, 0, 120, 90)


@st.composite
def boxes(draw, frame=FRAME):
    x, y = draw(st.integers(0, frame.width - 1)), draw(st.integers(0, frame.height - 1))
    return Box(x, y, draw(st.integers(1, frame.width - x)), draw(st.integers(1, frame.height - y)))


@st.composite
def masks(draw):
    """A few full rectangles, some of them single pixels, on a small picture."""
    mask = np.zeros((draw(st.integers(1, 40)), draw(st.integers(1, 40))), np.uint8)
    for _ in range(draw(st.integers(0, 3))):
        x, y = draw(st.integers(0, mask.shape[1] - 1)), draw(st.integers(0, mask.shape[0] - 1))
        mask[y : y + draw(st.integers(1, 10)), x : x + draw(st.integers(1, 10))] = 255
    return mask


def covered(*parts, frame=FRAME):
    canvas = np.zeros((frame.height, frame.width), bool)
    for part in parts:
        canvas[part.y : part.y + part.height, part.x : part.x + part.width] = True
    return canvas


def around(box):
    union = box[0]
    for other in box[1:]:
        union = union.union(other)
    return union


def test_the_channels_are_in_the_order_of_their_names():
    assert [CHANNELS[index] for index in (CORE, BLEND, CONFIDENCE, STRUCTURE)] == ["core", "blend", "confidence", "structure"]
    mask = empty_mask(Box(3, 4, 5, 6))
    assert mask.shape == (6, 5, 4)
    assert mask.dtype == np.uint8
    assert not mask.any()


@check
@given(boxes(), boxes())
def test_boxes_overlap_exactly_when_they_share_a_pixel(one, other):
    assert one.overlaps(other) == other.overlaps(one) == bool((covered(one) & covered(other)).any())


@check
@given(boxes(), boxes())
def test_a_union_is_the_smallest_box_that_holds_both(one, other):
    union = one.union(other)
    rows, columns = np.nonzero(covered(one, other))
    assert union == Box(columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert union == other.union(one)


@check
@given(boxes(), st.integers(0, 200))
def test_a_grown_box_stays_in_the_picture(box, margin):
    grown = box.grown(margin, FRAME.width, FRAME.height)
    assert grown.union(box) == grown
    assert grown.union(FRAME) == FRAME
    assert grown.x == max(0, box.x - margin)
    assert grown.y + grown.height == min(FRAME.height, box.y + box.height + margin)


def test_the_area_of_a_box_is_its_pixels():
    assert Box(5, 6, 7, 8).area == 56


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


def test_what_lies_outside_the_box_is_cut():
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


crop_lists = st.lists(boxes(), max_size=8)


@check
@given(crop_lists, st.integers(10, 130))
def test_every_crop_is_in_exactly_one_group(crops, largest):
    groups = grouped(crops, largest, FRAME)
    assert sorted(index for members in groups for index in members) == list(range(len(crops)))


@check
@given(crop_lists, st.integers(10, 130))
def test_grouping_never_costs_more_than_the_crops_apart(crops, largest):
    apart = sum(crop.area for crop in crops)
    groups = [[crops[index] for index in members] for members in grouped(crops, largest, FRAME)]
    total = sum(around(members).area for members in groups)
    assert total <= min(apart, FRAME.area)
    if apart <= FRAME.area:
        assert all(len(members) == 1 or max(around(members).width, around(members).height) <= largest for members in groups)


@check
@given(crop_lists, st.integers(10, 130))
def test_only_crops_that_overlap_their_group_are_in_it(crops, largest):
    for members in grouped(crops, largest, FRAME):
        others = [crops[index] for index in members]
        for index in members:
            rest = [crops[other] for other in members if other != index]
            assert not rest or crops[index].overlaps(around(others))


def test_neighbours_that_overlap_much_share_a_crop_and_distant_ones_do_not():
    frame = Box(0, 0, 1000, 1000)
    crops = [Box(0, 0, 100, 100), Box(20, 10, 100, 100), Box(600, 600, 100, 100)]
    assert grouped(crops, 768, frame) == [[0, 1], [2]]


def test_crops_that_would_grow_past_the_largest_stay_apart():
    frame = Box(0, 0, 1000, 1000)
    crops = [Box(0, 0, 100, 100), Box(20, 0, 100, 100)]
    assert grouped(crops, 119, frame) == [[0], [1]]
    assert grouped(crops, 120, frame) == [[0, 1]]


def test_crops_that_together_exceed_the_frame_are_joined_past_the_largest():
    frame = Box(0, 0, 100, 100)
    assert grouped([Box(0, 0, 100, 90), Box(0, 5, 100, 90)], 50, frame) == [[0, 1]]


def test_no_crops_make_no_groups():
    assert grouped([], 768, FRAME) == []
