"""What is left of a text is measured by how well a viewer sees its most visible letter."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from operators.metrics.remains import remains_of_line, visible_remains

BOX = (30, 40, 270, 80)
POLYGON = [[30, 40], [270, 40], [270, 80], [30, 80]]


NOTHING_ELSE = np.zeros((120, 300), bool)


def seen_in(picture: np.ndarray, polygons: list[list[list[int]]]) -> float:
    """What is seen of a text that is alone in its crop."""
    return visible_remains(picture, polygons, np.zeros(picture.shape[:2], bool))


def page(noise: float = 0.0) -> np.ndarray:
    """Light ground of one colour, with grain."""
    grain = np.random.default_rng(4).normal(0, noise, (120, 300, 1)) if noise else np.zeros((120, 300, 1))
    return np.clip(np.rint(200 + grain), 0, 255).astype(np.uint8).repeat(3, axis=2)


def write(text: str, contrast: int, noise: float = 0.0) -> np.ndarray:
    """The page with letters that are `contrast` grey levels darker."""
    letters = Image.new("L", (300, 120), 0)
    ImageDraw.Draw(letters).text((150, 60), text, fill=contrast, font=ImageFont.load_default(40), anchor="mm")
    return np.clip(page(noise).astype(int) - np.asarray(letters)[:, :, None], 0, 255).astype(np.uint8)


@pytest.mark.parametrize("noise", [0.0, 3.0])
def test_a_clean_fill_shows_nothing(noise: float) -> None:
    assert seen_in(page(noise), [POLYGON]) == 0.0


@pytest.mark.parametrize("text", ["SALE TODAY", "S"])
def test_letters_that_are_left_are_seen_be_it_one_of_many(text: str) -> None:
    assert seen_in(write(text, 180), [POLYGON]) > 20


def test_a_trace_counts_by_its_contrast_in_units_of_the_least_visible_one() -> None:
    strong, faint, invisible = (seen_in(write("SALE TODAY", contrast), [POLYGON]) for contrast in (40, 12, 4))
    assert 5 < strong < 9
    assert 1 < faint < 3
    assert 0 <= invisible < 1


def test_letters_that_differ_in_colour_alone_are_seen() -> None:
    picture = page()
    letters = write("SALE TODAY", 180).max(axis=2) < 100
    picture[letters] = (230, 215, 20)
    assert seen_in(picture, [POLYGON]) > 20


def test_grain_hides_what_plain_ground_shows() -> None:
    seen = seen_in(write("SALE TODAY", 40), [POLYGON])
    assert seen_in(write("SALE TODAY", 40, noise=12.0), [POLYGON]) < 0.5 * seen


def test_text_elsewhere_in_the_crop_does_not_count() -> None:
    picture = page()
    image = Image.fromarray(picture)
    ImageDraw.Draw(image).text((150, 14), "OTHER", fill=(0, 0, 0), font=ImageFont.load_default(16), anchor="mm")
    assert seen_in(np.asarray(image), [[[30, 70], [270, 70], [270, 110], [30, 110]]]) == 0.0


def test_the_letters_of_other_texts_do_not_count() -> None:
    picture = write("SALE TODAY", 180)
    assert visible_remains(picture, [POLYGON], ~NOTHING_ELSE) == 0.0


def test_the_most_visible_of_several_lines_counts_and_no_line_shows_nothing() -> None:
    picture = write("SALE TODAY", 60)
    empty = [[30, 95], [270, 95], [270, 115], [30, 115]]
    assert seen_in(picture, [empty, POLYGON]) == seen_in(picture, [POLYGON])
    assert seen_in(picture, []) == 0.0


def test_the_visible_strokes_are_where_the_letters_are() -> None:
    picture = write("SALE TODAY", 180)
    value, strokes = remains_of_line(picture, POLYGON, NOTHING_ELSE)
    assert value == seen_in(picture, [POLYGON])
    assert strokes.shape == (120, 300)
    assert strokes[(picture < 100).any(axis=2)].mean() > 0.95
    assert not remains_of_line(page(), POLYGON, NOTHING_ELSE)[1].any()


@pytest.mark.xfail(strict=True, reason="letters that the network joins are compared with the mean of all that is around them")
def test_letters_that_run_over_two_surfaces_are_seen_on_both(captioned: tuple, photo: np.ndarray) -> None:
    picture = captioned[0][40:140, 20:380].copy()
    picture[:, :170] = photo[40:140, 20:190]
    assert seen_in(picture, [[[20, 20], [305, 20], [305, 80], [20, 80]]]) > 1
