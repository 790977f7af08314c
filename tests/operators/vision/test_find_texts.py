"""Texts are found at the size that they have, and each of them once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from font_source_serif_pro import SourceSerifPro
from PIL import Image, ImageDraw, ImageFont

from flows.evaluation.draw_text import Caption, draw, polygon_around
from operators.masks.geometry import covers, rasterised, stroke_height
from operators.rows.box import Box
from operators.vision import find_texts as module
from operators.vision.areas import Area, turned
from operators.vision.close_look import FoundText, look_at
from operators.vision.find_texts import find_texts, without_repeats
from operators.vision.first_look import View


def draw_column(width: int, height: int, places: list[int], size: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """A grey strip with a line of text at each of the heights, and which of its pixels are text."""
    image = Image.new("RGB", (width, height), (200, 205, 210))
    for number, y in enumerate(places):
        ImageDraw.Draw(image).text((60, y), f"LINE {number:02}", fill=(20, 20, 20), font=ImageFont.load_default(size))
    picture = np.asarray(image)
    return picture, picture.max(axis=2) < 100


PLACES = list(range(100, 5900, 145))
"""Lines so close together that every seam between tiles has some beside it or upon it."""


@pytest.fixture(scope="module", params=["upright", "lying"])
def strip(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray, list]:
    """A strip of 400 x 6000 pixels, or the same lying, its text's pixels, and the texts found."""
    picture, text = draw_column(400, 6000, PLACES)
    if request.param == "lying":
        columns = [draw_column(400, 400, [180]) for _ in range(15)]
        picture, text = (np.concatenate(parts, axis=1) for parts in zip(*columns, strict=True))
    height, width = text.shape
    return picture, text, find_texts(np.ascontiguousarray(picture), width, height, View().factor(width, height), 0.5)


def test_every_text_of_a_long_strip_is_found_in_the_pixels_of_the_strip(strip: tuple) -> None:
    _, text, found = strip
    box = Box(0, 0, text.shape[1], text.shape[0])
    covered = rasterised([one.polygon for one in found], box) > 0
    assert covered[text].mean() > 0.99
    assert covered.mean() < 0.2


def test_no_text_is_found_twice_where_tiles_overlap(strip: tuple) -> None:
    _, text, found = strip
    assert len(found) == (len(PLACES) if text.shape[1] == 400 else 15)
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            assert not covers(one.polygon, other.polygon, 0.1)


def test_every_text_has_its_own_cells_and_their_box_around_its_polygon(strip: tuple) -> None:
    _, text, found = strip
    for one in found:
        corners = np.clip(np.asarray(one.polygon), 0, [text.shape[1] - 1, text.shape[0] - 1])
        assert (corners.min(axis=0) >= [one.box.x, one.box.y]).all()
        assert (corners.max(axis=0) <= [one.box.x + one.box.width - 1, one.box.y + one.box.height - 1]).all()
        assert one.cells.max() > 127


def test_a_strip_decoded_at_half_its_size_is_found_in_its_own_pixels() -> None:
    picture, text = draw_column(800, 8000, [500, 3900, 7400], size=80)
    half = np.asarray(Image.fromarray(picture).reduce(2))
    found = find_texts(half, 800, 8000, View().factor(800, 8000), 0.5)
    assert (rasterised([one.polygon for one in found], Box(0, 0, 800, 8000)) > 0)[text].mean() > 0.97
    assert len(found) == 3


