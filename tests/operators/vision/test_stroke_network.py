"""The stroke network finds the pixels that a line of text has touched, and nothing else."""

from __future__ import annotations

import string

import numpy as np
import pytest
import skimage.data
from font_amatic_sc import AmaticSCBold
from font_fredoka_one import FredokaOne
from font_roboto import Roboto, RobotoBold
from font_source_serif_pro import SourceSerifPro

from flows.evaluation.draw_text import Caption, draw_all, polygon_around
from operators.masks.geometry import rasterised, stroke_height
from operators.masks.mask import dilated
from operators.rows.box import Box
from operators.vision.stroke_network import MOST_PIXELS, Line, around_line, stroke_network, stroke_network_identity

CAPTIONS = {
    "plain": Caption("Summer sale 50%", RobotoBold, 40, 0.5, 0.4),
    "outlined": Caption("hand written", AmaticSCBold, 44, 0.5, 0.7, colour=(250, 220, 60), outline=2),
    "dark": Caption("Do not copy", SourceSerifPro, 30, 0.5, 0.2, colour=(10, 10, 10)),
    "translucent and turned": Caption("Watermark", FredokaOne, 52, 0.5, 0.5, opacity=0.5, angle=20),
    "with a shadow": Caption("Breaking news", RobotoBold, 36, 0.5, 0.8, shadow=3),
    "small": Caption("photo by nobody", Roboto, 18, 0.5, 0.9),
}
PICTURES = ("astronaut", "chelsea", "coffee", "rocket")
FOUND, TOUCHED = 0.3, 0.04


def line_in(picture: np.ndarray, polygon: list[list[float]]) -> tuple[np.ndarray, Line]:
    """The crop of a line as the network sees it, and the line."""
    line = Line.of([polygon], picture.shape[1], picture.shape[0])
    return np.ascontiguousarray(picture[line.place]), line


@pytest.fixture(scope="module")
def scores() -> dict[tuple[str, str], tuple[float, float]]:
    """Recall and precision by picture and caption."""
    measured = {}
    for name in PICTURES:
        clean = getattr(skimage.data, name)()
        for style, caption in CAPTIONS.items():
            picture, coverage = draw_all(clean, (caption,))
            crop, line = line_in(picture, polygon_around(coverage))
            touched = coverage[line.place] > TOUCHED
            strokes = stroke_network().line_probability(crop, line) >= FOUND
            near = dilated(touched.astype(np.uint8), 3) > 0
            measured[name, style] = (float(strokes[touched].mean()), float(near[strokes].mean()) if strokes.any() else 0.0)
    return measured


def test_at_least_95_of_100_touched_pixels_are_found_in_the_mean(scores: dict[tuple[str, str], tuple[float, float]]) -> None:
    assert np.mean([recall for recall, _ in scores.values()]) >= 0.95


def test_at_least_70_of_100_found_pixels_are_touched_or_next_to_it_in_the_mean(
    scores: dict[tuple[str, str], tuple[float, float]],
) -> None:
    assert np.mean([precision for _, precision in scores.values()]) >= 0.7


@pytest.mark.parametrize("style", CAPTIONS)
def test_no_style_of_text_is_lost(style: str, scores: dict[tuple[str, str], tuple[float, float]]) -> None:
    assert np.mean([scores[name, style][0] for name in PICTURES]) >= 0.8
    assert np.mean([scores[name, style][1] for name in PICTURES]) >= 0.6


@pytest.fixture(scope="module")
def shown() -> tuple[np.ndarray, np.ndarray, float]:
    picture, coverage = draw_all(skimage.data.coffee(), (CAPTIONS["plain"],))
    crop, line = line_in(picture, polygon_around(coverage))
    return crop, line.inside, line.height


def test_the_same_crop_gives_the_same_map(shown: tuple[np.ndarray, np.ndarray, float]) -> None:
    first, second = (stroke_network().probability(*shown) for _ in range(2))
    assert np.array_equal(first, second)


def test_the_crop_and_the_polygon_are_left_alone(shown: tuple[np.ndarray, np.ndarray, float]) -> None:
    crop, polygon, height = shown
    before = crop.copy(), polygon.copy()
    stroke_network().probability(crop, polygon, height)
    assert np.array_equal(crop, before[0])
    assert np.array_equal(polygon, before[1])


@pytest.mark.parametrize("size", [(1, 1), (7, 3), (17, 33), (47, 211), (64, 128), (101, 99), (230, 61)])
@pytest.mark.parametrize("height", [1.0, 12.5, 46.0, 200.0])
def test_the_map_is_as_large_as_the_crop_and_holds_probabilities(size: tuple[int, int], height: float) -> None:
    crop = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    found = stroke_network().probability(crop, np.full(size, 255, np.uint8), height)
    assert found.shape == size
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_crop_larger_than_the_network_takes_is_worked_too() -> None:
    size = (100, 2 * MOST_PIXELS // 100)
    found = stroke_network().probability(np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8), 46.0)
    assert found.shape == size


