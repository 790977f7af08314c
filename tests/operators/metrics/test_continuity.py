import math

import numpy as np
import pytest

from operators.masks.mask import ring
from operators.metrics.continuity import lab_difference, luma, seam_ratio

EDITED = np.zeros((20, 20), bool)
EDITED[8:12, 8:12] = True
RING = ring(EDITED, np.zeros_like(EDITED), 4)


def flat(inside, outside):
    picture = np.empty((20, 20, 3), np.uint8)
    picture[:] = outside
    picture[EDITED] = inside
    return picture


@pytest.mark.parametrize(
    ("colour", "expected"), [((255, 255, 255), 255), ((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29)]
)
def test_luma_is_rec_601(colour, expected):
    assert luma(np.full((1, 1, 3), colour, np.uint8))[0, 0] == expected


def test_a_flat_picture_has_no_seam():
    assert seam_ratio(flat(90, 90), EDITED, RING) == 1.0


def test_a_step_of_thirty_grey_levels_on_a_flat_ring_is_a_ratio_of_thirty_one():
    assert seam_ratio(flat(130, 100), EDITED, RING) == 31.0


def test_a_darker_edit_shows_as_much_as_a_lighter_one():
    assert seam_ratio(flat(70, 100), EDITED, RING) == seam_ratio(flat(130, 100), EDITED, RING)


def test_a_step_counts_for_less_where_the_ring_is_as_rough():
    board = np.where(np.indices((20, 20)).sum(axis=0) % 2, 130, 100).astype(np.uint8)
    assert seam_ratio(np.repeat(board[:, :, None], 3, axis=2), EDITED, RING) == 1.0


def test_without_a_border_or_a_ring_there_is_no_seam_to_measure():
    nothing = np.zeros_like(EDITED)
    assert math.isnan(seam_ratio(flat(1, 2), nothing, RING))
    assert math.isnan(seam_ratio(flat(1, 2), EDITED, nothing))


def test_equal_colours_are_at_distance_zero():
    assert lab_difference(flat((20, 90, 200), (20, 90, 200)), EDITED, RING) == pytest.approx(0, abs=1e-4)


def test_black_and_white_are_a_hundred_apart_in_cielab():
    assert lab_difference(flat(0, 255), EDITED, RING) == pytest.approx(100, abs=0.01)


def test_pure_red_has_the_tabulated_lab_distance_from_black():
    assert lab_difference(flat((255, 0, 0), 0), EDITED, RING) == pytest.approx(math.hypot(53.24, 80.09, 67.20), abs=0.1)


def test_only_edit_and_ring_count_for_the_colour():
    picture = flat(100, 100)
    picture[0, 0] = 255
    assert not RING[0, 0]
    assert lab_difference(picture, EDITED, RING) == pytest.approx(0, abs=1e-4)


def test_without_an_edit_or_a_ring_there_is_no_colour_to_compare():
    nothing = np.zeros_like(EDITED)
    assert math.isnan(lab_difference(flat(1, 2), nothing, RING))
    assert math.isnan(lab_difference(flat(1, 2), EDITED, nothing))
