"""The axes on which a mark is seen before a picture."""

from __future__ import annotations

import cv2
import numpy as np

from operators.marks.view import Axes, View
from tests.operators.marks.conftest import letters


def halves(left: int, right: int) -> np.ndarray:
    picture = np.full((120, 160, 3), left, np.uint8)
    picture[:, 80:] = right
    return picture


def test_a_mark_is_between_grounds_that_are_lighter_and_darker() -> None:
    grey = letters("grey", (128, 128, 128), 0.5)
    assert Axes.of(halves(60, 200), grey).between is not None
    assert Axes.of(halves(60, 90), grey).between is None


def test_a_white_mark_is_between_no_grounds_because_none_is_lighter_than_white() -> None:
    white = letters("white", (255, 255, 255), 0.4)
    assert Axes.of(halves(60, 255), white).between is None


def test_only_a_coloured_mark_has_coloured_axes(photographs: dict[str, np.ndarray]) -> None:
    grey = cv2.cvtColor(cv2.cvtColor(photographs["coffee"], cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert Axes.of(grey, letters("red", (200, 30, 40), 0.5)).coloured
    assert not Axes.of(grey, letters("white", (255, 255, 255), 0.5)).coloured


def test_a_copy_is_reduced_once(photographs: dict[str, np.ndarray]) -> None:
    view = View.of(photographs["coffee"], letters("white", (255, 255, 255), 0.5))
    assert view.reduced(0.25) is view.reduced(0.25)
    assert view.reduced(0.25).shape[:2] == (90, 120)
