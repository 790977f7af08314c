"""The gradient-domain correction removes drift, keeps texture, and changes only the hole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from operators.generators.harmonise import MOST_DRIFT, harmonised
from operators.masks.mask import dilated

PICTURE = np.ascontiguousarray(data.astronaut()[100:228, 60:220])


def hole(height: int = 128, width: int = 160) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[40:70, 30:120] = 255
    mask[80:86, 50:140] = 255
    return mask


def drifted(picture: np.ndarray, drift: np.ndarray | float) -> np.ndarray:
    return np.clip(np.rint(picture + drift), 0, 255).astype(np.uint8)


def test_a_constant_drift_goes_to_the_grey_level() -> None:
    picture = np.clip(PICTURE, 20, 235)
    corrected = harmonised(picture, drifted(picture, np.array([9.0, -7.0, 4.0])), hole())
    assert (corrected[hole() > 0] == picture[hole() > 0]).all()


def test_a_drift_that_changes_across_the_crop_goes_within_two_grey_levels() -> None:
    picture = np.clip(PICTURE, 30, 225)
    slope = np.linspace(-12, 12, 160)[None, :, None] + np.linspace(-6, 6, 128)[:, None, None]
    corrected = harmonised(picture, drifted(picture, slope), hole())
    inside = hole() > 0
    assert np.abs(corrected[inside].astype(int) - picture[inside]).max() <= 2
    assert np.abs(drifted(picture, slope)[inside].astype(int) - picture[inside]).max() > 8


def test_a_fill_that_kept_its_context_stays_as_it_is() -> None:
    fill = PICTURE.copy()
    fill[hole() > 0] = 7
    assert (harmonised(PICTURE, fill, hole()) == fill).all()


def test_other_content_beside_the_hole_does_not_bleed_into_it() -> None:
    picture = np.full((128, 160, 3), 120, np.uint8)
    fill = picture + 5
    beside = fill.copy()
    beside[36:40, 60:90] = 120 + 5 + int(MOST_DRIFT) + 40
    corrected = harmonised(picture, beside, hole())
    assert (corrected[hole() > 0] == 120).all()


@pytest.mark.parametrize("empty", [0, 255])
def test_without_a_hole_or_without_a_ring_nothing_changes(empty: int) -> None:
    fill = drifted(PICTURE, 6.0)
    assert (harmonised(PICTURE, fill, np.full(PICTURE.shape[:2], empty, np.uint8)) == fill).all()


@given(seed=st.integers(0, 10_000), height=st.integers(1, 40), width=st.integers(1, 40), radius=st.integers(0, 6))
@settings(max_examples=60, deadline=None)
def test_nothing_outside_the_hole_ever_changes(seed: int, height: int, width: int, radius: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
    fill = drifted(pixels, rng.normal(0, 8, (height, width, 3)))
    mask = dilated(np.where(rng.random((height, width)) < 0.02, 255, 0).astype(np.uint8), radius)
    corrected = harmonised(pixels, fill, mask)
    assert corrected.dtype == np.uint8
    assert (corrected[mask == 0] == fill[mask == 0]).all()
