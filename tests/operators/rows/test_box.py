"""Boxes on the pixel grid."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.rows.box import Box

check = settings(deadline=None, max_examples=40)
FRAME = Box(0, 0, 120, 90)


@st.composite
def boxes(draw, frame=FRAME):
    x, y = draw(st.integers(0, frame.width - 1)), draw(st.integers(0, frame.height - 1))
    return Box(x, y, draw(st.integers(1, frame.width - x)), draw(st.integers(1, frame.height - y)))


def covered(*parts, frame=FRAME):
    canvas = np.zeros((frame.height, frame.width), bool)
    for part in parts:
        canvas[part.y : part.y + part.height, part.x : part.x + part.width] = True
    return canvas


@check
@given(boxes(), boxes())
def test_boxes_overlap_exactly_when_they_share_a_pixel(first, second):
    assert first.overlaps(second) == second.overlaps(first) == bool((covered(first) & covered(second)).any())


@check
@given(boxes(), boxes())
def test_a_union_is_the_smallest_box_that_holds_both(first, second):
    union = first.union(second)
    rows, columns = np.nonzero(covered(first, second))
    assert union == Box(columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
    assert union == second.union(first)


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


def test_a_record_is_the_box_again():
    assert Box(**Box(1, 2, 3, 4).record()) == Box(1, 2, 3, 4)
