"""Probabilities become strokes, strokes grow, and their weights fade."""

import io

import cv2
import numpy as np
import pytest
from font_roboto import RobotoBold
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageDraw, ImageFont
from skimage import data

from flows.evaluation.draw_text import Caption, draw
from operators.masks.mask import dilated
from operators.masks.page_lines import page_lines
from operators.masks.stroke_mask import FOUND, GIVEN, POLYGON, StrokeMask


def test_a_pixel_counts_as_touched_from_the_least_probability_on():
    probability = np.array([[0.0, 0.59, 0.6, 1.0]], np.float32)
    assert StrokeMask(least_probability=np.float32(0.6)).touched(probability).tolist() == [[False, False, True, True]]


@pytest.mark.parametrize(("height", "radius"), [(10.0, 2), (100.0, 2), (150.0, 3), (500.0, 10)])
def test_strokes_grow_by_a_share_of_their_lines_height_but_not_less_than_two_pixels(height, radius):
    strokes = np.zeros((31, 31), np.uint8)
    strokes[15, 15] = 255
    grown = StrokeMask(dilation=0.02, least_dilation=2).grown(strokes, height)
    assert np.flatnonzero(grown[15]).tolist() == list(range(15 - radius, 16 + radius))


def test_the_rim_of_strokes_is_what_text_may_have_touched_next_to_them():
    strokes, probability = np.zeros((1, 9), np.uint8), np.zeros((1, 9), np.float32)
    strokes[0, 4] = 255
    probability[0] = (0.9, 0.9, 0.39, 0.4, 0.1, 0.5, 0.5, 0.9, 0.9)
    rimmed = StrokeMask(rim_probability=np.float32(0.4), least_rim=2).rimmed(strokes, 30.0, probability)
    assert np.flatnonzero(rimmed[0]).tolist() == [3, 4, 5, 6]


def test_the_rim_of_tall_letters_is_wider():
    strokes = np.zeros((31, 31), np.uint8)
    strokes[15, 15] = 255
    rimmed = StrokeMask(dilation=0.02).rimmed(strokes, 300.0, np.ones((31, 31), np.float32))
    assert np.flatnonzero(rimmed[15]).tolist() == list(range(9, 22))


def test_in_texture_the_core_is_the_rimmed_strokes_if_their_probability_is_known():
    _, letters = write()
    noise = np.random.default_rng(0).integers(60, 200, (140, 320, 1), dtype=np.uint8).repeat(3, axis=2)
    strokes, probability = np.where(letters, 255, 0).astype(np.uint8), letters.astype(np.float32)
    lines, _ = page_lines(noise, strokes, HEIGHT)
    core, full = StrokeMask().traced(noise, strokes, HEIGHT, lines, probability)
    beyond = (core > 0) & ~letters
    assert core[letters].all()
    assert full[letters].all()
    assert beyond.sum() < 0.1 * (StrokeMask().grown(strokes, HEIGHT)[~letters] > 0).sum()


def test_certainty_rises_with_the_probability_and_is_full_from_certain_on():
    probability = np.array([[0.0, 0.05, 0.1, 0.2, 0.9]], np.float32)
    assert StrokeMask(certain=0.2).certainty(probability).tolist() == [[0, 64, 128, 255, 255]]


def test_the_sources_of_strokes_are_the_words_that_the_row_holds():
    assert (GIVEN, FOUND, POLYGON) == ("given", "found", "polygon")


@given(
    arrays(np.uint8, (6, 7), elements=st.sampled_from((0, 255))),
    arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32)),
    st.floats(0.05, 1.0),
)
def test_found_strokes_fade_within_their_core_by_how_likely_they_are(core, probability, certain):
    strokes = StrokeMask(certain=certain)
    weight = strokes.weight(core, strokes.certainty(probability), FOUND)
    assert (weight[core == 0] == 0).all()
    inside = core > 0
    assert (np.abs(weight[inside] - np.minimum(255.0, 255 * probability[inside] / certain)) <= 0.501).all()


