"""The panel under a text is found; plain pages, textures and glows are not taken for one."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from operators.masks.mask import BLEND, CORE, dilated
from operators.masks.panel import beside_letters, letters_of_panel, panel_around, panel_of_text, panel_under

SIZE = (320, 140)
BOX = (50, 45, 270, 95)


def written(picture: Image.Image, ink: tuple[int, int, int] = (20, 20, 24)) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a word in its middle, and the word's strokes (0 or 255)."""
    strokes = Image.new("L", SIZE, 0)
    font = ImageFont.load_default(34)
    for canvas, fill in ((picture, ink), (strokes, 255)):
        ImageDraw.Draw(canvas).text((160, 70), "Autumn sale", fill=fill, font=font, anchor="mm")
    return np.asarray(picture), np.where(np.asarray(strokes) > 0, 255, 0).astype(np.uint8)


def ground() -> Image.Image:
    """A smooth gradient."""
    across = np.linspace(60, 140, SIZE[0])[None, :, None]
    return Image.fromarray(np.broadcast_to(across, (SIZE[1], SIZE[0], 3)).astype(np.uint8))


def box(colour: tuple[int, int, int], radius: int = 0) -> Image.Image:
    picture = ground()
    ImageDraw.Draw(picture).rounded_rectangle(BOX, radius, fill=colour)
    return picture


def faint_box() -> Image.Image:
    picture = Image.new("RGB", SIZE, (240, 240, 242))
    ImageDraw.Draw(picture).rectangle(BOX, fill=(250, 250, 250))
    return picture


def compressed(pixels: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=60)
    return np.asarray(Image.open(buffer).convert("RGB"))


def on_a_dark_photo() -> Image.Image:
    """A white box on dark things of the letters' colour."""
    noise = np.random.default_rng(4).integers(10, 60, (SIZE[1], SIZE[0], 3), np.uint8)
    picture = Image.fromarray(noise)
    ImageDraw.Draw(picture).rectangle(BOX, fill=(250, 250, 250))
    return picture


def polygon(left: int = 60, right: int = 260) -> np.ndarray:
    """The filled polygon of a line of text, 0 or 255."""
    inside = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    inside[50:90, left:right] = 255
    return inside


def edit(edited: np.ndarray) -> np.ndarray:
    """A region's mask that replaces these pixels."""
    mask = np.zeros((*edited.shape, 4), np.uint8)
    mask[edited, CORE] = mask[edited, BLEND] = 255
    return mask


def expected() -> np.ndarray:
    left, top, right, bottom = BOX
    place = np.zeros((SIZE[1], SIZE[0]), bool)
    place[top : bottom + 1, left : right + 1] = True
    return place


BOXES = {
    "light": box((240, 236, 220)),
    "red": box((180, 30, 40)),
    "round corners": box((12, 60, 160), 8),
    "faint": faint_box(),
}


@pytest.mark.parametrize("name", BOXES)
def test_a_box_is_found_with_the_letters_in_it(name: str) -> None:
    panel = panel_around(*written(BOXES[name].copy()))
    assert panel is not None
    assert (panel != expected()).mean() < 0.01


@pytest.mark.parametrize("name", BOXES)
def test_a_box_in_jpeg_is_found(name: str) -> None:
    pixels, strokes = written(BOXES[name].copy())
    panel = panel_around(compressed(pixels), strokes)
    assert panel is not None
    assert (panel != expected()).mean() < 0.03


def test_a_cell_between_rules_is_found_although_the_next_cell_has_its_colour() -> None:
    picture = Image.new("RGB", SIZE, (255, 255, 255))
    ImageDraw.Draw(picture).rectangle(BOX, outline=(90, 90, 100))
    panel = panel_around(*written(picture))
    assert panel is not None
    assert panel[expected()].mean() > 0.9
    assert not panel[~expected()].any()


def test_a_bubble_that_is_cut_off_above_and_below_is_found() -> None:
    picture = Image.new("RGB", SIZE, (120, 40, 40))
    ImageDraw.Draw(picture).ellipse((20, -60, 300, 200), fill=(255, 255, 255))
    assert panel_around(*written(picture)) is not None


@pytest.mark.parametrize("kind", ["gradient", "plain page", "texture", "horizon"])
def test_no_panel_is_found_on_other_grounds(kind: str) -> None:
    picture = {
        "gradient": ground,
        "plain page": lambda: Image.new("RGB", SIZE, (250, 250, 245)),
        "texture": lambda: Image.fromarray(np.random.default_rng(3).integers(0, 255, (SIZE[1], SIZE[0], 3), np.uint8)),
        "horizon": lambda: Image.fromarray(
            np.repeat(np.where(np.arange(SIZE[1]) < 100, 220, 60), 320).reshape(140, 320, 1).repeat(3, 2).astype(np.uint8)
        ),
    }[kind]()
    assert panel_around(*written(picture)) is None


def test_light_around_letters_is_no_panel() -> None:
    picture, strokes = written(Image.new("RGB", SIZE, (20, 30, 60)), (255, 240, 120))
    light = cv2.GaussianBlur(strokes.astype(np.float32), (0, 0), 6)[:, :, None] / 255
    shining = np.clip(picture + 3 * light * (100, 120, 160) * (picture < 100), 0, 255).astype(np.uint8)
    assert panel_around(shining, strokes) is None


def test_without_strokes_there_is_no_panel() -> None:
    assert panel_around(np.asarray(ground()), np.zeros((SIZE[1], SIZE[0]), np.uint8)) is None


