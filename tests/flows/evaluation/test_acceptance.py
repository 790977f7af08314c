"""The rule of acceptance: each part alone refuses a delivered picture, and nothing else does."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from font_roboto import RobotoBold

from flows.evaluation.acceptance import (
    REFUSALS,
    TextFigures,
    cut,
    judge_picture,
    judge_untouched,
    padded_box,
    signal_left,
)
from flows.evaluation.draw_text import Caption, draw, polygon_around
from operators.masks.geometry import Polygon
from operators.metrics.quality import psnr
from operators.rows.arrays import Pixels

HEIGHT, WIDTH = 160, 320


def flat(level: int = 128) -> Pixels:
    return np.full((HEIGHT, WIDTH, 3), level, np.uint8)


def grain(deviation: float, seed: int = 1) -> Pixels:
    noise = np.random.default_rng(seed).normal(0, deviation, (HEIGHT, WIDTH, 1))
    return np.clip(128 + noise.repeat(3, 2), 0, 255).astype(np.uint8)


def halftone() -> Pixels:
    dots = np.indices((HEIGHT, WIDTH)).sum(0) // 3 % 2 > 0
    return np.where(dots[:, :, None], 60, 190).repeat(3, 2).astype(np.uint8)


def blotched(picture: Pixels, height: float, sigma: float, x: int = 75, y: int = 80) -> Pixels:
    """The picture with a soft blotch of `height` grey levels; by default inside the text's
    padding, left of its letters.
    """
    down, right = np.mgrid[:HEIGHT, :WIDTH]
    blotch = height * np.exp(-((right - x) ** 2 + (down - y) ** 2) / (2 * sigma**2))
    return np.clip(np.rint(picture + blotch[:, :, None]), 0, 255).astype(np.uint8)


def captioned(clean: Pixels, size: int = 40) -> tuple[Pixels, Polygon]:
    """The picture with white letters in its middle, and their polygon."""
    picture, coverage = draw(clean, Caption("SALE 20", RobotoBold, size, colour=(255, 255, 255)))
    return picture, polygon_around(coverage)


def ghost(clean: Pixels, source: Pixels, share: float) -> Pixels:
    return np.rint(clean + share * (source.astype(np.float64) - clean)).astype(np.uint8)


@cache
def refused_alone() -> dict[str, tuple[TextFigures, str | None]]:
    """For each part about a text, the figures of a picture that it alone should refuse."""
    rough = grain(30)
    source, polygon = captioned(rough)
    smooth = rough.copy()
    box = padded_box(polygon, rough)
    smooth[box.y : box.y + box.height, box.x : box.x + box.width] = 128

    fine = grain(6)
    fine_source, _ = captioned(fine)

    medium = grain(20)
    mark = [[130.0, 60.0], [190.0, 60.0], [190.0, 100.0], [130.0, 100.0]]
    marked, half_marked = (blotched(medium, height, 10, 160) for height in (40, 20))

    plain_source, _ = captioned(flat())
    dotted_source, _ = captioned(halftone())

    pictures = {
        "distance": (smooth, source, rough, polygon),
        "characters": (ghost(fine, fine_source, 0.05), fine_source, fine, polygon),
        "signal": (half_marked, marked, medium, mark),
        "flat_error": (blotched(flat(), 9, 5), plain_source, flat(), polygon),
        "stain": (blotched(halftone(), 45, 8), dotted_source, halftone(), polygon),
    }
    result = {}
    for part, (delivered, before, clean, text) in pictures.items():
        judgement = judge_picture(delivered, before, clean, [text])
        result[part] = judgement.texts[0], judgement.refusal
    return result


FIGURE_OF = {
    "distance": {"distance": 0.0},
    "characters": {"characters_left": 0},
    "signal": {"signal_left": 0.0},
    "flat_error": {"flat_error": 0.0},
    "stain": {"stain": 0.0},
}


@pytest.mark.parametrize("part", FIGURE_OF)
def test_each_part_about_a_text_refuses_alone(part: str) -> None:
    figures, refusal = refused_alone()[part]
    assert refusal == figures.refusal == part
    assert replace(figures, **FIGURE_OF[part]).accepted  # type: ignore[arg-type]


LIMITS = {
    "distance": (TextFigures(0.06, 0, 0.0, 0.0, 0.0), TextFigures(0.0601, 0, 0.0, 0.0, 0.0)),
    "characters": (TextFigures(0.0, 0, 0.0, 0.0, 0.0), TextFigures(0.0, 1, 0.0, 0.0, 0.0)),
    "signal": (TextFigures(0.0, 0, 0.35, 0.0, 0.0), TextFigures(0.0, 0, 0.351, 0.0, 0.0)),
    "flat_error": (TextFigures(0.0, 0, 0.0, 7.0, 0.0), TextFigures(0.0, 0, 0.0, 7.01, 0.0)),
    "stain": (TextFigures(0.0, 0, 0.0, 0.0, 25.0), TextFigures(0.0, 0, 0.0, 0.0, 25.01)),
}


@pytest.mark.parametrize("part", LIMITS)
def test_a_figure_at_its_limit_is_accepted_and_beyond_it_refused(part: str) -> None:
    at_limit, beyond = LIMITS[part]
    assert at_limit.accepted
    assert (beyond.accepted, beyond.refusal) == (False, part)


def test_the_first_broken_part_is_named() -> None:
    assert TextFigures(1.0, 9, 1.0, 99.0, 99.0).refusal == "distance"
    assert TextFigures(0.0, 9, 1.0, 99.0, 99.0).refusal == "characters"
    assert (*FIGURE_OF, "outside", "touched") == REFUSALS


def test_the_clean_picture_is_accepted_with_all_figures_at_zero() -> None:
    source, polygon = captioned(grain(12))
    judgement = judge_picture(grain(12), source, grain(12), [polygon])
    assert judgement.accepted
    assert judgement.texts == (TextFigures(0.0, 0, 0.0, 0.0, 0.0),)
    assert (judgement.outside, judgement.refusal) == (0.0, None)


def test_the_text_as_it_was_is_refused_with_all_of_its_signal() -> None:
    source, polygon = captioned(flat())
    judgement = judge_picture(source, source, flat(), [polygon])
    assert not judgement.accepted
    assert judgement.texts[0].signal_left == 1.0
    assert judgement.texts[0].characters_left == 6


def test_another_grain_of_the_same_kind_is_accepted_though_every_pixel_differs() -> None:
    clean = grain(12)
    source, polygon = captioned(clean)
    delivered = clean.copy()
    box = padded_box(polygon, clean).grown(-4, WIDTH, HEIGHT)
    place = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
    delivered[place] = grain(12, seed=2)[place]
    assert psnr(cut(delivered, box), cut(clean, box)) < 25
    assert judge_picture(delivered, source, clean, [polygon]).refusal is None


def test_one_bad_text_refuses_a_picture_whose_other_text_is_gone() -> None:
    source, polygon = captioned(flat(), size=24)
    other = [[10.0, 10.0], [40.0, 10.0], [40.0, 24.0], [10.0, 24.0]]
    judgement = judge_picture(source, source, flat(), [other, polygon])
    assert judgement.refusal == "distance"
    assert [text.accepted for text in judgement.texts] == [True, False]


def test_a_change_outside_all_texts_refuses_and_a_small_one_does_not() -> None:
    source, polygon = captioned(flat())
    damaged, touched = (blotched(flat(), height, 5, x=20, y=20) for height in (30, 20))
    assert judge_picture(damaged, source, flat(), [polygon]).refusal == "outside"
    assert judge_picture(touched, source, flat(), [polygon]).refusal is None


def test_the_change_outside_is_against_the_source() -> None:
    clean = flat()
    source, polygon = captioned(blotched(clean, 60, 5, x=20, y=20))
    delivered = blotched(clean, 60, 5, x=20, y=20)
    assert judge_picture(delivered, source, clean, [polygon]).outside == 0.0


def test_near_black_an_error_counts_double() -> None:
    figures = {}
    for level in (12, 128):
        source, polygon = captioned(flat(level))
        figures[level] = judge_picture(blotched(flat(level), 5, 5), source, flat(level), [polygon]).texts[0]
    assert figures[12].flat_error == pytest.approx(2 * figures[128].flat_error)
    assert (figures[12].refusal, figures[128].refusal) == ("flat_error", None)


def test_what_the_recogniser_reads_in_the_clean_picture_does_not_count() -> None:
    printed, polygon = captioned(grain(6))
    source, _ = draw(printed, Caption("SALE 20", RobotoBold, 40, colour=(0, 0, 0), opacity=0.5))
    assert judge_picture(blotched(printed, 6, 5, x=160), source, printed, [polygon]).texts[0].characters_left == 0


def test_characters_do_not_count_where_no_difference_is_visible() -> None:
    source, polygon = captioned(flat())
    faint = ghost(flat(), source, 0.02)
    assert judge_picture(faint, source, flat(), [polygon]).refusal is None


def test_signal_is_a_projection_so_other_texture_and_inverted_ghosts_leave_none() -> None:
    clean = flat()
    source, _ = captioned(clean)
    assert signal_left(ghost(clean, source, 0.25), source, clean) == pytest.approx(0.25, abs=0.01)
    assert signal_left(ghost(clean, source, -0.25), source, clean) == 0.0
    assert signal_left(grain(20), source, clean) < 0.05
    assert signal_left(grain(20), clean, clean) == 0.0


def test_a_picture_without_texts_must_stay_as_it_was() -> None:
    changed = flat()
    changed[80, 80, 0] += 1
    assert judge_picture(flat(), flat(), flat(), []).accepted
    assert judge_picture(changed, flat(), flat(), []).refusal == "touched"


def test_a_file_without_texts_must_stay_as_it_was_to_the_byte() -> None:
    assert judge_untouched(b"same", b"same").accepted
    assert judge_untouched(memoryview(b"same"), b"same").accepted
    assert judge_untouched(b"saved again", b"same").refusal == "touched"


def test_pictures_of_different_shapes_are_no_input() -> None:
    with pytest.raises(ValueError, match="not of one shape"):
        judge_picture(flat()[:-1], flat(), flat(), [])
