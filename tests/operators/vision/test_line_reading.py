"""A line is read whichever way up it is, and parted between two of its characters."""

from __future__ import annotations

import numpy as np
import pytest

from flows.evaluation.draw_text import Caption, draw
from operators.vision.line_reading import PageLines, read_along, read_around, read_line


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


@pytest.fixture(scope="module")
def receipt() -> np.ndarray:
    """Three close lines, each of two columns."""
    from font_roboto import RobotoMedium

    picture = np.full((160, 420, 3), 240, np.uint8)
    for number, text in enumerate(("desk lamp   $501.32", "oak shelf    $315.67", "tea kettle   $810.52")):
        picture, _ = draw(picture, Caption(text, RobotoMedium, 22, 0.5, 0.3 + 0.18 * number, (20, 20, 20)))
    return picture


PAGE = PageLines.of([[[100, 34], [300, 34], [300, 62], [100, 62]], [[100, 62], [300, 62], [300, 90], [100, 90]]])


def test_the_lines_of_a_page_run_as_most_of_its_long_texts_do() -> None:
    crooked = [[343, 58], [373, 75], [365, 89], [335, 72]]
    assert (PAGE.angle, PAGE.height) == (0, 28)
    assert PageLines.of([crooked]) == PageLines()
    assert PAGE.crosses(crooked)
    assert PAGE.crosses([[10, 10], [30, 10], [30, 30], [10, 30]])
    assert not PAGE.crosses([[10, 10], [110, 14], [110, 34], [10, 30]])


def test_a_crooked_part_is_read_with_the_line_of_the_page_on_which_it_lies(receipt: np.ndarray) -> None:
    crooked = [[250, 65], [275, 79], [268, 91], [243, 77]]
    read = [reading.text for reading in read_along(receipt, crooked, PAGE)]
    assert any("$315.67" in text for text in read), read


def test_a_part_is_stretched_to_the_letters_that_it_leaves_out() -> None:
    picture, polygon, _ = drawn("Blue 42 horses")
    (left, top), (right, bottom) = polygon[0], polygon[2]
    middle = left + 0.7 * (right - left)
    part = [[left, top], [middle, top], [middle, bottom], [left, bottom]]
    around = read_around(picture, part)[1]
    assert around.text == "Blue 42 horses"
    longer = np.array(around.stretched(part, 0, 14))
    assert longer.min(axis=0) == pytest.approx([left, top])
    assert right - 4 <= longer[:, 0].max() <= right + 0.7 * (bottom - top)
    assert around.stretched(part, 0, 4) == part


def test_nothing_is_read_on_plain_ground() -> None:
    plain = np.full((60, 200, 3), 128, np.uint8)
    reading = read_line(plain, [[10, 10], [150, 10], [150, 40], [10, 40]])
    assert (reading.text.strip(), reading.confidence) == ("", 0.0)
