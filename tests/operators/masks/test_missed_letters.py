"""Letters that strokes miss are found by their ink, and things that are no letters are not."""

from __future__ import annotations

import numpy as np
import pytest

from operators.masks.missed_letters import missed_letters

SHAPE = (120, 300)
PANEL = np.ones(SHAPE, bool)


def bars(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Solid boxes (left, top, width, height) in place of letters."""
    drawn = np.zeros(SHAPE, bool)
    for left, top, width, height in boxes:
        drawn[top : top + height, left : left + width] = True
    return drawn


def polygon(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    inside = np.zeros(SHAPE, np.uint8)
    inside[top:bottom, left:right] = 255
    return inside


WORD = [(40 + 16 * number, 40, 12, 20) for number in range(6)]


@pytest.mark.parametrize("missed", [(2,), (2, 3, 4), (0,), (5,), (4, 5)])
def test_letters_in_the_polygon_are_found_wherever_the_strokes_miss_them(missed: tuple[int, ...]) -> None:
    letters = bars(*(box for number, box in enumerate(WORD) if number not in missed))
    found = missed_letters(bars(*WORD), letters, PANEL, polygon(34, 30, 140, 70))
    assert np.array_equal(found, bars(*(WORD[number] for number in missed)))


def test_a_word_is_completed_beyond_the_polygon_and_the_next_word_is_not_taken() -> None:
    following = [(160, 40, 12, 20), (176, 40, 12, 20)]
    found = missed_letters(bars(*WORD, *following), bars(*WORD[:4]), PANEL, polygon(34, 30, 102, 70))
    assert np.array_equal(found, bars(*WORD[4:]))


def test_an_icon_a_gap_away_is_no_letter_although_the_polygon_holds_it() -> None:
    icon = (14, 40, 14, 20)
    assert not missed_letters(bars(*WORD, icon), bars(*WORD), PANEL, polygon(10, 30, 140, 70)).any()


@pytest.mark.parametrize("thing", [(136, 8, 12, 60), (136, 55, 30, 4), (136, 64, 12, 20)], ids=["tall", "low", "another line"])
def test_what_is_not_as_high_or_not_in_the_line_is_not_taken_beyond_the_polygon(thing: tuple[int, int, int, int]) -> None:
    assert not missed_letters(bars(*WORD, thing), bars(*WORD), PANEL, polygon(34, 30, 134, 70)).any()


def test_a_dot_beside_a_letter_in_the_polygon_is_found() -> None:
    dot = (136, 56, 4, 4)
    found = missed_letters(bars(*WORD, dot), bars(*WORD), PANEL, polygon(34, 30, 146, 70))
    assert np.array_equal(found, bars(dot))


def test_a_column_of_letters_is_completed_downwards() -> None:
    column = [(100, 10 + 22 * number, 18, 18) for number in range(4)]
    found = missed_letters(bars(*column), bars(*column[:2]), PANEL, polygon(94, 4, 124, 54))
    assert np.array_equal(found, bars(*column[2:]))


def test_what_reaches_beyond_the_panel_is_no_letter() -> None:
    panel = PANEL.copy()
    panel[:, 142:] = False
    assert not missed_letters(bars(*WORD, (136, 40, 12, 20)), bars(*WORD), panel, polygon(34, 30, 150, 70)).any()


def test_more_than_the_letters_themselves_is_a_thing() -> None:
    assert not missed_letters(bars(*WORD), bars(*WORD[:2]), PANEL, polygon(34, 30, 140, 70)).any()


def test_without_letters_nothing_is_missed() -> None:
    assert not missed_letters(bars(*WORD), bars(), PANEL, polygon(34, 30, 140, 70)).any()
