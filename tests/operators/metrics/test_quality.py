import math

import cv2
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from operators.metrics.quality import age, clustered_error_pixels, error_pixels, ms_ssim, ms_ssim_unscaled, mse, psnr, ssim


@pytest.fixture(scope="module")
def noisy(photo):
    noise = np.random.default_rng(1).normal(0, 12, photo.shape)
    return np.clip(photo + noise, 0, 255).astype(np.uint8)


def test_equal_pictures_have_infinite_psnr_and_an_ssim_of_exactly_one(photo):
    assert psnr(photo, photo) == math.inf
    assert ssim(photo, photo) == 1.0


def test_psnr_of_one_grey_level_is_the_textbook_value():
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert psnr(grey, grey + 1) == pytest.approx(20 * math.log10(255), abs=1e-12)


def test_psnr_of_black_against_white_is_zero():
    black = np.zeros((4, 4, 3), np.uint8)
    assert psnr(black, 255 - black) == 0.0


def test_psnr_agrees_with_scikit_image(photo, noisy):
    assert psnr(photo, noisy) == pytest.approx(peak_signal_noise_ratio(photo, noisy), abs=1e-9)


def test_ssim_agrees_with_scikit_image_on_the_luma(photo, noisy):
    one, other = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (photo, noisy))
    expected = structural_similarity(one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert ssim(photo, noisy) == pytest.approx(expected, abs=1e-5)


def test_psnr_and_ssim_do_not_depend_on_which_picture_comes_first(photo, noisy):
    assert psnr(photo, noisy) == psnr(noisy, photo)
    assert ssim(photo, noisy) == pytest.approx(ssim(noisy, photo), abs=1e-12)


def test_a_picture_smaller_than_the_window_has_no_ssim():
    small = np.zeros((10, 200, 3), np.uint8)
    assert math.isnan(ssim(small, small))
    assert ssim(np.zeros((11, 11, 3), np.uint8), np.zeros((11, 11, 3), np.uint8)) == 1.0


def test_equal_pictures_have_no_error(photo):
    assert [measure(photo, photo) for measure in (mse, age, error_pixels, clustered_error_pixels)] == [0, 0, 0, 0]
    assert ms_ssim(photo, photo) == ms_ssim_unscaled(photo, photo) == 1.0


def test_the_mean_squared_error_is_on_a_scale_from_zero_to_one():
    black = np.zeros((4, 4, 3), np.uint8)
    assert mse(black, 255 - black) == 1.0
    assert mse(black, black + 51) == pytest.approx(0.04, abs=1e-12)


def marked(*pixels, value=200):
    picture = np.zeros((10, 10, 3), np.uint8)
    for row, column in pixels:
        picture[row, column] = value
    return picture


def test_the_average_grey_error_is_in_grey_levels():
    assert age(marked(), marked((2, 3), (4, 4))) == 4.0


def test_a_pixel_is_an_error_beyond_twenty_grey_levels():
    assert error_pixels(marked(), marked((2, 3), value=20)) == 0.0
    assert error_pixels(marked(), marked((2, 3), (7, 7), value=21)) == 0.02


def test_an_error_is_clustered_if_its_four_neighbours_are_errors_too():
    cross = [(5, 5), (4, 5), (6, 5), (5, 4), (5, 6)]
    assert clustered_error_pixels(marked(), marked(*cross)) == 0.01
    assert clustered_error_pixels(marked(), marked(*cross[:4])) == 0.0
    assert clustered_error_pixels(marked(), marked((0, 0), (0, 1), (1, 0))) == 0.01


def test_similarity_over_scales_falls_with_noise_and_needs_room(photo, noisy):
    assert 0 < ms_ssim(photo, noisy) < 1
    assert 0 < ms_ssim_unscaled(photo, noisy) < ms_ssim(photo, noisy)
    small = np.zeros((175, 200, 3), np.uint8)
    assert math.isnan(ms_ssim(small, small))
    assert ms_ssim_unscaled(small, small) == 1.0
