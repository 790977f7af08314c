"""Symbols beside words stay, and all that is text goes."""

from __future__ import annotations

import numpy as np
import pytest
from font_roboto import Roboto, RobotoBold
from PIL import Image, ImageDraw, ImageFont

from operators.masks.geometry import rasterised
from operators.rows.box import Box
from operators.vision.stroke_network import Line, stroke_network
from operators.vision.symbols import WordsAlone, words_alone

SIZE = (360, 90)


def row(text: str, symbol: str | None = None, after: bool = False) -> tuple[np.ndarray, list[list[float]]]:
    """A line of text with a symbol before or after it, and the polygon around both."""
    picture = Image.new("RGB", SIZE, (246, 247, 250))
    canvas = ImageDraw.Draw(picture)
    font = ImageFont.truetype(Roboto, 24)
    canvas.text((60, 45), text, fill=(20, 22, 30), font=font, anchor="lm")
    left, _, right, _ = canvas.textbbox((60, 45), text, font=font, anchor="lm")
    if symbol is not None:
        x = right + 34 if after else 38
        draw_symbol(canvas, symbol, (x - 11, 34, x + 11, 56))
        left, right = min(left, x - 11), max(right, x + 11)
    return np.asarray(picture), [[left - 2, 30.0], [right + 2, 30.0], [right + 2, 60.0], [left - 2, 60.0]]


def draw_symbol(canvas: ImageDraw.ImageDraw, symbol: str, place: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = place
    ink = (70, 110, 180)
    if symbol == "check box":
        canvas.rectangle(place, outline=(20, 22, 30), width=2)
    elif symbol == "person":
        canvas.ellipse((left + 6, top, right - 6, top + 10), outline=ink, width=2)
        canvas.arc((left, top + 10, right, bottom + 12), 180, 360, fill=ink, width=2)
    elif symbol in ("rings", "face"):
        canvas.ellipse(place, outline=(20, 22, 30), width=2)
        if symbol == "rings":
            canvas.ellipse((left + 6, top + 6, right - 6, bottom - 6), outline=(20, 22, 30), width=2)
        else:
            canvas.arc((left + 5, top + 5, right - 5, bottom - 5), 20, 160, fill=(20, 22, 30), width=2)
    elif symbol == "triangle":
        canvas.polygon([(left, top), (right, (top + bottom) / 2), (left, bottom)], fill=ink)
    else:
        canvas.ellipse((left, top, (left + right) / 2, (top + bottom) / 2 + 3), fill=ink)
        canvas.ellipse(((left + right) / 2, top, right, (top + bottom) / 2 + 3), fill=ink)
        canvas.polygon([(left, top + 9), (right, top + 9), ((left + right) / 2, bottom)], fill=ink)


def words(picture: np.ndarray, polygon: list[list[float]]) -> WordsAlone | None:
    line = Line.of([polygon], *SIZE)
    box = line.reach
    strokes = stroke_network().line_probability(picture[line.place], line) >= 0.6
    local = [[x - box.x, y - box.y] for x, y in polygon]
    return words_alone(picture[line.place], local, strokes)


def test_a_check_box_near_its_label_is_cut_off_although_the_polygon_is_too_high() -> None:
    picture = Image.new("RGB", SIZE, (246, 247, 250))
    canvas = ImageDraw.Draw(picture)
    canvas.text((60, 45), "Delivery", fill=(20, 22, 30), font=ImageFont.truetype(Roboto, 16), anchor="lm")
    draw_symbol(canvas, "check box", (34, 37, 51, 54))
    alone = words(np.asarray(picture), [[30.0, 24.0], [122.0, 24.0], [122.0, 66.0], [30.0, 66.0]])
    assert alone is not None


def test_a_symbol_of_two_parts_is_cut_off_whole_although_the_polygon_is_too_high() -> None:
    picture = Image.new("RGB", SIZE, (246, 247, 250))
    canvas = ImageDraw.Draw(picture)
    canvas.text((80, 45), "Delivery", fill=(20, 22, 30), font=ImageFont.truetype(Roboto, 16), anchor="lm")
    draw_symbol(canvas, "triangle", (28, 36, 38, 54))
    draw_symbol(canvas, "heart", (46, 36, 58, 54))
    pixels = np.asarray(picture)
    alone = words_alone(pixels, [[26.0, 24.0], [142.0, 24.0], [142.0, 66.0], [26.0, 66.0]], pixels.min(axis=2) < 200)
    assert alone is not None and min(x for x, _ in alone.polygon) > 58


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("symbol", ["check box", "triangle", "heart", "person", "rings", "face"])
def test_a_symbol_beside_a_word_is_cut_off(symbol: str, after: bool) -> None:
    picture, polygon = row("Delivery", symbol, after)
    alone = words(picture, polygon)
    assert alone is not None
    inside = rasterised([alone.polygon], Box(0, 0, alone.beyond.shape[1], alone.beyond.shape[0])) > 0
    # Both take in the column of the cut.
    assert (inside & alone.beyond).any(axis=0).sum() <= 1
    columns = np.flatnonzero(inside.any(axis=0))
    word = rasterised([row("Delivery")[1]], Box(0, 0, *SIZE)) > 0
    seen = np.flatnonzero(word[Line.of([polygon], *SIZE).place].any(axis=0))
    assert columns[0] <= seen[0] + 3 and columns[-1] >= seen[-1] - 3
    assert alone.beyond.any()


@pytest.mark.parametrize(
    "text",
    [
        "Delivery",
        "A new day",
        "No. 7",
        "7 of 9",
        "I never knew",
        "Room 9 B",
        "3 - 4 Uhr",
        "© Jane Doe",
        "Jane Doe ©",
        "- note",
        "| menu |",
        "~ 5 min",
        "more …",
    ],
)
def test_words_and_figures_are_not_cut(text: str) -> None:
    assert words(*row(text)) is None


@pytest.mark.parametrize(("text", "coloured"), [("Plan", "B"), ("Gate", "7"), ("Part", "X")])
def test_a_letter_of_another_colour_is_not_cut(text: str, coloured: str) -> None:
    picture = Image.new("RGB", SIZE, (246, 247, 250))
    canvas = ImageDraw.Draw(picture)
    font = ImageFont.truetype(RobotoBold, 26)
    canvas.text((60, 45), text, fill=(20, 22, 30), font=font, anchor="lm")
    x = canvas.textbbox((60, 45), text, font=font, anchor="lm")[2] + 8
    canvas.text((x, 45), coloured, fill=(200, 30, 40), font=font, anchor="lm")
    right = canvas.textbbox((x, 45), coloured, font=font, anchor="lm")[2] + 3
    assert words(np.asarray(picture), [[57.0, 30.0], [right, 30.0], [right, 60.0], [57.0, 60.0]]) is None


def test_a_thin_letter_that_the_recogniser_places_beside_itself_is_not_cut() -> None:
    picture = Image.new("RGB", SIZE, (246, 247, 250))
    font = ImageFont.truetype(RobotoBold, 26)
    ImageDraw.Draw(picture).text((60, 45), "World War I", fill=(0, 0, 0), font=font, anchor="lm")
    assert words(np.asarray(picture), [[48.0, 28.0], [206.0, 28.0], [206.0, 64.0], [48.0, 64.0]]) is None


def test_a_shape_without_words_is_not_judged() -> None:
    picture = np.full((40, 120, 3), 240, np.uint8)
    assert words_alone(picture, [[10.0, 10.0], [110.0, 10.0], [110.0, 30.0], [10.0, 30.0]], np.zeros((40, 120), bool)) is None
