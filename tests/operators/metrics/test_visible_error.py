"""Errors are seen where a picture should be flat, and stains everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from operators.metrics.visible_error import NEAR_BLACK, flat_errors, flat_places, smoothed_difference, stains

HEIGHT, WIDTH = 160, 320


def flat(level: int = 128) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def grain(deviation: float) -> np.ndarray:
    noise = np.random.default_rng(3).normal(128, deviation, (HEIGHT, WIDTH, 1))
    return np.repeat(np.clip(np.rint(noise), 0, 255), 3, axis=2).astype(np.uint8)


def test_gradients_and_grain_are_flat_and_edges_and_texture_are_not() -> None:
    ramp = np.broadcast_to(np.linspace(0, 200, WIDTH)[None, :, None], (HEIGHT, WIDTH, 3)).astype(np.uint8)
    step = flat(60)
    step[:, 160:] = 100
    assert flat_places(ramp).all()
    assert flat_places(grain(5)).all()
    assert not flat_places(grain(30)).any()
    assert not flat_places(step)[:, 154:166].any()
    assert flat_places(step)[:, :140].all()


def test_a_difference_of_one_channel_counts_less_than_one_of_all() -> None:
    blue = flat()
    blue[:, :, 2] += 30
    assert smoothed_difference(blue, flat(), 2.0) == pytest.approx(30 / 3**0.5, rel=1e-4)
    assert smoothed_difference(flat(158), flat(), 2.0) == pytest.approx(30, rel=1e-4)


def test_an_error_on_flat_ground_is_its_size_and_twice_as_much_near_black() -> None:
    dark = int(NEAR_BLACK) - 2
    assert flat_errors(flat(138), flat(128)) == pytest.approx(10, rel=1e-4)
    assert flat_errors(flat(dark + 10), flat(dark)) == pytest.approx(20, rel=1e-4)


def test_an_error_in_texture_is_no_error_on_flat_ground_but_may_be_a_stain() -> None:
    texture = grain(30)
    brighter = (texture.astype(int) // 2 + 80).astype(np.uint8)
    assert flat_errors(brighter, texture).max() == 0
    assert stains(brighter, texture).max() > 10


def test_a_stain_is_a_wide_difference_and_not_a_dot() -> None:
    dot, blot = flat(), flat()
    dot[80, 80] = blot[60:100, 60:100] = 168
    assert stains(dot, flat()).max() < 1
    assert stains(blot, flat()).max() == pytest.approx(40, abs=0.1)
