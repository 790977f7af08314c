"""Strokes over a face are measured by what they would make up: features, and ground not known."""

from __future__ import annotations

import numpy as np
import pytest

from operators.metrics.face_damage import face_figures
from operators.vision.face_detector import Face

FACE = Face(50.0, 20.0, 100.0, 120.0, 0.9, ((75.0, 60.0), (125.0, 60.0), (100.0, 85.0), (82.0, 115.0), (118.0, 115.0)))
SHAPE = (160, 300)
SKIN = np.ones(SHAPE, bool)
"""The ground of every pixel is known, as on smooth skin."""


def strokes(top: int, height: int, left: int, width: int) -> np.ndarray:
    edited = np.zeros(SHAPE, bool)
    edited[top : top + height, left : left + width] = True
    return edited


def test_an_edit_beside_the_face_does_not_touch_it() -> None:
    edited = strokes(100, 9, 170, 60)
    assert face_figures([FACE], edited, ~SKIN) == {"on_face": 0.0, "face_strokes": 0.0}
    assert face_figures([], strokes(100, 9, 80, 60), ~SKIN) == {"on_face": 0.0, "face_strokes": 0.0}


def test_strokes_over_smooth_skin_between_the_features_make_nothing_up() -> None:
    figures = face_figures([FACE], strokes(32, 9, 90, 20), SKIN)
    assert figures == {"on_face": 1.0, "face_strokes": 0.0}


@pytest.mark.parametrize("height", [3, 9, 15])
def test_strokes_over_unknown_ground_count_by_their_thickness_in_face_widths(height: int) -> None:
    figures = face_figures([FACE], strokes(32, height, 80, 40), ~SKIN)
    assert figures["face_strokes"] == pytest.approx((height + 1) / 100, abs=0.011)


def test_strokes_over_an_eye_count_although_the_skin_around_them_is_smooth() -> None:
    assert face_figures([FACE], strokes(55, 9, 60, 30), SKIN)["face_strokes"] == pytest.approx(0.1, abs=0.011)


def test_half_of_a_text_on_a_face_is_a_half() -> None:
    assert face_figures([FACE], strokes(78, 5, 100, 100), SKIN)["on_face"] == pytest.approx(0.5, abs=0.02)


def test_of_several_faces_the_worst_counts() -> None:
    small = Face(200.0, 40.0, 40.0, 60.0, 0.9, ((220.0, 70.0),))
    edited = strokes(66, 9, 60, 180)
    alone = face_figures([small], edited, SKIN)["face_strokes"]
    assert alone == pytest.approx(10 / 40, abs=0.02)
    assert face_figures([FACE, small], edited, SKIN)["face_strokes"] == alone
