"""The ground goes on through a hole: its level, its grain and its lines."""

from __future__ import annotations

import numpy as np
import pytest

from operators.masks.continued_ground import continue_ground
from operators.masks.ground import Ground, estimate_ground

SHAPE = (120, 200)
HOLE = np.zeros(SHAPE, bool)
HOLE[45:75, 60:140] = True
NEAR = 24


def plain(noise: float = 0.0, level: tuple[float, float, float] = (180.0, 170.0, 150.0)) -> np.ndarray:
    """Ground of one colour with grain."""
    grain = np.random.default_rng(5).normal(0, noise, (*SHAPE, 3)) if noise else 0.0
    return np.clip(np.rint(np.array(level) + grain + np.zeros((*SHAPE, 3))), 0, 255).astype(np.uint8)


def hidden(picture: np.ndarray) -> np.ndarray:
    """The picture with black text over the whole hole."""
    result = picture.copy()
    result[HOLE] = 0
    return result


def estimate(picture: np.ndarray) -> Ground:
    return estimate_ground(hidden(picture), HOLE, NEAR)


def filled(picture: np.ndarray, seed: int = 0) -> np.ndarray:
    return continue_ground(hidden(picture), HOLE, estimate(picture), seed)


def test_flat_ground_is_filled_exactly_and_nothing_else_changes() -> None:
    assert np.array_equal(filled(plain()), plain())


def test_the_fill_has_the_grain_of_the_ground() -> None:
    fill = filled(plain(4.0))
    assert np.array_equal(fill[~HOLE], plain(4.0)[~HOLE])
    for channel in range(3):
        assert fill[HOLE][:, channel].std() == pytest.approx(4.0, abs=0.5)


def test_the_ringing_of_letters_is_no_grain_of_the_ground() -> None:
    picture, ringing = plain(1.0), plain(3.5)
    beside = HOLE.copy()
    beside[40:80, 55:145] = True
    picture[beside] = ringing[beside]
    fill = filled(picture)
    for channel in range(3):
        assert fill[HOLE][:, channel].std() < 1.8


@pytest.mark.parametrize("upright", [False, True])
def test_a_line_through_the_hole_goes_on_exactly(upright: bool) -> None:
    picture = plain()
    if upright:
        picture[:, 100:102] = (30, 30, 40)
    else:
        picture[60:62] = (30, 30, 40)
    assert np.array_equal(filled(picture), picture)


def test_a_line_that_ends_at_the_hole_does_not_go_on() -> None:
    picture = plain()
    picture[60:62, :60] = (30, 30, 40)
    assert np.array_equal(filled(picture)[HOLE], plain()[HOLE])


@pytest.mark.parametrize("rise", [0.02, 0.04, 0.08])
@pytest.mark.parametrize("upright", [False, True])
def test_a_gradient_without_grain_is_no_line_and_goes_on_within_a_level(rise: float, upright: bool) -> None:
    rows, columns = np.indices(SHAPE)
    slope = rise * (rows if upright else columns)
    picture = np.rint(np.stack([150 + slope, 200 - slope, 210 + slope / 2], axis=2)).astype(np.uint8)
    assert np.abs(filled(picture).astype(int) - picture).max() <= 1


def test_a_line_on_a_gradient_goes_on() -> None:
    picture = np.broadcast_to(np.rint(150 + 0.06 * np.arange(SHAPE[1]))[None, :, None], (*SHAPE, 3)).astype(np.uint8)
    lined = picture.copy()
    lined[60:62] = (30, 30, 40)
    assert np.abs(filled(lined).astype(int) - lined).max() <= 1


def test_a_ruled_page_keeps_all_its_lines() -> None:
    picture = plain()
    picture[10::16] = (120, 150, 200)
    assert np.array_equal(filled(picture), picture)


def test_the_same_seed_gives_the_same_fill() -> None:
    picture = plain(4.0)
    assert np.array_equal(filled(picture, 3), filled(picture, 3))


def test_a_line_goes_on_between_words_whose_ringing_touches_it() -> None:
    picture = plain()
    picture[60] = (120, 118, 110)
    shown, hole = hidden(picture), HOLE.copy()
    hole[45:75, 95:110] = False
    shown[60, 58:60] = shown[60, 140:142] = (160, 150, 140)
    shown[45:75, 95:110] = picture[45:75, 95:110]
    filled_line = continue_ground(shown, hole, estimate_ground(shown, hole, NEAR), 0)[60]
    assert np.abs(filled_line[hole[60]].astype(int) - picture[60, 0]).max() <= 2


def test_a_line_that_is_not_seen_between_the_letters_does_not_cross_them() -> None:
    picture = plain()
    picture[58:64, :60] = picture[58:64, 140:] = (30, 30, 40)
    shown, hole = hidden(picture), HOLE.copy()
    hole[45:75, 95:110] = False
    shown[45:75, 95:110] = picture[45:75, 95:110]
    filled = continue_ground(shown, hole, estimate_ground(shown, hole, NEAR), 0)
    assert np.array_equal(filled[58:64][hole[58:64]], plain()[58:64][hole[58:64]])


def test_a_band_of_another_colour_beyond_the_lines_of_a_table_does_not_run_through_its_cells() -> None:
    """Cells of white and blue rows with letters in each: more than half of the gaps is white."""
    picture = np.full((150, 90, 3), 255, np.uint8)
    picture[50:90] = (230, 238, 246)
    for row in (9, 49, 90, 130):
        picture[row] = (150, 156, 166)
    hole = np.zeros((150, 90), bool)
    for top in (18, 62, 106):
        hole[top : top + 16, 30:34] = hole[top : top + 16, 40:44] = True
    ground = estimate_ground(picture, hole, 24)
    filled = continue_ground(picture, hole, ground, 1)
    assert (filled[62:78, 30:44] == (230, 238, 246)).all()
    assert (filled[18:34, 30:44] == 255).all()
