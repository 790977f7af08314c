"""Lines of the page stay, and strokes of letters do not count as lines."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from operators.masks.page_lines import page_lines

SHAPE = (160, 320)


def written(*rules: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A word on white, crossed by level lines (row, left, right), and its strokes."""
    picture, strokes = Image.new("RGB", (SHAPE[1], SHAPE[0]), (250, 250, 248)), Image.new("L", (SHAPE[1], SHAPE[0]), 0)
    for row, left, right in rules:
        ImageDraw.Draw(picture).line((left, row, right, row), fill=(170, 170, 180))
    for canvas, fill in ((picture, (20, 20, 20)), (strokes, 255)):
        ImageDraw.Draw(canvas).text((160, 80), "Page 17", fill=fill, font=ImageFont.load_default(44), anchor="mm")
    return np.asarray(picture), np.where(np.asarray(strokes) > 0, 255, 0).astype(np.uint8)


def test_a_line_that_goes_on_beyond_the_other_end_of_the_text_is_the_pages_however_short_its_ends_are() -> None:
    picture, strokes = written((80, 50, 270))
    columns = np.flatnonzero(strokes.any(axis=0))
    lines = page_lines(picture, strokes, 44.0).lines[80]
    assert columns[0] - 50 < 44 and 270 - columns[-1] < 44
    assert lines[53 : columns[0] - 4].all() and lines[columns[-1] + 8 : 262].all()


def test_a_short_stroke_on_one_side_is_no_line_of_the_page() -> None:
    picture, strokes = written((80, 240, 262))
    last = np.flatnonzero(strokes.any(axis=0))[-1]
    assert not page_lines(picture, strokes, 44.0).lines[80, last + 4 :].any()


def test_an_underline_of_another_colour_is_the_pages_though_letters_reach_beyond_its_ends_and_below_it() -> None:
    picture, strokes = Image.new("RGB", (SHAPE[1], SHAPE[0]), (255, 255, 255)), Image.new("L", (SHAPE[1], SHAPE[0]), 0)
    ImageDraw.Draw(picture).line((60, 99, 250, 99), fill=(58, 90, 160))
    for canvas, fill in ((picture, (30, 30, 30)), (strokes, 255)):
        ImageDraw.Draw(canvas).text((160, 80), "Privacy page", fill=fill, font=ImageFont.load_default(40), anchor="mm")
    seen = np.where(np.asarray(strokes) > 0, 255, 0).astype(np.uint8)
    columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
    assert columns[0] < 60 and columns[-1] > 250 and rows[-1] > 99
    between = ~(seen > 0).any(axis=0)
    lines = page_lines(np.asarray(picture), seen, 40.0).lines[99, 64:156]
    assert lines[between[64:156]].all()