def test_a_polygon_that_is_replaced_as_a_whole_fades_outside():
    core = np.zeros((20, 20), np.uint8)
    core[5:15, 5:15] = 255
    weight = StrokeMask().weight(core, np.zeros_like(core), POLYGON)
    assert (weight[core > 0] == 255).all()
    assert 0 < weight[4, 10] < 255
    assert weight[2, 10] == 0


GROUND = 200
HEIGHT = 40.0


def write(ink=30, quality=None, line=None):
    """A grey page with the word HOLD, perhaps with a line or as JPEG, and its letters' pixels."""
    image = Image.new("RGB", (320, 140), (GROUND,) * 3)
    ImageDraw.Draw(image).text((160, 70), "HOLD", fill=(ink,) * 3, font=ImageFont.load_default(48), anchor="mm")
    letters = (np.asarray(image) != GROUND).any(axis=2)
    if line is not None:
        left, top, right, bottom, colour = line
        ImageDraw.Draw(image).rectangle((left, top, right, bottom), fill=colour)
    if quality is not None:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, subsampling=2)
        image = Image.open(buffer).convert("RGB")
    return np.asarray(image), letters


def trace(picture, letters):
    """The traced strokes and their part that is replaced in full, as `soften` finds them."""
    strokes = np.where(letters, 255, 0).astype(np.uint8)
    lines, underline = page_lines(picture, strokes, HEIGHT)
    core, full = StrokeMask().traced(picture, np.where(underline, 255, strokes).astype(np.uint8), HEIGHT, lines)
    return core > 0, full > 0


def spread(core, letters):
    """How much larger the core is than its letters."""
    return core.sum() / letters.sum()


def test_a_lossless_source_keeps_a_narrow_mask():
    picture, letters = write()
    core, visible = trace(picture, letters)
    assert core[letters].all()
    assert not core[~(dilated(letters.astype(np.uint8), 4) > 0)].any()
    assert np.array_equal(core, visible)


def test_the_ringing_of_a_jpeg_is_taken_in():
    picture, letters = write(quality=30)
    core, _ = trace(picture, letters)
    left = np.where(core[:, :, None], 0.0, picture.astype(np.float32) - GROUND)
    assert core[letters].all()
    assert np.abs(picture.astype(int) - GROUND)[~letters].max() > 40
    assert np.abs(cv2.GaussianBlur(left, (0, 0), 1.0)).max() < 5
    assert spread(core, letters) > 1.3 * spread(trace(*write())[0], letters)


def test_in_texture_the_core_is_the_grown_strokes_and_the_strokes_are_replaced_in_full():
    _, letters = write()
    noise = np.random.default_rng(0).integers(60, 200, (140, 320, 1), dtype=np.uint8).repeat(3, axis=2)
    strokes = np.where(letters, 255, 0).astype(np.uint8)
    core, visible = trace(noise, letters)
    assert np.array_equal(core, StrokeMask().grown(strokes, HEIGHT) > 0)
    assert np.array_equal(visible, letters)


def extent(letters):
    columns, rows = np.flatnonzero(letters.any(axis=0)), np.flatnonzero(letters.any(axis=1))
    return int(columns[0]), int(columns[-1]), int(rows[-1])


def underline(left, right, top, colour, touched=True):
    """What is traced of a line on the page that the network did or did not take for text."""
    picture, letters = write(line=(left, top, right, top + 2, (colour,) * 3))
    strokes = letters.copy()
    strokes[top : top + 3, left : right + 1] = touched
    core, _ = trace(picture, strokes)
    assert core[letters & (np.arange(140)[:, None] < top - 4)].all()
    return core[top : top + 3, left : right + 1].mean()


def test_a_line_of_the_page_stays_although_the_network_takes_it_for_text():
    _, _, bottom = extent(write()[1])
    assert underline(0, 319, bottom + 6, 30) == 0.0


def test_an_underline_of_the_texts_colour_and_extent_belongs_to_it():
    left, right, bottom = extent(write()[1])
    assert underline(left, right, bottom + 6, 30) == 1.0


