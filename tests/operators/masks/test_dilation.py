"""Dilation by distance gives the very pixels of OpenCV's dilation."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.masks.dilation import dilate_by_distance
from operators.masks.mask import LARGE, dilated


def opencv(mask: np.ndarray, radius: int) -> np.ndarray:
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))


def scattered(seed: int, height: int, width: int, letters: int, value: int = 255) -> np.ndarray:
    rng, mask = np.random.default_rng(seed), np.zeros((height, width), np.uint8)
    for _ in range(letters):
        y, x = rng.integers(height), rng.integers(width)
        mask[y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] = value
    return mask


@given(st.integers(0, 10**6), st.integers(1, 90), st.integers(1, 90), st.integers(0, 4), st.integers(1, 70))
def test_the_pixels_are_those_of_opencv(seed: int, height: int, width: int, letters: int, radius: int) -> None:
    mask = scattered(seed, height, width, letters)
    assert np.array_equal(dilate_by_distance(mask, radius), opencv(mask, radius))


@pytest.mark.parametrize("value", [1, 255])
def test_letters_keep_their_value(value: int) -> None:
    assert set(np.unique(dilate_by_distance(scattered(0, 300, 300, 1, value), LARGE))) == {0, value}


def test_a_mask_of_many_values_is_dilated_by_a_large_disc_as_well() -> None:
    mask = np.maximum(scattered(1, 200, 300, 2, 90), scattered(2, 200, 300, 2, 200))
    assert np.array_equal(dilated(mask, LARGE), opencv(mask, LARGE))
