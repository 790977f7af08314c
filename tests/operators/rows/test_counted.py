"""Counts read as English."""

import pytest

from operators.rows.counted import counted


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 images"), (1, "1 image"), (2, "2 images"), (1_200_000, "1,200,000 images")]
)
def test_a_noun_has_an_s_unless_there_is_one(number: int, text: str) -> None:
    assert counted(number, "image") == text
