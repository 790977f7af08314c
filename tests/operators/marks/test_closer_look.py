"""A closer look tells a mark from chance, and where it lies."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.stamps import stamp
from operators.marks.closer_look import Place, closer
from operators.marks.mark import Mark
from operators.marks.rendering import Pose
from operators.marks.view import View

TRUE = Pose(150.0, 120.0, 0.8, 1.0)
FACTOR = 0.3


@pytest.fixture
def view(photographs: dict[str, np.ndarray], white_mark: Mark) -> View:
    picture = next(iter(photographs.values()))
    return View.of(stamp(picture, white_mark, [TRUE], 90).picture, white_mark)


def test_a_place_that_is_a_little_wrong_is_put_right(view: View) -> None:
    wrong = Place(5.0, Pose(TRUE.x + 4, TRUE.y - 4, TRUE.scale * 1.04, TRUE.turn - 2.0), FACTOR)
    found = closer(view, [wrong], 0.04, 2.0)[0]
    assert np.hypot(found.pose.x - TRUE.x, found.pose.y - TRUE.y) < 2.5
    assert found.pose.scale == pytest.approx(TRUE.scale, rel=0.02)
    assert found.pose.turn == pytest.approx(TRUE.turn, abs=0.1)


def test_a_place_of_the_mark_is_far_likelier_than_one_beside_it(view: View) -> None:
    places = [Place(5.0, TRUE, FACTOR), *(Place(5.0, TRUE.moved(0, 40 * step), FACTOR) for step in (1, 2, 3))]
    true, *beside = closer(view, places, 0.04, 2.0)
    assert true.score > 1.5 * max(one.score for one in beside)


def test_no_turn_is_tried_for_a_mark_that_is_never_turned(view: View) -> None:
    assert closer(view, [Place(5.0, Pose(150.0, 120.0, 0.8), FACTOR)], 0.04, 0.0)[0].pose.turn == 0.0
