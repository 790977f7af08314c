"""A line is read whichever way up it is, and parted between two of its characters."""

from __future__ import annotations

import numpy as np
import pytest

from flows.evaluation.draw_text import Caption, draw
from operators.vision.line_reading import read_line


def drawn(text: str, angle: float = 0.0, **style: bool) -> tuple[np.ndarray, list[list[float]], np.ndarray]:
    """A text, its outline with 3 pixels around it, and the pixels that it covers."""
    from font_roboto import RobotoMedium
    from noto_cjk_sans_jp_bold import FONT_PATH

    font = RobotoMedium if text.isascii() else str(FONT_PATH)
    clean = np.full((420, 420, 3), 240, np.uint8)
    picture, _ = draw(clean, Caption(text, font, 34, colour=(20, 20, 20), angle=angle, **style))
    _, level = draw(clean, Caption(text, font, 34, colour=(20, 20, 20), **style))
    rows, columns = np.nonzero(level > 0)
    left, right, top, bottom = columns.min() - 3, columns.max() + 3, rows.min() - 3, rows.max() + 3
    middle, turned = np.array([209.5, 209.5]), np.deg2rad(-angle)
    turn = np.array([[np.cos(turned), -np.sin(turned)], [np.sin(turned), np.cos(turned)]])
    corners = (np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) - middle) @ turn.T + middle
    return picture, [[float(x), float(y)] for x, y in corners], (picture != 240).any(axis=2)


@pytest.mark.parametrize("angle", [0, 12, -30, 90, 180, 270])
def test_a_line_is_read_at_every_angle(angle: float) -> None:
    picture, polygon, _ = drawn("Blue 42 horses", angle)
    reading = read_line(picture, polygon)
    assert reading.text == "Blue 42 horses"
    assert reading.confidence > 0.9


@pytest.mark.parametrize("angle", [0, 12, 180])
def test_a_part_covers_its_characters_and_none_beside_them(angle: float) -> None:
    from operators.masks.geometry import rasterised
    from operators.rows.box import Box

    picture, polygon, letters = drawn("Blue 42 horses", angle)
    reading, frame = read_line(picture, polygon), Box(0, 0, 420, 420)
    parts = [rasterised([reading.part(start, end)], frame) > 0 for start, end in ((0, 5), (5, 8), (8, 14))]
    shares = [letters[part].sum() / letters.sum() for part in parts]
    assert sum(shares) == pytest.approx(1.0, abs=0.02)
    assert [share > least for share, least in zip(shares, (0.25, 0.1, 0.4), strict=True)] == [True] * 3
    for part in parts:
        edge = part & ~np.asarray(rasterised([polygon], frame) > 0)
        assert not (edge & letters).any()


def test_letters_that_stand_on_each_other_are_read() -> None:
    picture, polygon, _ = drawn("新発売中", vertical=True)
    assert read_line(picture, polygon).text == "新発売中"


def test_nothing_is_read_on_plain_ground() -> None:
    plain = np.full((60, 200, 3), 128, np.uint8)
    reading = read_line(plain, [[10, 10], [150, 10], [150, 40], [10, 40]])
    assert (reading.text.strip(), reading.confidence) == ("", 0.0)
