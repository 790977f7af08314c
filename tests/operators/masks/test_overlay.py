"""A translucent overlay is taken off: the picture below comes back as well as the file kept it."""

from __future__ import annotations

import numpy as np
import pytest

from operators.masks.overlay import (
    LEAST_LEFT,
    ROUNDING,
    blended,
    estimate_variance,
    invert,
    overlaid,
    seen_through,
)
from operators.rows.overlay import Overlay

RANDOM = np.random.default_rng(3)
PICTURE = RANDOM.integers(0, 256, (40, 50, 3), dtype=np.uint8)
ALPHA = np.clip(RANDOM.random((40, 50)) * 1.2 - 0.4, 0, 0.7).astype(np.float32)
RED = np.array([[[220.0, 30.0, 40.0]]], np.float32)


def stamped(alpha: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.rint(overlaid(PICTURE, Overlay(alpha, colour))).astype(np.uint8)


@pytest.mark.parametrize("colour", [RED, RANDOM.random((40, 50, 3)).astype(np.float32) * 255])
def test_without_rounding_the_picture_comes_back_exactly(colour: np.ndarray) -> None:
    estimate, gain = invert(overlaid(PICTURE, Overlay(ALPHA, colour)), ALPHA, colour)
    assert np.abs(estimate - PICTURE).max() < 0.01
    assert gain == pytest.approx(1 / (1 - ALPHA) ** 2, rel=1e-5)


def test_rounding_grows_by_the_gain_that_is_said() -> None:
    alpha = np.full((40, 50), 0.6, np.float32)
    estimate, gain = invert(stamped(alpha, RED), alpha, RED)
    assert np.var(estimate - PICTURE) == pytest.approx(ROUNDING * gain[0, 0], rel=0.05)


def test_where_hardly_anything_shows_through_the_gain_is_infinite_and_the_fill_counts_alone() -> None:
    alpha = np.full((40, 50), 1 - LEAST_LEFT / 2, np.float32)
    estimate, gain = invert(stamped(alpha, RED), alpha, RED)
    assert np.isinf(gain).all()
    fill = np.full_like(PICTURE, 77)
    assert (blended(estimate, estimate_variance(estimate, gain, 0), fill, 100.0) == 77).all()
    assert (seen_through(stamped(alpha, RED), Overlay(alpha, RED), fill, 100.0) == 77).all()


def test_a_clipped_pixel_is_filled() -> None:
    alpha = np.full((40, 50), 0.5, np.float32)
    image = stamped(alpha, RED)
    image[5, 5] = 255
    fill = np.full_like(PICTURE, 10)
    result = seen_through(image, Overlay(alpha, RED), fill, 100.0)
    assert np.abs(result[5, 5].astype(int) - 10).max() <= 3
    assert np.abs(result[6, 6].astype(int) - PICTURE[6, 6]).max() <= 3


def test_estimate_and_fill_are_weighed_by_their_variances() -> None:
    estimate, fill = np.full((1, 1, 3), 100, np.float32), np.full((1, 1, 3), 160, np.float32)
    assert blended(estimate, np.full((1, 1), 10, np.float32), fill, 20.0)[0, 0, 0] == pytest.approx(120)
    assert blended(estimate, np.zeros((1, 1), np.float32), fill, 0.0)[0, 0, 0] == pytest.approx(100)


def test_pixels_without_the_overlay_come_back_to_the_bit() -> None:
    image = stamped(ALPHA, RED)
    free = ALPHA == 0
    assert free.any()
    result = seen_through(image, Overlay(ALPHA, RED), np.zeros_like(image), 0.0)
    assert np.array_equal(result[free], PICTURE[free])