def test_a_line_of_another_colour_stays_although_it_ends_with_the_text():
    left, right, bottom = extent(write()[1])
    assert underline(left, right, bottom + 6, 120) < 0.2


def test_the_body_of_a_letter_whose_outline_alone_was_seen_is_taken_in_and_the_hole_of_an_o_is_not():
    picture = np.full((140, 200, 3), GROUND, np.uint8)
    picture[30:110, 40:100] = (20, 60, 160)
    outline = np.zeros((140, 200), bool)
    outline[30:110, 40:100] = True
    outline[36:104, 46:94] = False
    filled, _ = StrokeMask().traced(picture, np.where(outline, 255, 0).astype(np.uint8), 80.0, np.zeros_like(outline))
    assert (filled[30:110, 40:100] > 0).all()
    picture[36:104, 46:94] = GROUND
    ring, _ = StrokeMask().traced(picture, np.where(outline, 255, 0).astype(np.uint8), 80.0, np.zeros_like(outline))
    assert not ring[50:90, 60:80].any()


def test_over_a_photograph_traces_are_not_followed_away_from_the_letters():
    caption = Caption("Summer Collection", RobotoBold, 34, 0.5, 0.5, (255, 255, 255))
    picture, coverage = draw(np.ascontiguousarray(data.astronaut()[:120, 60:460]), caption)
    strokes = np.where(coverage > 0.3, 255, 0).astype(np.uint8)
    core, _ = StrokeMask().traced(picture, strokes, 40.0, np.zeros(strokes.shape, bool), coverage.astype(np.float32))
    far = cv2.dilate(strokes, np.ones((9, 9), np.uint8)) == 0
    assert 0 < np.count_nonzero(core) < 2 * np.count_nonzero(coverage > 0)
    assert np.count_nonzero(core[far]) < 0.01 * np.count_nonzero(strokes)


def test_ringing_beside_the_border_of_a_field_is_the_borders_though_it_touches_that_of_the_letters():
    picture, letters = write()
    left = int(np.flatnonzero(letters.any(axis=0))[0])
    border, field = left - 13, np.zeros(letters.shape, bool)
    field[30:110, border:300] = True
    picture = np.where(field[:, :, None], picture, 170).astype(np.uint8)
    picture[30:110, border] = 110
    faint = np.zeros(letters.shape, bool)
    faint[60:80, border + 1 : left] = True
    picture[faint] = picture[faint] - 6
    core, _ = trace(picture, letters)
    beside_border, beside_letters = core[62:78, border + 1 : border + 3] > 0, core[62:78, left - 5 : left] > 0
    assert not beside_border.any()
    assert beside_letters.mean() > 0.5


@pytest.mark.parametrize("size", [18, 22])
@pytest.mark.parametrize(
    "words", [("HELD THE LINE", "LITTLE HILL TEE", "FELT THE END"), ("Where did you", "leave the key", "of the house")]
)
def test_rows_of_ringing_are_no_lines_of_the_page_and_go_with_their_letters(words: tuple[str, ...], size: int) -> None:
    picture, drawn = Image.new("RGB", (320, 180), (255, 255, 255)), Image.new("L", (320, 180), 0)
    font, step = ImageFont.truetype(RobotoBold, size), size + 10
    for number, row in enumerate(words):
        ImageDraw.Draw(picture).text((40, 50 + number * step), row, fill=(20, 20, 24), font=font, anchor="ls")
    ImageDraw.Draw(drawn).text((40, 50 + step), words[1], fill=255, font=font, anchor="ls")
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=75)
    pixels = np.asarray(Image.open(file).convert("RGB"))
    strokes = dilated(np.where(np.asarray(drawn) > 0, 255, 0).astype(np.uint8), 1)
    core, _ = StrokeMask().traced(pixels, strokes, 1.2 * size, page_lines(pixels, strokes, 1.2 * size).lines)
    erased = np.where(core[:, :, None] > 0, 255, pixels).astype(np.float32)
    left = np.abs(cv2.GaussianBlur(erased - 255, (0, 0), 2)).max(axis=2)[52 + step - size : 54 + step]
    assert left.max() < 1.7
