"""The alpha of a fill: uniform where its surroundings are, else with the edges of the fill."""

import numpy as np
import pytest

from operators.masks.alpha import fill_alpha, lift_fill, paste_on_grounds
from operators.masks.mask import BLEND, CORE
from operators.rows.transparency import Transparency, lay

HEIGHT, WIDTH = 60, 120
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[25:35, 30:90] = True
MASK = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
MASK[HOLE, CORE] = MASK[HOLE, BLEND] = 255
LETTERS = np.zeros_like(HOLE)
LETTERS[27:33, 35:85:2] = True


def disc():
    """An orange disc with a soft edge on nothing, which the hole crosses."""
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    alpha = np.clip(60.5 - np.hypot(down - 30, across), 0, 1)
    return np.full((HEIGHT, WIDTH, 3), (240, 120, 30), np.uint8), np.rint(alpha * 255).astype(np.uint8)


def fading():
    """One colour whose alpha rises from left to right."""
    alpha = np.tile(np.linspace(0, 255, WIDTH), (HEIGHT, 1))
    return np.full((HEIGHT, WIDTH, 3), (200, 80, 20), np.uint8), np.rint(alpha).astype(np.uint8)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_where_the_surroundings_have_one_alpha_the_hole_has_it_too(level):
    alpha = np.full((HEIGHT, WIDTH), level, np.uint8)
    alpha[LETTERS] = 255 - level
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    assert (fill_alpha(noise, noise, alpha, HOLE) == level).all()


def test_a_few_opaque_pixels_beside_the_hole_do_not_shine_into_it():
    colours, alpha = disc()
    pixels = lay(colours, alpha, 255)
    hole = np.zeros_like(HOLE)
    hole[25:35, 64:110] = True
    noisy = 255 - np.random.default_rng(0).integers(0, 4, (HEIGHT, WIDTH, 3))
    filled = fill_alpha(pixels, np.where(hole[:, :, None], noisy, pixels).astype(np.uint8), alpha, hole)
    assert (filled[hole] == 0).all()


def test_a_text_that_does_not_show_in_the_alpha_leaves_it_as_it_is():
    _, alpha = fading()
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels = lay(np.where(LETTERS[:, :, None], 0, noise).astype(np.uint8), alpha, 255)
    assert np.array_equal(fill_alpha(pixels, lay(noise, alpha, 255), alpha, HOLE), alpha)


@pytest.mark.parametrize("picture", [disc, fading])
def test_the_alpha_has_its_edge_where_the_fill_has_it(picture):
    colours, alpha = picture()
    truth = lay(colours, alpha, 255)
    written, pixels = alpha.copy(), truth.copy()
    written[LETTERS], pixels[LETTERS] = 255, 0
    filled = fill_alpha(pixels, truth, written, HOLE)
    assert np.abs(filled.astype(int) - alpha).max() <= 6
    assert np.array_equal(filled[~HOLE], written[~HOLE])


def test_a_fill_of_the_grounds_colour_is_opaque_where_all_around_is():
    colours = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    alpha = np.full((HEIGHT, WIDTH), 255, np.uint8)
    alpha[:, 80:] = 0
    pixels = lay(colours, alpha, 255)
    fill = pixels.copy()
    fill[28:32, 34:62] = 255
    filled = fill_alpha(pixels, fill, np.where(LETTERS, 255, alpha).astype(np.uint8), HOLE)
    assert (filled[28:32, 34:62] == 255).all()
    assert filled[28:32, 86:].max() <= 5


def test_without_a_known_pixel_the_alpha_stays():
    pixels, alpha = np.zeros((4, 4, 3), np.uint8), np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert np.array_equal(fill_alpha(pixels, pixels, alpha, np.ones((4, 4), bool)), alpha)


def test_a_good_fill_shows_the_truth_on_every_ground():
    colours, alpha = disc()
    written, marked = alpha.copy(), colours.copy()
    written[LETTERS], marked[LETTERS] = 255, 10
    results = paste_on_grounds(lay(marked, written, 255), lay(colours, alpha, 255), MASK, Transparency(written, 255))
    for result, ground in zip(results, (255, 0, 128), strict=True):
        assert np.abs(result.astype(int) - lay(colours, alpha, ground)).max() <= 6


def test_a_clear_fill_is_clear_although_it_has_the_colour_of_the_ground():
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    alpha = np.where(LETTERS, 255, 0).astype(np.uint8)
    _, filled = lift_fill(pixels, pixels, MASK, Transparency(alpha, 255))
    assert not filled.any()
