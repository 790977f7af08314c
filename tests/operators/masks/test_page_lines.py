"""Lines of the page stay, and strokes of letters do not count as lines."""

from __future__ import annotations

import io

import numpy as np
import pytest
from font_roboto import Roboto
from PIL import Image, ImageDraw, ImageFont

from operators.masks.mask import dilated
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


PAPER, RULE, INK = (244, 246, 240), (176, 180, 178), (24, 24, 28)


def heavy_word(rule_first: bool) -> tuple[np.ndarray, np.ndarray]:
    """A word, and a rule in its middle that ends within it, below or over its ink."""
    picture, strokes = Image.new("RGB", (SHAPE[1], SHAPE[0]), PAPER), Image.new("L", (SHAPE[1], SHAPE[0]), 0)
    canvas, rule = ImageDraw.Draw(picture), (50, 82, 272, 82)
    if rule_first:
        canvas.line(rule, fill=RULE)
    for drawn, fill in ((canvas, INK), (ImageDraw.Draw(strokes), 255)):
        drawn.text((160, 80), "UDOLU", fill=fill, font=ImageFont.load_default(88), anchor="mm", stroke_width=3)
    if not rule_first:
        canvas.line(rule, fill=RULE)
    return np.asarray(picture), np.where(np.asarray(strokes) > 0, 255, 0).astype(np.uint8)


def test_a_rule_that_letters_cover_is_the_pages_in_every_gap_though_it_ends_within_the_word() -> None:
    picture, strokes = heavy_word(rule_first=True)
    gaps = np.flatnonzero((picture[82] == RULE).all(axis=1))
    lines = page_lines(picture, strokes, 72.0).lines
    clear = [x for x in gaps if not strokes[82, x - 2 : x + 3].any()]
    assert len(clear) > 40 and lines[82, clear].all()
    assert not lines[82][strokes[82] > 0].any()


def test_a_line_that_lies_over_the_ink_is_not_one_that_letters_cover() -> None:
    picture, strokes = heavy_word(rule_first=False)
    inside = strokes > 0
    assert not page_lines(picture, strokes, 72.0).lines[inside].any()


def test_bars_of_letters_are_no_rule_though_they_are_thin_and_level() -> None:
    picture, strokes = Image.new("RGB", (SHAPE[1], SHAPE[0]), PAPER), Image.new("L", (SHAPE[1], SHAPE[0]), 0)
    for drawn, ink, bar in ((ImageDraw.Draw(picture), INK, (110, 112, 110)), (ImageDraw.Draw(strokes), 255, 255)):
        for left in range(30, 270, 60):
            drawn.line((left, 80, left + 40, 80), fill=bar)
            drawn.rectangle((left, 45, left + 7, 115), fill=ink)
            drawn.rectangle((left + 36, 45, left + 43, 115), fill=ink)
    lines = page_lines(np.asarray(picture), np.where(np.asarray(strokes) > 0, 255, 0).astype(np.uint8), 72.0).lines
    assert not any(lines[80, left + 12 : left + 32].any() for left in range(30, 270, 60))


def test_a_rule_beside_slanted_letters_is_the_pages_though_it_lies_within_their_box() -> None:
    picture, strokes = np.full((300, 320, 3), PAPER, np.uint8), np.zeros((300, 320), np.uint8)
    picture[150, 40:280] = RULE
    for step in range(9):
        x, y = 24 + 30 * step, 250 - 25 * step
        picture[y - 16 : y + 16, x : x + 8] = INK
        strokes[y - 16 : y + 16, x : x + 8] = 255
    lines = page_lines(picture, strokes, 44.0).lines[150]
    assert lines[60:120].all() and lines[180:260].all()


@pytest.mark.parametrize("quality", [70, 80, 90])
@pytest.mark.parametrize("ink", [(26, 90, 170), (150, 20, 60)], ids=["blue", "red"])
def test_the_underline_of_a_thin_link_in_jpeg_is_none_of_the_page_although_its_letters_look_paler(
    ink: tuple[int, int, int], quality: int
) -> None:
    picture, strokes = Image.new("RGB", (SHAPE[1], SHAPE[0]), (255, 255, 255)), Image.new("L", (SHAPE[1], SHAPE[0]), 0)
    font = ImageFont.truetype(Roboto, 14)
    for canvas, fill in ((picture, ink), (strokes, 255)):
        ImageDraw.Draw(canvas).text((60, 80), "Change my password", fill=fill, font=font, anchor="ls")
    left, _, right, _ = ImageDraw.Draw(picture).textbbox((60, 80), "Change my password", font=font, anchor="ls")
    ImageDraw.Draw(picture).line((left, 83, right, 83), fill=ink)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality, subsampling=2)
    seen = np.where(dilated(np.where(np.asarray(strokes) > 0, 255, 0).astype(np.uint8), 1) > 0, 255, 0).astype(np.uint8)
    found = page_lines(np.asarray(Image.open(file).convert("RGB")), seen, 20.0)
    middle = np.s_[83, round(left) + 2 : round(right) - 2]
    assert not found.lines[middle].any()
