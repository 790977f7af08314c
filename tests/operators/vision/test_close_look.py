"""An area is cut out upright, and what is found there lies in pixels of the picture."""

from __future__ import annotations

import math

import numpy as np
import pytest
from font_roboto import RobotoBold

from flows.evaluation.draw_text import Caption, draw, polygon_around
from operators.masks.geometry import covers, rasterised
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.vision.areas import Area
from operators.vision.close_look import FAINT, LONGEST, ImagePyramid, look_at, stretched
from operators.vision.text_detector import local_contrast, text_detector

WIDTH, HEIGHT = 900, 600
GROUND = np.full((HEIGHT, WIDTH, 3), (190, 200, 180), np.uint8)
WHOLE = Area(0.0, 0.0, 0.0, WIDTH, HEIGHT, 30.0)


def written(angle: float = 0.0, size: int = 42, **style: object) -> tuple[Pixels, np.ndarray]:
    caption = Caption("ONE LINE", RobotoBold, size, colour=(30, 20, 30), angle=angle, **style)  # type: ignore[arg-type]
    return draw(GROUND, caption)


def upright(angle: float, height: float = 30.0) -> Area:
    """The area around the middle of the picture, for lines of this angle in degrees."""
    turn = math.radians(angle)
    x, y = WIDTH / 2 * math.cos(turn) - HEIGHT / 2 * math.sin(turn), WIDTH / 2 * math.sin(turn) + HEIGHT / 2 * math.cos(turn)
    return Area(turn, x - 200, y - 60, x + 200, y + 60, height)


