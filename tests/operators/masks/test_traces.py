"""The shadow and the glow of letters go with them, and what is beside the letters stays."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from operators.masks.ground import estimate_ground
from operators.masks.ground_cache import GroundCache
from operators.masks.mask import dilated
from operators.masks.traces import difference_from, with_shadow

SHAPE = (200, 420)
HEIGHT, REACH, LEAST = 40.0, 16, 2.0
NO_LINES = np.zeros(SHAPE, bool)


def letters() -> np.ndarray:
    """A word in the middle, 0 or 255."""
    canvas = Image.new("L", (SHAPE[1], SHAPE[0]), 0)
    ImageDraw.Draw(canvas).text((210, 100), "HOLD", fill=255, font=ImageFont.load_default(44), anchor="mm")
    return np.where(np.asarray(canvas) > 0, 255, 0).astype(np.uint8)


def page(slope: float = 0.0, grain: float = 0.0) -> np.ndarray:
    level = 170 + slope * np.linspace(-1, 1, SHAPE[1])[None, :, None] + np.zeros((*SHAPE, 3))
    return level + np.random.default_rng(1).normal(0, grain, (*SHAPE, 3)) if grain else level


def drawn(level: np.ndarray, light: np.ndarray) -> np.ndarray:
    """The page with light (grey levels, may be negative) and the black letters on it."""
    picture = np.clip(level + light[:, :, None], 0, 255)
    picture[letters() > 0] = 10
    return np.rint(picture).astype(np.uint8)


def shadow(offset: int, blur: float) -> np.ndarray:
    moved = np.roll(letters(), (offset, offset), axis=(0, 1)).astype(np.float32)
    return -100 * cv2.GaussianBlur(moved, (0, 0), blur) / 255


def glow(blur: float) -> np.ndarray:
    return 120 * np.clip(2 * cv2.GaussianBlur(letters().astype(np.float32), (0, 0), blur) / 255, 0, 1)


def found(picture: np.ndarray, lines: np.ndarray = NO_LINES) -> np.ndarray:
    return with_shadow(GroundCache(picture, 2 * REACH), letters(), HEIGHT, lines, REACH, LEAST) > 0


@pytest.mark.parametrize("slope", [0.0, 20.0])
@pytest.mark.parametrize("grain", [0.0, 1.5])
@pytest.mark.parametrize(("light", "left"), [(shadow(6, 3.0), 10), (glow(8.0), 10)], ids=["shadow", "glow"])
def test_a_shadow_and_a_glow_are_found_whole(light: np.ndarray, left: int, slope: float, grain: float) -> None:
    inside = found(drawn(page(slope, grain), light))
    assert inside[letters() > 0].all()
    assert np.abs(light[~inside]).max() < left


@pytest.mark.parametrize("grain", [0.0, 1.5])
def test_letters_without_a_shadow_stay_as_they_are(grain: float) -> None:
    inside = found(drawn(page(0.0, grain), np.zeros(SHAPE)))
    # Grain is smoothed before traces are followed, which widens the letters a little.
    assert np.array_equal(inside, letters() > 0) if grain == 0 else not (inside & (dilated(letters(), 4) == 0)).any()


def test_an_object_that_goes_on_is_no_shadow() -> None:
    light = np.zeros(SHAPE)
    light[95:105, 200:] = -60
    inside = found(drawn(page(), light))
    assert not inside[100, 300:].any()


def test_on_two_panels_nothing_is_taken_for_a_shadow() -> None:
    light = np.zeros(SHAPE)
    light[:70] = 25
    inside = found(drawn(page(), light))
    assert not (inside & ~(dilated(letters(), 4) > 0)).any()


def test_the_lines_of_the_page_do_not_belong_to_a_shadow() -> None:
    light = shadow(6, 3.0)
    lines = NO_LINES.copy()
    lines[126] = True
    light[126] = -60
    inside = found(drawn(page(), light), lines)
    assert not (inside[126] & (letters()[126] == 0)).any()


def test_a_difference_is_visible_from_the_least_level_or_from_the_grain() -> None:
    quiet, grainy = page(), page(0.0, 3.0)
    for level, expected in ((quiet, LEAST), (grainy, 2.5 * 3.0 * 0.29)):
        picture = drawn(level, np.zeros(SHAPE))
        ground = estimate_ground(picture, dilated(letters(), 8) > 0, 32)
        _, visible = difference_from(ground, picture, LEAST)
        assert visible == pytest.approx(expected, rel=0.25)
