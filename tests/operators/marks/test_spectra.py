"""Frequencies by OpenCV are those of numpy, but for two columns."""

from __future__ import annotations

import numpy as np
import pytest

from operators.marks.spectra import fast_size, plane_of, product_of, spectrum_of


@pytest.mark.parametrize("size", [(48, 64), (45, 60)])
def test_frequencies_are_those_of_numpy_without_the_first_and_the_last_column(size: tuple[int, int]) -> None:
    plane = np.random.default_rng(1).normal(0, 1, size).astype(np.float32)
    expected = np.fft.rfft2(plane)[:, 1:-1]
    assert np.allclose(spectrum_of(plane), expected, atol=1e-3)


def waves() -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.arange(48, dtype=np.float32)[:, None], np.arange(64, dtype=np.float32)[None]
    first = np.cos(2 * np.pi * (3 * columns / 64 + 2 * rows / 48))
    return first.astype(np.float32), np.sin(2 * np.pi * (7 * columns / 64 - 5 * rows / 48)).astype(np.float32)


def test_frequencies_give_their_plane_back() -> None:
    first, second = waves()
    assert np.allclose(plane_of(spectrum_of(first)), first, atol=1e-4)
    assert np.allclose(plane_of(spectrum_of(second)), second, atol=1e-4)


def test_the_product_of_planes_is_the_sum_of_their_correlations() -> None:
    spectra = np.stack([spectrum_of(plane) for plane in waves()])
    likeness = product_of(spectra, spectra.conj())
    assert likeness[0, 0] == pytest.approx(48 * 64, rel=1e-3)
    assert likeness.argmax() == 0


def test_rows_that_hold_nothing_need_not_be_transformed() -> None:
    plane = np.zeros((48, 64), np.float32)
    plane[:10] = np.random.default_rng(2).normal(0, 1, (10, 64))
    assert np.allclose(spectrum_of(plane, 10), spectrum_of(plane), atol=1e-4)


@pytest.mark.parametrize("least", [1, 25, 81, 127, 1025])
def test_a_fast_size_is_even_and_large_enough(least: int) -> None:
    assert fast_size(least) >= least and fast_size(least) % 2 == 0
