import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flows.audit.boundaries.crossing import (
    BAND_NAMES,
    Crossing,
    compare_bands,
    compare_cells,
    compare_pictures,
    compare_values,
    pooled,
)
from operators.metrics.quality import psnr

check = settings(deadline=None, max_examples=40)
pixels = arrays.arrays(np.uint8, st.tuples(st.integers(8, 24), st.integers(8, 24), st.just(3)))


@check
@given(pixels)
def test_an_identity_loses_nothing(picture):
    crossing = compare_pictures("here", picture, picture)
    assert crossing.psnr == math.inf
    assert crossing.grey_levels == 0
    assert all(share is None or share == 1 for share in crossing.band_energy)
    assert crossing.cells_lost is None


@check
@given(pixels, st.integers(0, 2**32))
def test_psnr_and_largest_error_are_those_of_the_pictures(picture, seed):
    other = np.random.default_rng(seed).integers(0, 256, picture.shape, np.uint8)
    crossing = compare_pictures("here", picture, other)
    assert crossing.psnr == pytest.approx(psnr(picture, other))
    assert crossing.grey_levels == pytest.approx(np.abs(picture.astype(int) - other).max())


def test_a_band_that_is_smoothed_away_is_gone_and_the_coarser_ones_stay(photo):
    smooth = cv2.GaussianBlur(photo, (0, 0), 2)
    kept = compare_pictures("here", photo, smooth).band_energy
    assert kept[0] < 0.02
    assert kept[3] > 0.5
    assert list(kept) == sorted(kept)


def test_noise_does_not_make_up_for_what_is_gone(photo):
    smooth = cv2.GaussianBlur(photo, (0, 0), 2)
    noisy = np.clip(smooth + np.random.default_rng(0).normal(0, 20, photo.shape), 0, 255).astype(np.uint8)
    assert compare_pictures("here", photo, noisy).band_energy[0] < 0.02


def test_a_band_without_energy_has_no_share():
    flat = np.full((32, 32, 3), 90, np.uint8)
    assert compare_pictures("here", flat, flat).band_energy == (None,) * len(BAND_NAMES)


def test_only_what_is_chosen_counts(photo):
    other, where = photo.copy(), np.zeros(photo.shape[:2], bool)
    where[:100] = True
    other[200:] = 0
    assert compare_pictures("here", photo, other, where).psnr == math.inf
    assert compare_bands("here", photo, other, where).band_energy == (1, 1, 1, 1)


def test_values_are_measured_against_their_range():
    crossing = compare_values("here", np.array([0, 65535], np.uint16), np.array([0, 65534], np.uint16), 65535)
    assert crossing.grey_levels == pytest.approx(255 / 65535)
    assert crossing.psnr == pytest.approx(20 * math.log10(65535) + 10 * math.log10(2))


def test_nothing_compared_has_no_psnr():
    assert compare_values("here", np.empty(0), np.empty(0), 1).psnr is None


def test_cells_that_are_gone_are_counted_and_new_ones_are_not():
    crossing = compare_cells("here", np.array([True, True, True, False]), np.array([True, False, False, True]))
    assert crossing.cells_lost == pytest.approx(2 / 3)


@check
@given(pixels, pixels)
def test_pooled_is_the_crossing_of_both_together(one, other):
    parts = [compare_values("here", one, 255 - one, 255), compare_values("here", other, 255 - other, 255)]
    whole = compare_values("here", np.append(one, other), 255 - np.append(one, other), 255)
    both = pooled(parts)
    assert (both.values, both.largest) == (whole.values, whole.largest)
    assert both.squared == pytest.approx(whole.squared)


def test_crossings_of_two_boundaries_are_not_pooled():
    with pytest.raises(ValueError, match="not of one boundary"):
        pooled([Crossing("here"), Crossing("there")])
