"""Pieces of one line become one text; lines, columns and words beside it stay apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.masks.geometry import bounding_box, covers
from operators.vision.close_look import FoundText
from operators.vision.first_look import Cells
from operators.vision.join_lines import join_lines

WIDTH, HEIGHT = 800, 400


def piece(left: float, right: float, top: float = 100, bottom: float = 130, value: float = 0.9) -> FoundText:
    polygon = [[left, top], [right, top], [right, bottom], [left, bottom]]
    box = bounding_box([polygon], WIDTH, HEIGHT)
    return FoundText(polygon, 0.8, np.full((box.height, box.width), value, np.float32), box)


def cells(probability: float) -> list[Cells]:
    plane = np.full((HEIGHT // 8, WIDTH // 8), probability, np.float32)
    return [Cells(8.0, plane, plane, plane, plane)]


def test_pieces_that_overlap_become_one_line() -> None:
    (joined,) = join_lines([piece(100, 300), piece(260, 500)], cells(0.0), WIDTH, HEIGHT)
    assert sorted(joined.polygon) == [[100, 100], [100, 130], [500, 100], [500, 130]]
    assert (joined.box.x, joined.box.y, joined.box.width) == (100, 100, 401)


def test_the_map_of_a_joined_line_holds_both_maps() -> None:
    (joined,) = join_lines([piece(100, 300, value=0.4), piece(260, 500, value=0.9)], cells(0.0), WIDTH, HEIGHT)
    assert joined.probability.shape == (joined.box.height, joined.box.width)
    row = joined.probability[15]
    assert row[50] == pytest.approx(0.4) and row[180] == pytest.approx(0.9) and row[350] == pytest.approx(0.9)


def test_a_gap_in_which_the_first_look_sees_text_is_closed() -> None:
    texts = [piece(100, 300), piece(400, 600)]
    assert len(join_lines(texts, cells(0.8), WIDTH, HEIGHT)) == 1
    assert len(join_lines(texts, cells(0.3), WIDTH, HEIGHT)) == 2


@pytest.mark.parametrize(
    "other",
    [
        piece(120, 420, 140, 170),  # the next line
        piece(280, 500, 90, 150),  # much higher
        piece(320, 500),  # the next column of a table, a letter's height away
        piece(700, 790),  # far away
    ],
)
def test_other_lines_columns_and_heights_stay_apart(other: FoundText) -> None:
    texts = [piece(100, 300), other]
    assert join_lines(texts, cells(0.8), WIDTH, HEIGHT) == texts


def test_a_piece_within_the_line_is_left_to_those_who_drop_repeats() -> None:
    texts = [piece(100, 500), piece(200, 300)]
    assert join_lines(texts, cells(0.8), WIDTH, HEIGHT) == texts


@given(st.lists(st.tuples(st.integers(0, 700), st.integers(40, 90)), min_size=1, max_size=6))
def test_nothing_that_was_found_is_lost(spans: list[tuple[int, int]]) -> None:
    texts = [piece(left, left + long) for left, long in spans]
    joined = join_lines(texts, cells(0.0), WIDTH, HEIGHT)
    for text in texts:
        assert any(covers(one.polygon, text.polygon, 0.99) for one in joined)
