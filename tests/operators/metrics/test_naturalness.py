import math

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter

from operators.metrics.continuity import luma
from operators.metrics.naturalness import BANDS, band_energies, band_ratios, octave_bands, overshoot_share

EDITED = np.zeros((20, 40), bool)
EDITED[2:18, 2:18] = True
RING = np.zeros((20, 40), bool)
RING[2:18, 22:38] = True


def boards(inside, outside):
    """Two chess boards side by side, by their contrasts in grey levels."""
    phase = np.indices((20, 40)).sum(axis=0) % 2
    contrast = np.where(np.arange(40) < 20, inside, outside)
    return np.repeat((100 + phase * contrast).astype(np.uint8)[:, :, None], 3, axis=2)


def test_the_octave_bands_add_up_to_the_picture_but_for_its_coarsest_part(photo):
    bands = octave_bands(photo)
    assert len(bands) == BANDS
    coarse = luma(photo) - sum(bands)
    expected = cv2.GaussianBlur(luma(photo), (0, 0), 0.8 * 2 ** (BANDS - 1), borderType=cv2.BORDER_REFLECT_101)
    assert np.abs(coarse - expected).max() < 1e-3


def test_the_energy_of_a_band_is_its_mean_square(photo):
    where = np.zeros(photo.shape[:2], bool)
    where[100:200, 300:350] = True
    assert band_energies(photo, where) == pytest.approx([float(np.mean(band[where] ** 2)) for band in octave_bands(photo)])


def test_a_flat_picture_has_no_energy_in_any_band():
    assert band_energies(boards(0, 0), EDITED) == pytest.approx([0.0] * BANDS, abs=1e-6)
    assert band_ratios(boards(0, 0), EDITED, RING) == pytest.approx([0.0] * BANDS, abs=1e-6)


def test_a_smear_loses_most_in_the_finest_band(photo):
    edited = np.zeros(photo.shape[:2], bool)
    edited[300:400, 200:300] = True
    smeared = photo.copy()
    smeared[edited] = np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(3)))[edited]
    inside = np.zeros_like(edited)
    inside[320:380, 220:280] = True
    before, after = band_energies(photo, inside), band_energies(smeared, inside)
    lost = [math.log2((one + 1) / (other + 1)) for one, other in zip(before, after, strict=True)]
    assert lost[0] > 1
    assert lost[0] > lost[-1]


def test_only_values_beyond_the_neighbourhood_and_two_grey_levels_overshoot():
    source = boards(0, 0)
    where = np.ones((20, 40), bool)
    result = source.copy()
    result[5, :8] += 3
    result[9, :8] += 2
    assert overshoot_share(source, source, where) == 0.0
    assert overshoot_share(result, source, where) == pytest.approx(8 / 800)
    assert math.isnan(overshoot_share(result, source, ~where))
