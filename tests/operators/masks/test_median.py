"""The median by counting is that of sorting."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.masks.median import median_level, median_of_counts


@given(st.lists(st.integers(0, 255), min_size=1, max_size=60))
def test_median_of_levels_is_that_of_numpy(levels: list[int]) -> None:
    assert median_level(np.array(levels, np.uint8)) == np.median(levels)


def test_median_of_an_even_number_lies_between_the_two_in_the_middle() -> None:
    assert median_level(np.array([[0, 0], [9, 9]], np.uint8)) == 4.5


def test_median_of_counts_knows_numbers_beyond_grey_levels() -> None:
    assert median_of_counts(np.bincount([510, 510, 3])) == 510
