"""The detector and the recogniser find and read text that is left, and none that is gone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from font_roboto import Roboto, RobotoBold

from flows.evaluation.draw_text import Caption, draw, draw_all, polygon_around
from operators.metrics.legibility import characters_read, detect_text, eraseness
from operators.vision.text_detector import Scale

PAPER = np.full((300, 420, 3), 235, np.uint8)
LINES = (Caption("Copyright 2024", RobotoBold, 36, 0.5, 0.3), Caption("Do not copy", RobotoBold, 32, 0.5, 0.7))


def on_paper(text: str, angle: float = 0.0, size: int = 40) -> tuple[np.ndarray, list[list[float]]]:
    """A line on paper, and the polygon round it."""
    picture, coverage = draw(PAPER, Caption(text, Roboto, size, colour=(20, 20, 20), angle=angle))
    return picture, polygon_around(coverage)


@pytest.fixture(scope="module")
def marked(photo: np.ndarray) -> np.ndarray:
    return draw_all(photo, LINES)[0]


@pytest.fixture(scope="module")
def texts(photo: np.ndarray) -> list[list[list[float]]]:
    return [polygon_around(draw(photo, line)[1]) for line in LINES]


@pytest.mark.parametrize("text", ["Hello World", "From $ 9.99"])
def test_characters_count_without_their_spaces(text: str) -> None:
    picture, polygon = on_paper(text)
    assert characters_read(picture, polygon) == len(text.replace(" ", ""))


def test_nothing_is_read_where_nothing_is_written(photo: np.ndarray, texts: list[list[list[float]]]) -> None:
    assert [characters_read(photo, text) for text in texts] == [0, 0]


def test_characters_read_without_confidence_do_not_count() -> None:
    picture, polygon = on_paper("Hello World")
    assert characters_read(picture, polygon, least_confidence=1.01) == 0


def test_the_detector_sees_one_polygon_a_line_and_none_on_the_clean_picture(marked: np.ndarray, photo: np.ndarray) -> None:
    assert len(detect_text(marked)) == 2
    assert len(detect_text(marked, Scale(512, 512))) == 2
    assert detect_text(photo) == []


def test_text_that_is_still_there_has_an_eraseness_of_one(marked: np.ndarray, texts: list[list[list[float]]]) -> None:
    found = eraseness(marked, texts)
    assert (found.precision, found.recall, found.f) == (1.0, 1.0, 1.0)


def test_a_clean_picture_has_an_eraseness_of_zero(photo: np.ndarray, texts: list[list[list[float]]]) -> None:
    found = eraseness(photo, texts)
    assert (found.precision, found.recall, found.f) == (0.0, 0.0, 0.0)


def test_half_the_text_left_is_half_the_recall(photo: np.ndarray, texts: list[list[list[float]]]) -> None:
    half = draw(photo, LINES[0])[0]
    found = eraseness(half, texts)
    assert (found.precision, found.recall) == (1.0, 0.5)
    assert found.f == pytest.approx(2 / 3)


def test_text_somewhere_else_lowers_the_precision_only(marked: np.ndarray, texts: list[list[list[float]]]) -> None:
    found = eraseness(marked, texts[:1])
    assert (found.precision, found.recall) == (0.5, 1.0)


def test_detections_on_the_clean_picture_too_do_not_count(
    marked: np.ndarray, photo: np.ndarray, texts: list[list[list[float]]]
) -> None:
    assert eraseness(marked, texts, clean=photo) == eraseness(marked, texts)
    excused = eraseness(marked, texts, clean=marked)
    assert (excused.precision, excused.recall, excused.f) == (0.0, 0.0, 0.0)
    sign = draw(photo, LINES[0])[0]
    assert eraseness(marked, texts[1:], clean=sign).precision == 1.0
    assert eraseness(marked, texts, clean=sign).recall == 0.5


def test_without_texts_there_is_nothing_to_erase(marked: np.ndarray) -> None:
    found = eraseness(marked, [])
    assert all(math.isnan(value) for value in (found.precision, found.recall, found.f))
