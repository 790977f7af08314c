"""The guard turns down implausible detail and keeps values in the source's local range."""

import cv2
import numpy as np
import pytest

from operators.metrics.naturalness import band_energies, overshoot_share
from operators.upscalers.detail_guard import Guard
from operators.upscalers.resample import resampled

SCALE = 4
EVERYWHERE = np.ones((256, 256), bool)


@pytest.fixture(scope="module")
def source(photo):
    return photo[60:124, 190:254].astype(np.float32) / 255


@pytest.fixture(scope="module")
def base(source):
    return resampled(source, (256, 256))


def stored(values):
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def test_one_colour_passes_unchanged():
    flat = np.full((8, 8, 3), 0.25, np.float32)
    large = np.full((32, 32, 3), 0.25, np.float32)
    assert np.abs(Guard().limit_bands(large, flat, SCALE) - large).max() < 1e-6


def test_no_value_leaves_the_range_of_the_source_around_it(source, base):
    sharpened = base + 3 * (base - cv2.GaussianBlur(base, (0, 0), 3))
    kept = Guard(stroke_overshoot=0.0).limit_bands(sharpened, source, SCALE, base)
    kernel = np.ones((3, 3), np.uint8)
    low, high = (np.kron(edge, np.ones((SCALE, SCALE, 1))) for edge in (cv2.erode(source, kernel), cv2.dilate(source, kernel)))
    assert (kept >= low - 1e-6).all()
    assert (kept <= high + 1e-6).all()
    nearest = stored(np.kron(source, np.ones((SCALE, SCALE, 1))))
    assert overshoot_share(stored(kept), nearest, EVERYWHERE) < overshoot_share(stored(sharpened), nearest, EVERYWHERE)
    assert overshoot_share(stored(kept), nearest, EVERYWHERE) <= overshoot_share(stored(base), nearest, EVERYWHERE)


def test_a_band_louder_than_the_source_predicts_is_turned_down_and_a_quiet_one_is_not(source, base):
    rng = np.random.default_rng(0)
    quiet, loud = (base + rng.normal(0, sigma, base.shape).astype(np.float32) / 255 for sigma in (0.3, 40))
    free = Guard(overshoot=1e9)
    before, after = (
        band_energies(stored(values), EVERYWHERE)[0] for values in (loud, free.limit_bands(loud, source, SCALE, base))
    )
    assert after < before / 4
    kept = free.limit_bands(quiet, source, SCALE, base)
    assert np.abs(kept - quiet).mean() * 255 < 0.3


def test_octaves_that_the_source_holds_are_taken_from_the_source(source, base):
    tinted = np.clip(base + np.array([0.1, -0.1, 0.05], np.float32), 0, 1)
    kept = Guard(overshoot=1e9).limit_bands(tinted, source, SCALE, base)
    assert np.abs(kept - base).mean() * 255 < 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_every_scale_keeps_its_size(source, scale):
    large = resampled(source, (64 * scale, 64 * scale))
    assert Guard().limit_bands(large, source, scale).shape == large.shape


def test_a_single_pixel_has_no_bands():
    one = np.full((1, 1, 3), 0.5, np.float32)
    assert np.abs(Guard().limit_bands(np.full((4, 4, 3), 0.9, np.float32), one, SCALE) - 0.5).max() < 1e-6


def test_a_stroke_a_quarter_of_a_pixel_wide_on_flat_ground_regains_its_ink():
    paper = np.full((24, 24, 1), 0.9, np.float32)
    paper[:, 12] = 0.75
    kept = Guard().in_range(np.zeros((96, 96, 1), np.float32), paper, SCALE)
    assert np.abs(kept[:, 48:52] - 0.3).max() < 1e-6
    assert np.abs(kept[:, :40] - 0.9).max() < 1e-6
    assert np.abs(Guard(stroke_overshoot=0).in_range(kept, paper, SCALE)[:, 48:52] - 0.75).max() < 1e-6


def test_texture_and_the_edges_of_areas_gain_no_contrast():
    area = np.full((24, 24, 1), 0.9, np.float32)
    area[:, 12:] = 0.2
    texture = np.random.default_rng(0).random((24, 24, 1)).astype(np.float32)
    for source in (area, texture):
        nothing = np.zeros((96, 96, 1), np.float32)
        strict, usual = (guard.in_range(nothing, source, SCALE) for guard in (Guard(stroke_overshoot=0), Guard()))
        assert np.abs(strict - usual).mean() < 0.003
