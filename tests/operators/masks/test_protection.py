"""What stays keeps its pixels: which pixels beside an edit belong to the text that stays."""

from __future__ import annotations

import numpy as np

from operators.masks.protection import beside, whole_letters
from operators.rows.box import Box

BOX = Box(100, 50, 80, 60)


def rectangle(left: int, top: int, right: int, bottom: int) -> list[list[float]]:
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


def test_the_polygon_that_stays_and_a_margin_around_it_are_protected() -> None:
    protected = beside([rectangle(100, 50, 130, 70)], [rectangle(145, 50, 175, 70)], BOX)
    assert protected[0:21, 45:76].all()
    assert protected[10, 41:45].all()
    assert not protected[10, 40]
    assert not protected[:, :32].any()


def test_of_overlapping_polygons_each_keeps_what_is_deeper_in_it() -> None:
    protected = beside([rectangle(100, 50, 179, 80)], [rectangle(100, 76, 179, 106)], BOX)
    assert not protected[:27].any()
    assert protected[29:57].all()


def test_the_middle_of_a_line_that_stays_is_its_own_in_whatever_polygon_it_lies() -> None:
    line, crooked = rectangle(100, 60, 179, 80), [[130, 50], [175, 95], [155, 109], [110, 64]]
    protected = beside([crooked], [line], BOX)
    assert protected[15:26, 5:75].all()
    assert not protected[45:, :].any()


def test_a_text_far_away_protects_nothing() -> None:
    assert not beside([rectangle(100, 50, 130, 70)], [rectangle(400, 50, 430, 70)], BOX).any()
    assert not beside([rectangle(100, 50, 130, 70)], [], BOX).any()


def test_a_letter_that_is_mostly_protected_is_protected_whole() -> None:
    protected = np.zeros((40, 40), bool)
    protected[20:] = True
    strokes = np.zeros((40, 40), np.uint8)
    strokes[12:35, 5:8] = 255
    strokes[2:25, 30:33] = 255
    result = whole_letters(protected, strokes)
    assert result[12:35, 5:8].all()
    assert not result[2:20, 28:35].any()