@pytest.mark.parametrize("name", PICTURES)
def test_without_a_line_of_text_nothing_is_found(name: str) -> None:
    clean = getattr(skimage.data, name)()
    crop = np.ascontiguousarray(clean[60:160, 50:330])
    assert stroke_network().probability(crop, np.zeros(crop.shape[:2], np.uint8), 40.0).max() < FOUND


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_away_from_the_line_is_left_alone(name: str) -> None:
    caption = CAPTIONS["plain"]
    picture, coverage = draw_all(getattr(skimage.data, name)(), (caption,))
    crop, line = line_in(picture, polygon_around(coverage))
    away = dilated(line.inside, round(0.3 * line.height)) == 0
    found = stroke_network().line_probability(crop, line) >= FOUND
    assert found[away].mean() < 0.01


def test_text_beside_the_line_that_is_asked_for_is_not_part_of_it() -> None:
    two = (Caption("first line", RobotoBold, 40, 0.5, 0.3), Caption("second line", RobotoBold, 40, 0.5, 0.6))
    picture, _ = draw_all(skimage.data.coffee(), two)
    _, first = draw_all(skimage.data.coffee(), two[:1])
    _, second = draw_all(skimage.data.coffee(), two[1:])
    polygon = rasterised([polygon_around(first)], Box(0, 0, picture.shape[1], picture.shape[0]))
    found = stroke_network().probability(picture, polygon, stroke_height(polygon_around(first))) >= FOUND
    assert found[first > 0.5].mean() > 0.9
    assert found[second > 0.5].mean() < 0.3


def test_the_network_sees_a_lines_box_and_a_margin_cut_to_the_picture() -> None:
    assert around_line(Box(100, 100, 50, 20), 20.0, 640, 480) == Box(86, 86, 78, 48)
    assert around_line(Box(0, 470, 640, 10), 10.0, 640, 480) == Box(0, 462, 640, 18)


def rectangle(x: float, y: float, width: float, height: float) -> list[list[float]]:
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def test_a_line_has_the_height_of_its_polygon_and_the_polygon_filled_on_its_reach() -> None:
    polygon = rectangle(100, 100, 49, 20)
    line = Line.of([polygon], 640, 480)
    assert line.height == pytest.approx(20)
    assert line.reach == around_line(Box(100, 100, 50, 21), 20.0, 640, 480)
    assert np.array_equal(line.inside, rasterised([polygon], line.reach))


def test_a_line_of_several_polygons_has_the_smallest_height_and_reaches_around_them_all() -> None:
    polygons = [rectangle(100, 100, 200, 40), rectangle(100, 200, 60, 10)]
    line = Line.of(polygons, 640, 480)
    assert line.height == pytest.approx(10)
    assert line.reach == around_line(Box(100, 100, 201, 111), 10.0, 640, 480)
    assert np.array_equal(line.inside, np.maximum(*(rasterised([polygon], line.reach) for polygon in polygons)))


def test_a_line_without_extent_is_one_pixel_high() -> None:
    line = Line.of([[[50.0, 60.0]] * 4], 640, 480)
    assert line.height == 1
    assert line.inside.any()


@pytest.mark.parametrize(("x", "y"), [(0, 0), (590, 460), (300, 200), (-20, 470)])
def test_the_place_of_a_line_is_its_reach_in_the_picture(x: int, y: int) -> None:
    line = Line.of([rectangle(x, y, 49, 19)], 640, 480)
    picture = np.arange(480 * 640).reshape(480, 640)
    part = picture[line.place]
    assert part.shape == line.inside.shape == (line.reach.height, line.reach.width)
    assert part[0, 0] == line.reach.y * 640 + line.reach.x


def test_the_map_of_a_line_is_the_map_of_its_parts(shown: tuple[np.ndarray, np.ndarray, float]) -> None:
    picture, coverage = draw_all(skimage.data.coffee(), (CAPTIONS["plain"],))
    line = Line.of([polygon_around(coverage)], picture.shape[1], picture.shape[0])
    for seen_height in (30, 62):
        expected = stroke_network().probability(*shown, seen_height=seen_height)
        assert np.array_equal(stroke_network().line_probability(picture[line.place], line, seen_height), expected)


def test_the_network_is_named_with_its_licence_and_checksum() -> None:
    identity = stroke_network_identity()
    assert identity["alias"] == "strokes"
    assert identity["licence"] == "Apache-2.0"
    assert len(identity["sha256"]) == 64
    assert set(identity["sha256"]) <= set(string.hexdigits)


def share_found(angle: float, vertical: bool = False) -> tuple[float, bool]:
    """The share of a turned line's pixels that are found, and whether it counts as steep."""
    clean = skimage.data.coffee()
    caption = Caption("ORIGINAL", RobotoBold, 30, 0.5, 0.5, angle=angle, vertical=vertical)
    picture, coverage = draw_all(clean, (caption,))
    crop, line = line_in(picture, polygon_around(coverage))
    strokes = stroke_network().line_probability(crop, line) >= FOUND
    return float(strokes[coverage[line.place] > TOUCHED].mean()), line.is_steep


@pytest.mark.parametrize("angle", [60, 90, -75])
def test_the_letters_of_a_steep_line_are_found_as_those_of_a_level_one(angle: float) -> None:
    found, steep = share_found(angle)
    assert steep and found >= 0.95


def test_lines_that_run_rather_across_and_single_letters_are_not_steep() -> None:
    assert not share_found(30)[1]
    assert not Line.of([[[10, 10], [40, 10], [40, 48], [10, 48]]], 100, 100).is_steep


def test_a_column_of_letters_is_found() -> None:
    found, steep = share_found(0, vertical=True)
    assert steep and found >= 0.95
