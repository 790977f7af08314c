"""Resampling joins parts without seams and keeps flat colours."""

import numpy as np
import pytest

from operators.upscalers.resample import enlarged, resampled


@pytest.fixture(scope="module")
def values():
    return np.random.default_rng(0).random((40, 60, 3)).astype(np.float32)


@pytest.mark.parametrize("size", [(240, 160), (97, 71), (20, 13)])
def test_a_part_seen_with_its_neighbours_is_the_part_of_the_whole(values, size):
    whole = resampled(values, size)
    right, down = 60 / size[0], 40 / size[1]
    left, top, width, height = size[0] // 3, size[1] // 4, size[0] // 4, size[1] // 3
    box = (left * right, top * down, (left + width) * right, (top + height) * down)
    assert np.abs(resampled(values, (width, height), box) - whole[top : top + height, left : left + width]).max() < 1e-5


def test_one_colour_stays_that_colour():
    assert np.abs(resampled(np.full((5, 7, 2), 0.3, np.float32), (31, 9)) - 0.3).max() < 1e-6


def test_the_same_size_is_the_same_picture(values):
    assert resampled(values, (60, 40)) is values


def test_an_enlarged_picture_stays_in_range():
    edge = np.zeros((8, 8, 1), np.float32)
    edge[:, 4:] = 1
    result = enlarged(edge, 4)
    assert result.shape == (32, 32, 1)
    assert result.min() == 0
    assert result.max() == 1
