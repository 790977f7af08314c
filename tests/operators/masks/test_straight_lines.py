"""Straight lines are long, level or upright, and of one colour."""

from __future__ import annotations

import numpy as np
import pytest

from operators.masks.straight_lines import straight_lines

SHAPE = (120, 200)


def plain(noise: float = 0.0, level: tuple[float, float, float] = (180.0, 170.0, 150.0)) -> np.ndarray:
    """Ground of one colour with grain."""
    grain = np.random.default_rng(5).normal(0, noise, (*SHAPE, 3)) if noise else 0.0
    return np.clip(np.rint(np.array(level) + grain + np.zeros((*SHAPE, 3))), 0, 255).astype(np.uint8)


def test_only_long_upright_and_level_runs_are_straight_lines() -> None:
    picture = plain()
    picture[20] = picture[:, 30] = 20
    picture[90:94, 100:112] = 20
    lines = straight_lines(picture, 24)
    assert lines[20, 60:].all() and lines[40:, 30].all()
    assert not lines[85:100, 95:120].any()


def test_noise_shows_no_straight_lines() -> None:
    assert not straight_lines(plain(30.0), 60).any()


def test_a_line_with_grain_is_found() -> None:
    picture = plain(3.0).astype(int)
    picture[60] -= 80
    assert straight_lines(np.clip(picture, 0, 255).astype(np.uint8), 48)[60, 48:150].all()


def test_the_slope_of_a_glow_is_no_line() -> None:
    distance = np.abs(np.arange(80) - 40)[:, None, None]
    light = np.clip(240 - 6 * distance, 60, 240) + np.zeros((80, 200, 3))
    found = straight_lines(light.astype(np.uint8), 24)
    assert not found[15:36].any() and not found[45:65].any()


@pytest.mark.parametrize("shape", [(1, 1), (4, 1), (1, 40), (40, 1), (40, 2)])
def test_a_strip_of_a_pixel_or_two_is_looked_at_like_any_picture(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (*shape, 3)).astype(np.uint8)
    assert straight_lines(picture, 16).shape == shape
