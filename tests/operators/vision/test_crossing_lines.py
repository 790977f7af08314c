"""A grid of letters is read in one direction; lines that cross alone stay."""

from __future__ import annotations

import numpy as np
import pytest

from operators.masks.geometry import bounding_box
from operators.vision.close_look import FoundText
from operators.vision.crossing_lines import without_crossings

WIDTH, HEIGHT = 400, 400


def line(left: float, top: float, right: float, bottom: float) -> FoundText:
    polygon = [[left, top], [right, top], [right, bottom], [left, bottom]]
    box = bounding_box([polygon], WIDTH, HEIGHT)
    return FoundText(polygon, 0.8, np.ones((box.height, box.width), np.float32), box)


COLUMNS = [line(left, 50, left + 40, 290) for left in (50, 100, 150)]
ROWS = [line(45, top, 195, top + 40) for top in (60, 110, 240)]


@pytest.mark.parametrize("texts", [[*COLUMNS, *ROWS], [*ROWS, *COLUMNS]])
def test_of_columns_and_rows_over_the_same_letters_those_stay_that_cover_more(texts: list[FoundText]) -> None:
    assert [text.polygon for text in without_crossings(texts, WIDTH, HEIGHT)] == [text.polygon for text in COLUMNS]


def test_rows_stay_if_they_cover_more() -> None:
    short = [line(left, 60, left + 40, 160) for left in (50, 100)]
    assert [text.polygon for text in without_crossings([*short, *ROWS], WIDTH, HEIGHT)] == [text.polygon for text in ROWS]


def test_what_stays_holds_what_it_crosses() -> None:
    for column in without_crossings([*COLUMNS, *ROWS], WIDTH, HEIGHT):
        assert [row.polygon for row in column.covered] == [row.polygon for row in ROWS]


def test_one_line_that_crosses_others_stays_as_they_do() -> None:
    texts = [COLUMNS[0], *ROWS]
    assert without_crossings(texts, WIDTH, HEIGHT) == texts


def test_lines_beside_each_other_stay() -> None:
    texts = [*COLUMNS, *(line(220, top, 380, top + 40) for top in (60, 110, 160))]
    assert without_crossings(texts, WIDTH, HEIGHT) == texts
