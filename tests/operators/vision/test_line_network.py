"""The line network tells text in any script from rows of shapes, noise and plain ground."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from font_roboto import RobotoBold

from flows.evaluation.draw_text import Caption, draw, polygon_around
from operators.masks.geometry import straightened
from operators.rows.arrays import Pixels
from operators.vision.line_network import MARGIN, PATH, line_network, line_network_identity

GROUND = np.full((240, 640, 3), (190, 200, 180), np.uint8)


def written(text: str, **style: object) -> tuple[Pixels, list[list[float]]]:
    picture, coverage = draw(GROUND, Caption(text, RobotoBold, 44, **{"colour": (30, 20, 30), **style}))  # type: ignore[arg-type]
    return picture, polygon_around(coverage)


def row_of_shapes(kind: str) -> tuple[Pixels, list[list[float]]]:
    """Eight equal shapes 40 pixels high, with the polygon around them."""
    picture = GROUND.copy()
    for number in range(8):
        x = 100 + 52 * number
        if kind == "diamonds":
            cv2.fillPoly(picture, [np.array([[x, 100], [x + 20, 120], [x, 140], [x - 20, 120]])], (30, 20, 30))
        else:
            cv2.rectangle(picture, (x - 16, 100), (x + 16, 140), (30, 20, 30), -1)
    return picture, [[76, 96], [488, 96], [488, 144], [76, 144]]


@pytest.mark.parametrize("text", ["SUMMER SALE", "Привет мир", "Ελληνικά", "№ 2024-11"])
def test_a_line_is_text_in_any_script_of_the_typeface(text: str) -> None:
    assert line_network().logit_at(*written(text)) > 0


@pytest.mark.parametrize("angle", [0.0, 30.0, -50.0, 90.0])
def test_a_line_is_text_however_it_is_turned(angle: float) -> None:
    ground = np.full((640, 640, 3), (190, 200, 180), np.uint8)
    picture, coverage = draw(ground, Caption("SUMMER SALE", RobotoBold, 44, colour=(30, 20, 30), angle=angle))
    assert line_network().logit_at(picture, polygon_around(coverage)) > 0


@pytest.mark.parametrize("kind", ["diamonds", "boxes"])
def test_a_row_of_shapes_is_no_text(kind: str) -> None:
    assert line_network().logit_at(*row_of_shapes(kind)) < 0


def test_noise_and_plain_ground_are_no_text() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 300, 3), np.uint8)
    assert line_network().logit(noise) < 0
    assert line_network().logit(np.ascontiguousarray(GROUND[:48])) < 0


def test_a_long_line_is_judged_by_its_ends_and_its_middle() -> None:
    picture, polygon = written("WORDS WORDS WORDS WORDS", colour=(0, 0, 0))
    line = straightened(picture, polygon, round(MARGIN * 44))
    blank = line.copy()
    blank[:, line.shape[1] // 3 :] = GROUND[0, 0]
    assert line_network().logit(blank) < line_network().logit(line)


def test_a_squarish_piece_is_text_whichever_of_its_sides_the_letters_follow() -> None:
    picture, polygon = written("2024")
    (left, top), (right, bottom) = np.min(polygon, axis=0).astype(int), np.max(polygon, axis=0).astype(int)
    piece = picture[top - 20 : bottom + 20, left - 8 : right + 8]
    upright, turned = (line_network().logit(np.ascontiguousarray(np.rot90(piece, turns))) for turns in (0, 1))
    assert turned == pytest.approx(upright, abs=6)


def test_the_same_pixels_give_the_same_logit_at_any_size_of_the_picture() -> None:
    picture, polygon = written("SUMMER SALE")
    moved = np.pad(picture, ((10, 30), (20, 40), (0, 0)), mode="edge")
    shifted = [[x + 20, y + 10] for x, y in polygon]
    assert line_network().logit_at(moved, shifted) == line_network().logit_at(picture, polygon)


def test_its_weights_are_small_and_named() -> None:
    assert PATH.stat().st_size < 1_000_000
    assert line_network_identity()["alias"] == "lines"
    assert len(str(line_network_identity()["sha256"])) == 64
