"""A rule that letters cover is seen in every gap between them, and a bar of a letter is not."""

from __future__ import annotations

import numpy as np

from operators.masks.covered_lines import covered_lines

PAPER, RULE, INK = (244, 246, 240), (176, 180, 178), np.array([24.0, 24.0, 28.0])
ROW, STEMS = 40, range(20, 261, 40)


def page(first: int, last: int, over_ink: bool = False, gap: tuple[int, int] = (0, 0)) -> np.ndarray:
    """What is found of a level rule from `first` to `last` below stems of letters, or over them."""
    picture = np.full((80, 300, 3), PAPER, np.uint8)
    if not over_ink:
        picture[ROW, first:last] = RULE
    for left in STEMS:
        picture[10:70, left : left + 12] = INK
    if over_ink:
        picture[ROW, first:last] = RULE
    picture[ROW, gap[0] : gap[1]] = PAPER
    thin = np.zeros((80, 300), bool)
    thin[ROW] = (picture[ROW] == RULE).all(axis=1)
    return covered_lines(picture, thin, INK, 60.0)


def test_a_rule_between_stems_is_found_in_every_gap() -> None:
    found = page(20, 272)
    assert all(found[ROW, left + 15 : left + 37].all() for left in STEMS[:-1])
    assert found.sum(axis=1).nonzero()[0].tolist() == [ROW]


def test_a_bar_between_two_stems_alone_is_no_rule() -> None:
    assert not page(20, 72).any()


def test_a_line_over_the_ink_is_not_covered_by_it() -> None:
    assert not page(20, 272, over_ink=True).any()


def test_what_lies_beyond_a_gap_of_paper_is_no_part_of_a_rule_unless_it_is_long_enough() -> None:
    found = page(20, 272, gap=(155, 235))
    assert found[ROW, 35:57].all() and not found[ROW, 155:].any()
