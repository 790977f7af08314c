"""Frequencies by OpenCV are those of numpy, but for two columns."""

from __future__ import annotations

import numpy as np
import pytest

from operators.marks.spectra import fast_size, plane_of, spectrum_of


@pytest.mark.parametrize("size", [(48, 64), (45, 60)])
def test_frequencies_are_those_of_numpy_without_the_first_and_the_last_column(size: tuple[int, int]) -> None:
    plane = np.random.default_rng(1).normal(0, 1, size).astype(np.float32)
    expected = np.fft.rfft2(plane)[:, 1:-1]
    assert np.allclose(spectrum_of(plane), expected, atol=1e-3)


def test_the_sum_of_frequencies_gives_the_sum_of_planes() -> None:
    rows = np.arange(48, dtype=np.float32)[:, None]
    columns = np.arange(64, dtype=np.float32)[None]
    first = np.cos(2 * np.pi * (3 * columns / 64 + 2 * rows / 48)).astype(np.float32)
    second = np.sin(2 * np.pi * (7 * columns / 64 - 5 * rows / 48)).astype(np.float32)
    assert np.allclose(plane_of(spectrum_of(first), spectrum_of(second)), first + second, atol=1e-4)


def test_rows_that_hold_nothing_need_not_be_transformed() -> None:
    plane = np.zeros((48, 64), np.float32)
    plane[:10] = np.random.default_rng(2).normal(0, 1, (10, 64))
    assert np.allclose(spectrum_of(plane, 10), spectrum_of(plane), atol=1e-4)


@pytest.mark.parametrize("least", [1, 25, 81, 127, 1025])
def test_a_fast_size_is_even_and_large_enough(least: int) -> None:
    assert fast_size(least) >= least and fast_size(least) % 2 == 0
