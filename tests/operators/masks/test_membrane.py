"""A membrane goes exactly through what is known, and smoothly between."""

from __future__ import annotations

import numpy as np
import pytest

from operators.masks.membrane import membrane

KNOWN = np.ones((60, 80), bool)
KNOWN[20:40, 25:55] = False
DOWN, ACROSS = np.mgrid[:60, :80].astype(np.float32)
SLOPE = np.stack([100 + ACROSS, 200 - DOWN, 50 + 0.5 * ACROSS + DOWN], axis=2)


def through(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    return membrane(values.astype(np.float32), np.ones(known.shape, np.float32), known)


def test_known_values_are_kept_to_the_bit() -> None:
    noise = np.random.default_rng(0).random((60, 80, 3)).astype(np.float32) * 255
    assert np.array_equal(through(noise, KNOWN)[KNOWN], noise[KNOWN])


def test_a_constant_stays_constant_and_unknown_values_do_not_matter() -> None:
    values = np.where(KNOWN[:, :, None], np.float32(120), np.float32(9999)).repeat(3, axis=2)
    assert through(values, KNOWN) == pytest.approx(120, abs=0.01)


def test_a_slope_goes_on_through_the_hole() -> None:
    assert np.abs(through(SLOPE, KNOWN) - SLOPE).max() < 1.0


def test_the_field_stays_between_the_least_and_the_largest_known_value() -> None:
    values = np.random.default_rng(1).random((60, 80, 3)).astype(np.float32) * 200 + 20
    field = through(values, KNOWN)
    assert values[KNOWN].min() - 1e-3 <= field.min()
    assert field.max() <= values[KNOWN].max() + 1e-3


def test_values_are_given_with_their_weights() -> None:
    weight = np.full(KNOWN.shape, 0.25, np.float32)
    assert np.abs(membrane(SLOPE * 0.25, weight, KNOWN) - SLOPE).max() < 1.0


@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (3, 3), (7, 1)])
def test_the_smallest_pictures_have_a_field_too(shape: tuple[int, int]) -> None:
    known = np.zeros(shape, bool)
    known[0, 0] = True
    assert through(np.full((*shape, 3), 7.0), known) == pytest.approx(7.0)
