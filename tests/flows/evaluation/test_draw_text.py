"""Text drawn on a picture, and its coverage to the pixel."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data
from font_roboto import RobotoBold
from hypothesis import given, settings
from hypothesis import strategies as st
from noto_cjk_sans_jp_bold import FONT_PATH

from flows.evaluation.draw_text import Caption, draw, draw_all, extent, polygon_around, polygon_of

check = settings(deadline=None, max_examples=25)
PICTURE = skimage.data.coffee()[:240, :360]
PLAIN = Caption("Sample 7", RobotoBold, 40)
STYLES = {
    "plain": PLAIN,
    "translucent": replace(PLAIN, opacity=0.4),
    "outlined": replace(PLAIN, outline=3),
    "with a shadow": replace(PLAIN, shadow=3),
    "turned": replace(PLAIN, angle=30.0),
    "glowing": replace(PLAIN, glow=4),
    "bent": replace(PLAIN, arc=80.0),
    "bent downwards": replace(PLAIN, arc=-80.0),
    "vertical": replace(PLAIN, text="縦書き", font=str(FONT_PATH), vertical=True),
    "underlined": replace(PLAIN, underlined=True),
    "everything": replace(PLAIN, outline=2, shadow=2, angle=-20.0, opacity=0.7),
}

captions = st.builds(
    Caption,
    text=st.text("abcXYZ 0189$&gjq", min_size=1, max_size=12).filter(lambda text: text.strip()),
    font=st.just(RobotoBold),
    size=st.integers(6, 90),
    x=st.floats(-0.3, 1.3),
    y=st.floats(-0.3, 1.3),
    colour=st.tuples(*[st.integers(0, 255)] * 3),
    opacity=st.floats(0.05, 1),
    outline=st.integers(0, 4),
    shadow=st.integers(0, 4),
    angle=st.floats(-90, 90),
    glow=st.integers(0, 6),
    arc=st.just(0.0) | st.floats(20, 300) | st.floats(-300, -20),
    vertical=st.booleans(),
    underlined=st.booleans(),
)


@check
@given(captions)
def test_a_pixel_that_is_not_covered_keeps_its_value(caption: Caption) -> None:
    picture, coverage = draw(PICTURE, caption)
    assert picture.shape == PICTURE.shape
    assert picture.dtype == np.uint8
    assert coverage.shape == PICTURE.shape[:2]
    assert coverage.dtype == np.float32
    assert np.array_equal(picture[coverage == 0], PICTURE[coverage == 0])


@check
@given(captions)
def test_a_pixel_changes_by_no_more_than_it_is_covered(caption: Caption) -> None:
    picture, coverage = draw(PICTURE, caption)
    assert coverage.min() >= 0
    assert coverage.max() <= caption.opacity + 1e-6
    assert (np.abs(picture.astype(int) - PICTURE).max(axis=2) <= 255 * coverage + 0.5 + 1e-3).all()


@check
@given(captions)
def test_the_same_caption_gives_the_same_pixels(caption: Caption) -> None:
    (first, first_coverage), (second, second_coverage) = draw(PICTURE, caption), draw(PICTURE, caption)
    assert np.array_equal(first, second)
    assert np.array_equal(first_coverage, second_coverage)


@pytest.mark.parametrize("opacity", [1.0, 0.35])
def test_plain_text_is_the_mixture_of_picture_and_colour_that_its_coverage_says(opacity: float) -> None:
    caption = replace(PLAIN, colour=(250, 40, 90), opacity=opacity)
    picture, coverage = draw(PICTURE, caption)
    weight = coverage[:, :, None].astype(np.float64)
    expected = PICTURE * (1 - weight) + np.array(caption.colour) * weight
    assert np.abs(picture - expected).max() <= 0.51
    assert coverage.max() == pytest.approx(opacity, abs=1e-6)


def test_a_fully_covered_pixel_has_the_colour_of_the_text() -> None:
    picture, coverage = draw(PICTURE, replace(PLAIN, colour=(12, 200, 90)))
    assert (coverage == 1).sum() > 300
    assert (picture[coverage == 1] == (12, 200, 90)).all()


def test_an_outline_surrounds_the_letters_in_its_own_colour() -> None:
    letters = draw(PICTURE, PLAIN)[1]
    picture, coverage = draw(PICTURE, replace(PLAIN, outline=3, outline_colour=(255, 0, 0)))
    beyond = (coverage == 1) & (cv2.dilate(letters, np.ones((5, 5))) == 0)
    assert (coverage > 0).sum() > 1.3 * (letters > 0).sum()
    assert beyond.any()
    assert (picture[beyond] == (255, 0, 0)).all()


@pytest.mark.parametrize("colour", [(255, 255, 255), (0, 0, 0), (250, 220, 60)])
def test_a_shadow_is_black_whatever_the_colour_of_the_text(colour: tuple[int, int, int]) -> None:
    letters = draw(PICTURE, PLAIN)[1]
    picture, coverage = draw(PICTURE, replace(PLAIN, shadow=4, colour=colour))
    shade = (coverage > 0) & (letters == 0)
    expected = PICTURE * (1 - coverage[:, :, None])
    assert np.abs(picture - expected)[shade].max() <= 1.5


def test_a_shadow_falls_below_and_to_the_right_and_counts_as_covered() -> None:
    letters, coverage = (draw(PICTURE, replace(PLAIN, shadow=shadow))[1] for shadow in (0, 4))
    shade = (coverage > 0.3) & (letters == 0)
    rows, columns = np.nonzero(shade)
    assert shade.sum() > 200
    where = np.nonzero(letters)
    assert rows.mean() > where[0].mean()
    assert columns.mean() > where[1].mean()


def test_text_turns_anticlockwise_about_its_middle() -> None:
    coverage = draw(PICTURE, replace(PLAIN, angle=40.0))[1]
    rows, columns = np.nonzero(coverage > 0.5)
    assert np.polyfit(columns, rows, 1)[0] == pytest.approx(-np.tan(np.radians(40)), abs=0.15)
    assert rows.mean() == pytest.approx(120, abs=8)
    assert columns.mean() == pytest.approx(180, abs=8)


@pytest.mark.parametrize("style", STYLES)
def test_a_caption_is_drawn_where_it_is_put(style: str) -> None:
    for x, y in ((0.5, 0.5), (0.4, 0.7)):
        rows, columns = np.nonzero(draw(PICTURE, replace(STYLES[style], x=x, y=y))[1])
        assert (columns.min() + columns.max()) / 2 == pytest.approx(360 * x, abs=8)
        assert (rows.min() + rows.max()) / 2 == pytest.approx(240 * y, abs=8)


def test_a_caption_outside_the_picture_covers_nothing() -> None:
    picture, coverage = draw(PICTURE, replace(PLAIN, x=4.0))
    assert np.array_equal(picture, PICTURE)
    assert not coverage.any()


def test_several_captions_cover_what_the_strongest_of_them_covers() -> None:
    pair = (replace(PLAIN, y=0.45, opacity=0.5), replace(PLAIN, y=0.55))
    picture, coverage = draw_all(PICTURE, pair)
    first, second = (draw(PICTURE, caption)[1] for caption in pair)
    assert np.array_equal(coverage, np.maximum(first, second))
    assert np.array_equal(picture, draw(draw(PICTURE, pair[0])[0], pair[1])[0])


def test_without_captions_the_picture_is_as_it_was() -> None:
    picture, coverage = draw_all(PICTURE, [])
    assert np.array_equal(picture, PICTURE)
    assert not coverage.any()


def test_the_polygon_around_a_coverage_is_its_smallest_rectangle() -> None:
    coverage = np.zeros((50, 80), np.float32)
    coverage[10:20, 30:60] = 1
    coverage[40, 5] = 0.05
    polygon = polygon_around(coverage)
    assert sorted((round(x), round(y)) for x, y in polygon) == [(30, 10), (30, 19), (59, 10), (59, 19)]


@pytest.mark.parametrize("arc", [60.0, 160.0, 250.0, -60.0, -160.0])
def test_the_polygon_of_a_bent_line_follows_it(arc: float) -> None:
    caption = replace(PLAIN, size=24, text="Follows the circle", arc=arc)
    coverage = draw(PICTURE, caption)[1]
    polygon = polygon_of(caption, coverage)
    band = np.zeros(coverage.shape, np.uint8)
    cv2.fillPoly(band, [np.rint(polygon).astype(np.int32)], 1)
    assert (cv2.dilate(band, np.ones((3, 3)))[coverage > 0.1] == 1).all()
    assert band.sum() < 0.7 * cv2.contourArea(np.float32(polygon_around(coverage)))


@pytest.mark.parametrize(("arc", "side"), [(120.0, 1), (-120.0, -1)])
def test_a_line_is_bent_upwards_or_downwards_in_the_middle(arc: float, side: int) -> None:
    rows, columns = np.nonzero(draw(PICTURE, replace(PLAIN, arc=arc))[1] > 0.5)
    outer = (columns < np.quantile(columns, 0.1)) | (columns > np.quantile(columns, 0.9))
    middle = np.abs(columns - np.median(columns)) < 20
    assert side * (rows[outer].mean() - rows[middle].mean()) > 20


def test_vertical_letters_stand_one_below_the_other() -> None:
    across, down = extent(STYLES["vertical"])
    assert down > 2.5 * across


def test_a_line_under_the_words_counts_as_text() -> None:
    letters, coverage = (draw(PICTURE, replace(PLAIN, text="no", underlined=line))[1] for line in (False, True))
    rows = np.flatnonzero((coverage == 1).all(axis=1) | ((coverage == 1).sum(axis=1) > 0.9 * (coverage > 0).any(axis=0).sum()))
    assert len(rows) == PLAIN.size // 14
    assert (coverage > 0).sum() > (letters > 0).sum()


def test_a_glow_surrounds_the_letters_in_its_own_colour() -> None:
    letters = draw(PICTURE, PLAIN)[1]
    picture, coverage = draw(PICTURE, replace(PLAIN, glow=5, glow_colour=(0, 255, 0)))
    light = (coverage > 0.5) & (letters == 0)
    assert light.sum() > 500
    expected = PICTURE * (1 - coverage[:, :, None]) + np.array([0, 255, 0]) * coverage[:, :, None]
    assert np.abs(picture - expected)[light].max() <= 1.5
