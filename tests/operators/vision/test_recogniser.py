"""The recogniser reads a line that is cut out of a picture and turned upright."""

from __future__ import annotations

import numpy as np
import pytest
from font_roboto import Roboto

from flows.evaluation.draw_text import Caption, draw, polygon_around
from operators.masks.geometry import straightened
from operators.vision.recogniser import recogniser, recogniser_identity

PAPER = np.full((300, 420, 3), 235, np.uint8)


def on_paper(text: str, angle: float = 0.0, size: int = 40) -> tuple[np.ndarray, list[list[float]]]:
    """A line on paper, and the polygon round it."""
    picture, coverage = draw(PAPER, Caption(text, Roboto, size, colour=(20, 20, 20), angle=angle))
    return picture, polygon_around(coverage)


@pytest.mark.parametrize("text", ["Hello World", "From $ 9.99", "SOLD OUT", "Page 17"])
def test_a_drawn_line_is_read_letter_by_letter(text: str) -> None:
    picture, polygon = on_paper(text)
    read, sure = recogniser().read(straightened(picture, polygon))
    assert read.replace(" ", "") == text.replace(" ", "")
    assert 0.9 < sure <= 1


@pytest.mark.parametrize("angle", [-80, -60, -46, -30, -10, 10, 30, 45, 60, 80])
def test_a_slanted_line_is_turned_upright_and_read(angle: int) -> None:
    picture, polygon = on_paper("Hello World", float(angle))
    line = straightened(picture, polygon)
    assert line.shape[1] > 4 * line.shape[0]
    assert recogniser().read(line)[0] == "Hello World"


def test_each_character_is_where_it_stands() -> None:
    picture, polygon = on_paper("Hello World")
    line = straightened(picture, polygon, margin=8)
    characters = recogniser().characters(line)
    places = [character.place for character in characters]
    assert places == sorted(places)
    height, width = line.shape[:2]
    assert places[0] * width == pytest.approx(8 + 0.35 * height, abs=0.3 * height)
    assert places[-1] * width == pytest.approx(width - 8 - 0.35 * height, abs=0.3 * height)


def test_nothing_is_read_on_blank_paper() -> None:
    assert recogniser().read(PAPER[:50, :200]) == ("", 0.0)
    assert recogniser().characters(PAPER[:50, :200]) == []


def test_each_character_has_its_own_probability() -> None:
    picture, polygon = on_paper("Page 17")
    characters = recogniser().characters(straightened(picture, polygon))
    assert "".join(character.text for character in characters).replace(" ", "") == "Page17"
    assert all(0.5 < character.probability <= 1 for character in characters)


def test_a_run_records_the_weights() -> None:
    identity = recogniser_identity()
    assert identity["alias"] == "pp-ocr-v6-rec-small"
    assert len(identity["sha256"]) == 64