@given(st.integers(1, 30), st.integers(0, 30))
@settings(max_examples=30, deadline=None)
def test_the_pixels_beside_letters_lie_within_both_distances_and_leave_room_on_the_panel(least: int, more: int) -> None:
    panel = expected()
    _, strokes = written(ground())
    beside = beside_letters(panel, strokes, least, least + more)
    distance = cv2.distanceTransform((strokes == 0).astype(np.uint8), cv2.DIST_L2, 3)
    assert beside[distance <= least].all()
    assert not beside[distance > least + more].any()
    free = panel & (distance > 0)
    left, without_more = (free & ~beside).sum(), (free & (distance > least)).sum()
    assert left >= min(0.19 * free.sum(), without_more)


def test_dark_things_beside_the_panel_and_its_rim_are_no_letters_of_it() -> None:
    picture, letters = written(on_a_dark_photo())
    strokes = letters.copy()
    strokes[96:112, 90:140] = strokes[30:45, 200:230] = 255
    strokes[94:96, 60:200] = 255
    panel = panel_of_text(picture, strokes, polygon(), 40)
    assert panel is not None
    found = letters_of_panel(picture, strokes, panel, polygon()) > 0
    assert found[(letters > 0) & (picture.max(axis=2) < 200)].all()
    assert not found[letters == 0].any()


def test_a_text_that_goes_on_beyond_a_box_does_not_stand_on_it() -> None:
    picture = Image.new("RGB", SIZE, (180, 60, 50))
    ImageDraw.Draw(picture).rectangle((50, 45, 190, 95), fill=(250, 250, 250))
    pixels, strokes = written(picture)
    assert panel_around(pixels, np.where(np.arange(SIZE[0]) < 185, strokes, 0).astype(np.uint8)) is not None
    assert panel_of_text(pixels, strokes, polygon(), 40) is None


def test_a_polygon_that_is_too_long_does_not_hide_that_all_letters_stand_on_a_box() -> None:
    pixels, strokes = written(box((200, 30, 40)), (255, 255, 255))
    assert panel_of_text(pixels, strokes, polygon(right=318), 40) is not None


def test_a_dot_on_a_rule_and_the_tail_that_crosses_it_are_letters() -> None:
    picture, letters = written(Image.new("RGB", SIZE, (245, 244, 240)))
    pixels = picture.copy()
    pixels[40] = pixels[90] = (150, 150, 150)
    marks = np.zeros_like(letters)
    marks[88:92, 255:259] = marks[70:98, 54:57] = 255
    pixels[marks > 0] = (20, 20, 24)
    strokes = np.maximum(letters, marks)
    panel = panel_of_text(pixels, strokes, polygon(50, 262), 40)
    assert panel is not None
    assert (letters_of_panel(pixels, strokes, panel, polygon())[marks > 0] > 0).all()


def test_letters_that_hardly_differ_from_a_noisy_panel_stay_whole() -> None:
    pixels, strokes = written(box((240, 236, 220)), (237, 233, 217))
    noisy = np.clip(pixels + np.random.default_rng(2).normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)
    panel = panel_of_text(noisy, strokes, polygon(), 40)
    assert panel is not None
    assert np.array_equal(letters_of_panel(noisy, strokes, panel, polygon()), strokes)


@pytest.mark.parametrize("name", ["light", "red", "round corners"])
@pytest.mark.parametrize("grown", [1, 4, 9])
def test_the_panel_under_an_edit_is_found_however_near_its_rim_the_mask_comes(name: str, grown: int) -> None:
    pixels, strokes = written(BOXES[name].copy())
    edited = (dilated(strokes, grown) > 0) & (cv2.erode(expected().astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    panel = panel_under(pixels, edit(edited))
    assert panel is not None
    assert (panel != expected()).mean() < 0.02


def test_an_edit_that_reaches_beyond_a_box_lies_on_no_panel() -> None:
    pixels, strokes = written(box((240, 236, 220)))
    edited = strokes > 0
    edited[90:105, 150:160] = True
    assert panel_under(pixels, edit(edited)) is None


def test_an_empty_edit_lies_on_no_panel() -> None:
    assert panel_under(np.asarray(box((240, 236, 220))), edit(np.zeros((SIZE[1], SIZE[0]), bool))) is None


def test_letters_that_the_network_missed_are_found_by_their_ink_within_the_polygon() -> None:
    pixels, letters = written(box((240, 236, 220)))
    missed = letters.copy()
    missed[:, 100:180] = 0
    panel = panel_of_text(pixels, missed, polygon(), 40)
    assert panel is not None
    solid = (letters > 0) & (pixels.max(axis=2) < 60)
    assert letters_of_panel(pixels, missed, panel, polygon())[solid].all()


def test_a_faint_word_beside_a_dark_one_stays_among_the_letters() -> None:
    picture, strokes = box((240, 236, 220)), Image.new("L", SIZE, 0)
    for word, x, ink in (("Autumn", 110, (20, 20, 24)), ("sale", 215, (232, 228, 212))):
        for canvas, fill in ((picture, ink), (strokes, 255)):
            ImageDraw.Draw(canvas).text((x, 70), word, fill=fill, font=ImageFont.load_default(34), anchor="mm")
    pixels, drawn = np.asarray(picture), np.where(np.asarray(strokes) > 0, 255, 0).astype(np.uint8)
    panel = panel_of_text(pixels, drawn, polygon(), 40)
    assert panel is not None
    assert letters_of_panel(pixels, drawn, panel, polygon())[(pixels == (232, 228, 212)).all(axis=2)].all()
