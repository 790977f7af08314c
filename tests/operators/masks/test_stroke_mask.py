"""Probabilities become strokes, strokes grow, and their weights fade."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.masks.stroke_mask import FOUND, GIVEN, POLYGON, StrokeMask


def test_a_pixel_counts_as_touched_from_the_least_probability_on():
    probability = np.array([[0.0, 0.59, 0.6, 1.0]], np.float32)
    assert StrokeMask(least_probability=np.float32(0.6)).touched(probability).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize(("height", "radius"), [(10.0, 2), (100.0, 2), (150.0, 3), (500.0, 10)])
def test_strokes_grow_by_a_share_of_their_lines_height_but_not_less_than_two_pixels(height, radius):
    strokes = np.zeros((31, 31), np.uint8)
    strokes[15, 15] = 255
    grown = StrokeMask(dilation=0.02, least_dilation=2).grown(strokes, height)
    assert np.flatnonzero(grown[15]).tolist() == list(range(15 - radius, 16 + radius))


def test_certainty_rises_with_the_probability_and_is_full_from_certain_on():
    probability = np.array([[0.0, 0.05, 0.1, 0.2, 0.9]], np.float32)
    assert StrokeMask(certain=0.2).certainty(probability).tolist() == [[0, 64, 128, 255, 255]]


def test_the_sources_of_strokes_are_the_words_that_the_row_holds():
    assert (GIVEN, FOUND, POLYGON) == ("given", "found", "polygon")


@given(
    arrays(np.uint8, (6, 7), elements=st.sampled_from((0, 255))),
    arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32)),
    st.floats(0.05, 1.0),
)
def test_found_strokes_fade_within_their_core_by_how_likely_they_are(core, probability, certain):
    strokes = StrokeMask(certain=certain)
    weight = strokes.weight(core, strokes.certainty(probability), FOUND)
    assert (weight[core == 0] == 0).all()
    inside = core > 0
    assert (np.abs(weight[inside] - np.minimum(255.0, 255 * probability[inside] / certain)) <= 0.501).all()


def test_a_polygon_that_is_replaced_as_a_whole_fades_outside():
    core = np.zeros((20, 20), np.uint8)
    core[5:15, 5:15] = 255
    weight = StrokeMask().weight(core, np.zeros_like(core), POLYGON)
    assert (weight[core > 0] == 255).all()
    assert 0 < weight[4, 10] < 255
    assert weight[2, 10] == 0