def found_text(left: int, top: int, right: int, bottom: int) -> FoundText:
    box = Box(left, top, right - left + 1, bottom - top + 1)
    polygon = [[float(x), float(y)] for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
    return FoundText(polygon, 0.9, np.ones((box.height, box.width), np.float32), box)


def test_of_a_text_seen_twice_the_larger_polygon_is_kept() -> None:
    whole, part = found_text(0, 0, 99, 19), found_text(10, 2, 60, 18)
    (found,) = without_repeats([part, whole])
    assert found.polygon == whole.polygon
    assert found.covered == (part,)


def test_lines_that_were_also_seen_as_one_stay_lines() -> None:
    lines = [found_text(0, y, 199, y + 19) for y in (0, 24, 48)]
    assert without_repeats([found_text(0, 0, 199, 67), *lines]) == lines


def test_a_line_of_which_pieces_were_also_seen_stays_whole() -> None:
    line, pieces = (
        found_text(0, 0, 399, 39),
        [found_text(5, 2, 44, 12), found_text(300, 25, 350, 37), found_text(10, 4, 390, 28)],
    )
    assert without_repeats([*pieces, line])[0].polygon == line.polygon
    assert len(without_repeats([*pieces, line])) == 1


def test_a_word_above_a_small_one_stays_although_it_reaches_over_it() -> None:
    large, small = found_text(0, 0, 199, 59), found_text(300, 0, 399, 19)
    assert without_repeats([small, large]) == [large, small]


@pytest.mark.parametrize("angle", [35, -60, 75])
def test_a_slanted_text_is_found_whole_and_its_polygon_is_turned(angle: int) -> None:
    ground = np.full((600, 600, 3), (190, 200, 180), np.uint8)
    picture, coverage = draw(ground, Caption("SLANTED LINE", SourceSerifPro, 40, colour=(20, 20, 30), angle=angle))
    found = find_texts(picture, 600, 600, View().factor(600, 600), 0.5)
    covered = rasterised([one.polygon for one in found], Box(0, 0, 600, 600)) > 0
    assert covered[coverage > 0.3].mean() > 0.97
    assert covered.mean() < 2.5 * stroke_height(polygon_around(coverage)) * 320 / 600**2


def test_letters_that_fill_most_of_a_picture_are_found() -> None:
    ground = np.full((700, 1200, 3), (190, 200, 180), np.uint8)
    picture, coverage = draw(ground, Caption("HUGE", SourceSerifPro, 380, colour=(20, 20, 30)))
    found = find_texts(picture, 1200, 700, View().factor(1200, 700), 0.5)
    assert (rasterised([one.polygon for one in found], Box(0, 0, 1200, 700)) > 0)[coverage > 0.3].mean() > 0.9


def test_a_picture_without_text_never_reaches_the_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the detector was asked")

    monkeypatch.setattr("operators.vision.find_texts.look_at", refuse)
    y, x = np.mgrid[:500, :700]
    sky = np.dstack([120 + y / 10, 150 + y / 12, 200 + x / 20]).astype(np.uint8)
    assert find_texts(sky, 700, 500, View().factor(700, 500), 0.5) == []


def draw_sentence(angle: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """A long line of text on a white page of 900 x 500 pixels, and which pixels it covers."""
    page = np.full((500, 900, 3), 250, np.uint8)
    picture, coverage = draw(
        page, Caption("Write to us or call 642-405-2077", SourceSerifPro, 30, colour=(30, 30, 34), angle=angle)
    )
    return picture, coverage > 0.5


def looks_at(area: Area, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> tuple[list[FoundText], list[Area]]:
    """What is found if the first look sees this area alone, and where the detector looked."""
    seen: list[Area] = []

    def counted(pyramid: object, where: Area, *rest: object) -> list[FoundText]:
        seen.append(where)
        return look_at(pyramid, where, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "areas", lambda copies: [area])
    monkeypatch.setattr(module, "look_at", counted)
    return find_texts(picture, 900, 500, View().factor(900, 500), 0.5), seen


@pytest.mark.parametrize("angle", [0.0, 20.0, -35.0])
def test_a_line_of_which_the_first_look_sees_a_part_is_followed_to_both_ends(
    angle: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, text = draw_sentence(angle)
    turn = turned(math.radians(angle))
    (x, y), half = turn @ [450.0, 250.0], 70.0
    middle = Area(math.radians(angle), x - half, y - 45.0, x + half, y + 45.0, 22.0, 22.0)
    found, seen = looks_at(middle, picture, monkeypatch)
    assert len(found) == 1
    assert (rasterised([found[0].polygon], Box(0, 0, 900, 500)) > 0)[text].mean() > 0.97
    assert len(seen) > 1


def test_an_area_that_holds_its_whole_line_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, text = draw_sentence()
    rows, columns = np.flatnonzero(text.any(axis=1)), np.flatnonzero(text.any(axis=0))
    whole = Area(0.0, columns[0] - 26.0, rows[0] - 26.0, columns[-1] + 26.0, rows[-1] + 26.0, 22.0, 22.0)
    found, seen = looks_at(whole, picture, monkeypatch)
    assert len(found) == len(seen) == 1


def test_a_line_that_ends_at_the_border_of_the_picture_is_not_looked_for_beyond_it(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, text = draw_sentence()
    columns = np.flatnonzero(text.any(axis=0))
    cut = np.ascontiguousarray(picture[:, columns[0] + 4 : columns[-1] - 4])
    monkeypatch.setattr(module, "areas", lambda copies: [Area(0.0, 0.0, 200.0, float(cut.shape[1]), 300.0, 22.0, 22.0)])
    seen: list[Area] = []
    monkeypatch.setattr(module, "look_at", lambda pyramid, where, *rest: seen.append(where) or look_at(pyramid, where, *rest))
    find_texts(cut, cut.shape[1], 500, View().factor(cut.shape[1], 500), 0.5)
    assert len(seen) == 1


def test_an_end_that_the_first_glance_leaves_out_is_found_by_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector gives half of a line. Its rest is seen when the end is looked at alone."""

    def look_at_half(*arguments: Any) -> list[FoundText]:
        halves = []
        for text in look_at(*arguments):
            left, right = min(x for x, _ in text.polygon), max(x for x, _ in text.polygon)
            halves.append(replace(text, polygon=[[min(x, (left + right) / 2), y] for x, y in text.polygon]))
        return halves

    monkeypatch.setattr(module, "look_at", look_at_half)
    monkeypatch.setattr(module, "FOLLOWED", ())
    ground = np.full((400, 800, 3), 200, np.uint8)
    picture, coverage = draw(ground, Caption("Fresh coffee daily", SourceSerifPro, 44, 0.5, 0.5))
    (found,) = find_texts(picture, 800, 400, 1.0, 0.5)
    covered = rasterised([found.polygon], Box(0, 0, 800, 400)) > 0
    assert covered[coverage > 0.5].all()
    monkeypatch.setattr(module, "missed_ends", lambda *arguments: [])
    (half,) = find_texts(picture, 800, 400, 1.0, 0.5)
    assert (rasterised([half.polygon], Box(0, 0, 800, 400)) > 0)[coverage > 0.5].mean() < 0.6


def test_a_copy_of_a_tiled_text_that_the_first_look_misses_is_found_by_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.full((600, 900, 3), (150, 160, 140), np.uint8)
    for x in (0.2, 0.5, 0.8):
        for y in (0.2, 0.5, 0.8):
            picture, _ = draw(picture, Caption("sample", SourceSerifPro, 30, x=x, y=y, colour=(240, 240, 240)))
    of_all = module.areas

    def without_the_middle(copies: Any) -> list[Area]:
        return [area for area in of_all(copies) if not (area.left < 450 < area.right and area.top < 300 < area.bottom)]

    monkeypatch.setattr(module, "areas", without_the_middle)
    found = find_texts(picture, 900, 600, 1.0, 0.5)
    assert len(found) == 9
    assert (
        sum(
            text.box.x < 450 < text.box.x + text.box.width and text.box.y < 300 < text.box.y + text.box.height for text in found
        )
        == 1
    )
    monkeypatch.setattr(module, "repeated_texts", lambda *_: [])
    assert len(find_texts(picture, 900, 600, 1.0, 0.5)) == 8
