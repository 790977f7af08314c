"""The ground under a text is estimated from the pixels around it."""

from __future__ import annotations

import numpy as np
import pytest

from operators.masks.ground import Ground, estimate_ground

SHAPE = (120, 200)
HOLE = np.zeros(SHAPE, bool)
HOLE[45:75, 60:140] = True
NEAR = 24


def plain(noise: float = 0.0, level: tuple[float, float, float] = (180.0, 170.0, 150.0)) -> np.ndarray:
    """Ground of one colour with grain."""
    grain = np.random.default_rng(5).normal(0, noise, (*SHAPE, 3)) if noise else 0.0
    return np.clip(np.rint(np.array(level) + grain + np.zeros((*SHAPE, 3))), 0, 255).astype(np.uint8)


def slope() -> np.ndarray:
    """A gradient of one grey level a pixel."""
    across = np.broadcast_to(np.linspace(40, 239, 200)[None, :, None], (*SHAPE, 3))
    return np.rint(across).astype(np.uint8)


def hidden(picture: np.ndarray) -> np.ndarray:
    """The picture with black text over the whole hole."""
    result = picture.copy()
    result[HOLE] = 0
    return result


def estimate(picture: np.ndarray) -> Ground:
    return estimate_ground(hidden(picture), HOLE, NEAR)


@pytest.mark.parametrize("noise", [0.0, 2.0, 5.0])
def test_the_level_of_plain_ground_with_grain_is_right_to_one_grey_level(noise: float) -> None:
    ground = estimate(plain(noise))
    error = np.abs(ground.level[HOLE] - [180, 170, 150])
    assert np.percentile(error, 95) < 1
    assert error.max() < 2
    assert ground.noise == pytest.approx(noise, abs=0.3)
    assert ground.share(HOLE) == 1.0


def test_a_gradient_goes_on_under_the_text() -> None:
    ground = estimate(slope())
    assert np.abs(ground.level[HOLE] - slope()[HOLE]).max() < 3
    assert ground.share(HOLE) == 1.0


def test_grain_above_the_bound_is_texture_and_its_ground_unknown() -> None:
    assert estimate(plain(20.0)).share(HOLE) == 0.0


def test_grain_is_texture_in_the_dark_from_a_quarter_of_the_level_on() -> None:
    dark = (8.0, 8.0, 8.0)
    assert not estimate(plain(3.0, dark)).known.any()
    assert estimate(plain(0.8, dark)).known[HOLE].all()
    assert estimate(plain(3.0, (60.0, 60.0, 60.0))).known[HOLE].all()


def test_the_ground_is_unknown_where_an_object_runs_under_the_text_and_known_elsewhere() -> None:
    picture = plain()
    picture[:, 120:][np.random.default_rng(2).random((120, 80)) < 0.5] = (20, 60, 200)
    known = estimate(picture).known
    assert known[45:75, 60:90].all()
    assert not known[45:75, 125:140].any()


def test_a_ground_that_changes_as_fast_as_an_edge_is_unknown() -> None:
    picture = plain()
    picture[:60] = (60, 90, 200)
    known = estimate(picture).known
    assert not known[55:65, 80:120].any()


def share_between_letters(colour: tuple[int, int, int]) -> float:
    """The share of known ground if this colour is seen between the letters of a text."""
    picture, hole = hidden(plain()), HOLE.copy()
    for left in range(66, 140, 16):
        hole[50:70, left : left + 6] = False
        picture[50:70, left : left + 6] = colour
    return estimate_ground(picture, hole, NEAR).share(hole)


def test_traces_between_letters_do_not_make_plain_ground_unknown() -> None:
    assert share_between_letters((160, 175, 140)) == 1.0


def test_what_is_seen_between_letters_is_in_the_picture_if_it_differs_more_than_traces_do() -> None:
    assert share_between_letters((100, 120, 140)) < 0.5


def test_the_ground_of_a_narrow_panel_is_known_although_another_lies_beyond_its_edge() -> None:
    picture = plain()
    picture[:38] = picture[82:] = (60, 90, 200)
    ground = estimate(picture)
    assert ground.share(HOLE) == 1.0
    assert np.abs(ground.level[HOLE] - [180, 170, 150]).max() < 3


def test_without_a_plain_pixel_nothing_is_known() -> None:
    everything = np.ones(SHAPE, bool)
    ground = estimate_ground(plain(), everything, NEAR)
    assert ground.noise == float("inf")
    assert not ground.known.any()