def test_an_area_of_the_whole_picture_at_its_size_is_the_picture() -> None:
    picture, _ = written(20)
    part, to_picture = ImagePyramid(picture, WIDTH, HEIGHT).cut(WHOLE, 1.0)
    assert np.array_equal(part, picture)
    assert np.array_equal(to_picture, [[1, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("angle", [0, 33, -70, 90])
def test_a_turned_line_is_cut_out_upright_and_leads_back_to_its_place(angle: int) -> None:
    picture, coverage = written(angle)
    part, to_picture = ImagePyramid(picture, WIDTH, HEIGHT).cut(upright(angle), 1.0)
    straight, _ = written(0)
    middle = straight[HEIGHT // 2 - 60 : HEIGHT // 2 + 60, WIDTH // 2 - 200 : WIDTH // 2 + 200]
    assert np.abs(part.astype(int) - middle).mean() < 4
    corners = np.array([[0, 0], [400, 0], [400, 120], [0, 120]]) @ to_picture[:, :2].T + to_picture[:, 2]
    assert (rasterised([corners.tolist()], Box(0, 0, WIDTH, HEIGHT)) > 0)[coverage > 0.3].all()


@pytest.mark.parametrize("angle", [0, 33, -70])
def test_a_text_has_its_polygon_and_its_map_in_pixels_of_the_picture(angle: int) -> None:
    picture, coverage = written(angle)
    (text,) = look_at(ImagePyramid(picture, WIDTH, HEIGHT), upright(angle), text_detector(), 0.5)
    assert covers(text.polygon, polygon_around(coverage), 0.93)
    seen = np.zeros((HEIGHT, WIDTH), np.float32)
    box = text.box
    side = box.width // text.probability.shape[1]
    seen[box.y : box.y + box.height, box.x : box.x + box.width] = np.kron(text.probability, np.ones((side, side)))
    assert seen[coverage > 0.5].mean() > 0.4
    centres = [np.average(np.indices(plane.shape), axis=(1, 2), weights=plane) for plane in (seen, coverage)]
    assert centres[0] == pytest.approx(centres[1], abs=4)
    assert seen[rasterised([polygon_around(coverage)], Box(0, 0, WIDTH, HEIGHT)) == 0].mean() < 0.001
    assert text.probability.shape == (box.height // side, box.width // side)


def test_a_reduced_decode_leads_to_pixels_of_the_whole_picture() -> None:
    picture, coverage = written(0, size=90)
    half = np.ascontiguousarray(picture.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(1, 3)).astype(np.uint8))
    texts = look_at(ImagePyramid(half, WIDTH, HEIGHT), upright(0, height=65.0), text_detector(), 0.5)
    covered = rasterised([text.polygon for text in texts], Box(0, 0, WIDTH, HEIGHT)) > 0
    assert covered[coverage > 0.3].mean() > 0.97


def test_a_long_line_is_seen_in_pieces_that_overlap() -> None:
    long = np.full((80, 3 * LONGEST, 3), 200, np.uint8)
    picture, coverage = draw(long, Caption("word " * 34, RobotoBold, 40, colour=(20, 20, 20)))
    assert (coverage > 0.3).any(axis=0).sum() > 2 * LONGEST
    texts = look_at(
        ImagePyramid(picture, long.shape[1], 80), Area(0.0, 0.0, 0.0, long.shape[1], 80.0, 30.0), text_detector(), 0.5
    )
    covered = rasterised([text.polygon for text in texts], Box(0, 0, long.shape[1], 80)) > 0
    assert covered[coverage > 0.3].mean() > 0.99


def test_a_word_between_two_pieces_is_seen_whole_in_one_of_them() -> None:
    width = LONGEST * 3 // 2
    picture, coverage = draw(np.full((80, width, 3), 200, np.uint8), Caption("SEAM", RobotoBold, 40, colour=(20, 20, 20)))
    area = Area(0.0, 0.0, 0.0, width, 80.0, 30.0)
    texts = look_at(ImagePyramid(picture, width, 80), area, text_detector(), 0.5)
    assert any(covers(text.polygon, polygon_around(coverage), 0.95) for text in texts)


def test_faint_pixels_are_stretched_and_others_stay() -> None:
    picture, _ = written(0)
    assert stretched(picture, local_contrast(picture)) is picture
    faint = (picture.astype(np.int16) // 12 + 100).astype(np.uint8)
    assert np.ptp(faint) < FAINT / 2
    assert np.ptp(stretched(faint, local_contrast(faint))) > 2 * np.ptp(faint)


def test_an_area_without_contrast_has_no_text() -> None:
    assert look_at(ImagePyramid(GROUND, WIDTH, HEIGHT), WHOLE, text_detector(), 0.5) == []


def test_a_part_of_a_bent_line_is_one_text_as_large_as_the_part() -> None:
    picture, _ = written(0)
    area = upright(0)
    bent = Area(area.angle, area.left, area.top, area.right, area.bottom, area.height, margin=20.0, bent=True)
    (text,) = look_at(ImagePyramid(picture, WIDTH, HEIGHT), bent, text_detector(), 0.5)
    (left, top), (right, bottom) = np.min(text.polygon, axis=0), np.max(text.polygon, axis=0)
    assert [left, top, right, bottom] == pytest.approx(
        [area.left + 20, area.top + 20, area.right - 21, area.bottom - 21], abs=1
    )


def test_letters_that_differ_in_colour_alone_are_seen() -> None:
    picture, _ = draw(
        np.full((120, 400, 3), (205, 200, 208), np.uint8), Caption("€5532", RobotoBold, 30, colour=(250, 210, 40))
    )
    area = Area(0.0, 100.0, 20.0, 300.0, 100.0, 22.0)
    assert len(look_at(ImagePyramid(picture, 400, 120), area, text_detector(), 0.5)) == 1


@pytest.mark.parametrize(
    ("height", "peak", "looks"),
    [(16, 0.9, [1.0, 2.0]), (16, 0.4, [1.0]), (100, 0.9, [0.4]), (120, 0.9, [1 / 3, 0.5]), (120, 0.4, [1 / 3])],
)
def test_where_the_first_look_is_sure_and_nothing_is_seen_the_detector_looks_at_larger_letters(
    height: float, peak: float, looks: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    cut = ImagePyramid.cut

    def counted(pyramid: ImagePyramid, area: Area, scale: float) -> object:
        seen.append(scale)
        return cut(pyramid, area, scale)

    monkeypatch.setattr(ImagePyramid, "cut", counted)
    noise = np.random.default_rng(0).integers(120, 136, (200, 300, 3), np.uint8)
    area = Area(0.0, 50.0, 50.0, 250.0, 150.0, height, peak=peak)
    assert look_at(ImagePyramid(noise, 300, 200), area, text_detector(), 0.5) == []
    assert seen == pytest.approx(looks)
