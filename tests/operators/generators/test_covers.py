"""Covers hide for good: nothing of the letters enters them but one mean colour."""

from __future__ import annotations

import numpy as np
import pytest

from operators.generators.covers import COVERS

AREA = np.zeros((60, 120), bool)
AREA[20:40, 10:110] = True


@pytest.fixture
def letters() -> np.ndarray:
    return np.random.default_rng(5).random((20, 100)) < 0.3


def picture(letters: np.ndarray) -> np.ndarray:
    pixels = np.full((60, 120, 3), (230, 220, 200), np.uint8)
    pixels[20:40, 10:110][letters] = (20, 30, 60)
    return pixels


@pytest.mark.parametrize("how", COVERS)
def test_other_letters_with_as_much_ink_give_the_same_cover(how: str, letters: np.ndarray) -> None:
    first, second = (picture(drawn) for drawn in (letters, letters[::-1, ::-1]))
    assert (first != second).any()
    covered = [COVERS[how](pixels, AREA, AREA, 20.0, 7) for pixels in (first, second)]
    assert (covered[0] == covered[1]).all()
    assert (covered[0][~AREA] == first[~AREA]).all()


def test_a_colour_is_that_of_the_ground_around(letters: np.ndarray) -> None:
    covered = COVERS["color"](picture(letters), AREA, AREA, 20.0, 0)
    assert (covered == (230, 220, 200)).all()


def test_blocks_are_plain_and_a_seed_changes_them(letters: np.ndarray) -> None:
    pixels = picture(letters)
    first, second = (COVERS["pixelate"](pixels, AREA, AREA, 20.0, seed) for seed in (1, 2))
    assert (first != second).any()
    assert (first[24:36, 12:24] == first[24, 12]).all()


def test_an_area_that_is_all_of_the_crop_is_covered_too() -> None:
    pixels = np.full((8, 8, 3), 90, np.uint8)
    for cover in COVERS.values():
        assert (cover(pixels, np.ones((8, 8), bool), np.ones((8, 8), bool), 8.0, 0) == 90).all()
