"""Curves that pass a text are no letters, and letters are no curves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from font_source_serif_pro import SourceSerifPro
from PIL import Image, ImageDraw, ImageFont

from operators.masks.passing_curves import passing_curves

SIDE, HEIGHT = 240, 48.0
PAPER, INK = (30, 66, 92), (230, 215, 160)


def ring(strokes_from: int, strokes_to: int, end: int = 360, start: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A ring of 4 pixels from `start` to `end`, and its arc between two angles, all in degrees."""
    picture = np.full((SIDE, SIDE, 3), PAPER, np.uint8)
    arc = np.zeros((SIDE, SIDE), np.uint8)
    centre, axes = (SIDE // 2, SIDE // 2), (90, 90)
    cv2.ellipse(picture, centre, axes, 0, start, end, INK, 4)
    cv2.ellipse(arc, centre, axes, 0, strokes_from, strokes_to, 255, 4)
    return picture, arc > 0


def test_an_arc_of_a_ring_that_goes_on_at_both_ends_passes() -> None:
    picture, arc = ring(200, 250)
    assert (passing_curves(picture, arc, HEIGHT) == arc).all()


def test_an_arc_that_ends_is_a_stroke() -> None:
    picture, arc = ring(200, 250, end=250)
    assert arc.any() and not passing_curves(picture, arc, HEIGHT).any()


def test_an_arc_that_goes_on_for_less_than_the_height_of_the_line_is_a_stroke() -> None:
    picture, arc = ring(200, 250, end=260, start=190)
    assert not passing_curves(picture, arc, HEIGHT).any()


def test_a_bar_as_thick_as_letters_are_wide_is_a_stroke() -> None:
    picture = np.full((SIDE, SIDE, 3), PAPER, np.uint8)
    picture[100:130] = INK
    strokes = np.zeros((SIDE, SIDE), bool)
    strokes[100:130, 80:160] = True
    assert not passing_curves(picture, strokes, HEIGHT).any()


@pytest.mark.parametrize("found", [(0, 1), (0.25, 0.75)], ids=["all of it", "its middle"])
def test_joined_handwriting_is_no_curve_though_it_goes_on_beyond_what_was_found(found: tuple[float, float]) -> None:
    columns = np.arange(20, SIDE - 20)
    rows = SIDE / 2 + 18 * np.sin(columns / 4.0)
    points = np.stack([columns, rows], axis=1).round().astype(np.int32)
    picture, strokes = np.full((SIDE, SIDE, 3), PAPER, np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    cv2.polylines(picture, [points], False, INK, 3)
    first, last = (round(share * len(points)) for share in found)
    cv2.polylines(strokes, [points[first:last]], False, 255, 3)
    assert not passing_curves(picture, strokes > 0, HEIGHT).any()


def test_letters_are_no_curves() -> None:
    picture, strokes = Image.new("RGB", (SIDE, SIDE), PAPER), Image.new("L", (SIDE, SIDE), 0)
    for canvas, fill in ((picture, INK), (strokes, 255)):
        ImageDraw.Draw(canvas).text((120, 120), "Original", fill=fill, font=ImageFont.truetype(SourceSerifPro, 48), anchor="mm")
    assert not passing_curves(np.asarray(picture), np.asarray(strokes) > 127, HEIGHT).any()


def test_of_letters_that_touch_a_ring_only_the_ring_passes() -> None:
    picture, arc = ring(200, 250)
    letters = np.zeros((SIDE, SIDE), np.uint8)
    touched = np.argwhere(arc).mean(axis=0).astype(int)
    cv2.rectangle(letters, (int(touched[1]), int(touched[0])), (int(touched[1]) + 30, int(touched[0]) + 6), 255, -1)
    cv2.rectangle(letters, (int(touched[1]) + 24, int(touched[0])), (int(touched[1]) + 30, int(touched[0]) + 30), 255, -1)
    picture[letters > 0] = INK
    passing = passing_curves(picture, arc | (letters > 0), HEIGHT)
    assert passing[arc].mean() > 0.95
    assert passing[(letters > 0) & ~arc].mean() < 0.2


def test_the_uneven_rim_of_a_thing_in_the_letters_colour_is_no_curve() -> None:
    picture, arc = ring(200, 250)
    for angle in range(0, 360, 12):
        place = (round(120 + 90 * np.cos(np.radians(angle))), round(120 + 90 * np.sin(np.radians(angle))))
        cv2.circle(picture, place, 3 + angle // 12 % 3 * 2, INK, -1)
    assert not passing_curves(picture, arc, HEIGHT).any()


def test_a_hairline_whose_pixels_touch_at_corners_alone_passes() -> None:
    picture, strokes = np.full((SIDE, SIDE, 3), PAPER, np.uint8), np.zeros((SIDE, SIDE), bool)
    places = np.arange(20, SIDE - 20)
    picture[places, places] = INK
    strokes[places[80:120], places[80:120]] = True
    assert (passing_curves(picture, strokes, HEIGHT) == strokes).all()


def test_a_stroke_of_nearly_the_grounds_colour_is_no_curve_though_the_ground_reaches_out_everywhere() -> None:
    picture, strokes = np.full((SIDE, SIDE, 3), PAPER, np.uint8), np.zeros((SIDE, SIDE), bool)
    strokes[100:140, 100:106] = True
    picture[strokes] = np.array(PAPER) + 20
    assert not passing_curves(picture, strokes, HEIGHT).any()
