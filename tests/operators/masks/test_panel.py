"""The panel under a text is found; plain pages, textures and glows are not taken for one."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from operators.masks.panel import beside_letters, panel_around

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
