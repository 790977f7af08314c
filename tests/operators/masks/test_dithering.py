"""A dithered ground shows a few colours pixel by pixel; shapes and dots are no dithering."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from operators.masks.continued_ground import continue_ground
from operators.masks.dithering import MOST_COLOURS, is_dithered
from operators.masks.ground import estimate_ground

SHAPE = (120, 240)
HOLE = np.zeros(SHAPE, bool)
HOLE[45:75, 80:160] = True
NEAR = 24
EVERYWHERE = np.ones(SHAPE, bool)


def diffused(colour: tuple[int, int, int], slope: float = 0.0) -> np.ndarray:
    """A ground in the 216 colours of the web palette, dithered by the diffusion of errors."""
    smooth = np.array(colour) + slope * np.arange(SHAPE[1])[None, :, None] + np.zeros((*SHAPE, 1))
    picture = Image.fromarray(np.clip(smooth, 0, 255).astype(np.uint8)).convert("P", dither=Image.Dither.FLOYDSTEINBERG)
    return np.asarray(picture.convert("RGB"))


def regular(share: float) -> np.ndarray:
    """A ground of two colours in a regular pattern of 4 x 4 pixels; `share` of them are lighter."""
    order = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]])
    lighter = np.tile(order, (SHAPE[0] // 4, SHAPE[1] // 4)) < 16 * share
    return np.where(lighter[:, :, None], (230, 200, 180), (180, 150, 130)).astype(np.uint8)


def filled(picture: np.ndarray) -> np.ndarray:
    """The picture after black text over the whole hole was filled."""
    hidden = picture.copy()
    hidden[HOLE] = 0
    return continue_ground(hidden, HOLE, estimate_ground(hidden, HOLE, NEAR), seed=0)


@pytest.mark.parametrize("picture", [diffused((202, 210, 220)), regular(0.25), regular(0.5)])
def test_diffused_errors_and_regular_patterns_are_dithering(picture: np.ndarray) -> None:
    assert is_dithered(picture, EVERYWHERE)


def test_flat_ground_lines_shapes_and_halftone_dots_are_no_dithering() -> None:
    flat = np.full((*SHAPE, 3), 200, np.uint8)
    shape, dots, ruled = flat.copy(), flat.copy(), flat.copy()
    ruled[4::8] = 90
    shape[30:90, 50:150] = 40
    for y in range(4, SHAPE[0], 8):
        for x in range(4, SHAPE[1], 8):
            cv2.circle(dots, (x, y), 2, (90, 90, 90), -1)
    assert not any(is_dithered(picture, EVERYWHERE) for picture in (flat, shape, dots, ruled))


def test_grain_in_many_colours_is_no_dithering() -> None:
    grain = np.random.default_rng(1).integers(0, MOST_COLOURS + 8, (*SHAPE, 1), np.uint8).repeat(3, axis=2)
    assert not is_dithered(grain + 100, EVERYWHERE)


def test_the_fine_grain_of_a_jpeg_file_is_no_dithering() -> None:
    grain = np.random.default_rng(1).integers(-2, 3, (*SHAPE, 1)).repeat(3, axis=2)
    assert not is_dithered((grain + 250).astype(np.uint8), EVERYWHERE)


def test_the_level_of_a_dithered_ground_is_the_mean_of_all_its_pixels() -> None:
    ground = estimate_ground(diffused((202, 210, 220)), HOLE, NEAR)
    assert ground.dithered
    assert ground.share(HOLE) == 1.0
    assert np.abs(ground.level[HOLE].mean(axis=0) - (202, 210, 220)).max() < 1.5


def test_a_dithered_ground_goes_on_in_the_colours_of_its_palette_and_at_its_level() -> None:
    picture = diffused((202, 210, 220), slope=-0.2)
    fill = filled(picture)
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()}
    assert {tuple(colour) for colour in fill[HOLE].tolist()} <= colours
    near, far = (cv2.GaussianBlur(each.astype(np.float32), (0, 0), 6.0) for each in (fill, picture))
    assert np.abs(near - far).max() < 6


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_regular_pattern_goes_on_without_a_break(share: float) -> None:
    assert np.array_equal(filled(regular(share)), regular(share))


def test_a_line_on_flat_ground_is_still_no_part_of_its_level() -> None:
    picture = np.full((*SHAPE, 3), 200, np.uint8)
    picture[60] = (40, 40, 40)
    ground = estimate_ground(picture, HOLE, NEAR)
    assert not ground.dithered
    assert np.abs(ground.level[HOLE] - 200).max() < 1
