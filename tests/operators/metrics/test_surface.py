"""The figures of a surface are exact on flat pictures, near planted truths, and ignore the text."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.evaluation.draw_text import Caption, draw_all, polygon_around
from operators.masks.mask import BLEND, CORE, dilated, feathered, hole_of
from operators.metrics.surface import FIGURES, blur, dominant_colours, noise_deviation, region_figures, text_smoothed_over

SQUARE = [[[10.0, 10.0], [50.0, 10.0], [50.0, 30.0], [10.0, 30.0]]]


def mask_over(strokes: np.ndarray, growth: int = 2) -> np.ndarray:
    """A region's mask over strokes (bool), as `soften` makes it."""
    mask = np.zeros((*strokes.shape, 4), np.uint8)
    mask[:, :, CORE] = np.where(strokes, 255, 0)
    mask[:, :, BLEND] = feathered(dilated(mask[:, :, CORE], growth), 2)
    return mask


def bar(height: int = 80, width: int = 120) -> np.ndarray:
    strokes = np.zeros((height, width), bool)
    strokes[height // 2 - 5 : height // 2 + 5, width // 6 : -width // 6] = True
    return mask_over(strokes)


def described(picture: np.ndarray, mask: np.ndarray, polygons: list[list[list[float]]] = SQUARE) -> dict[str, float]:
    return region_figures(text_smoothed_over(picture, mask), mask, polygons, max(picture.shape[:2]))


def photo(name: str) -> np.ndarray:
    picture = getattr(skimage.data, name)()
    return picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


@pytest.mark.parametrize("level", [0, 1, 97, 255])
def test_a_flat_surface_is_exactly_its_grey_level_and_nothing_else(level: int) -> None:
    mask = bar()
    picture = np.full((80, 120, 3), level, np.uint8)
    picture[mask[:, :, CORE] > 0] = 255 - level
    figures = described(picture, mask)
    assert figures["brightness"] == level
    assert [figures[f"colour_1_{part}"] for part in ("red", "green", "blue", "share")] == [level, level, level, 1.0]
    flat = ("contrast", "noise", "blur", "texture", "textured", "straight_edges", "colour_2_share")
    assert {name: figures[name] for name in flat} == dict.fromkeys(flat, 0.0)
    assert [figures[f"energy_{octave}"] for octave in range(4)] == pytest.approx([0.0] * 4, abs=1e-6)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 10.0, 20.0])
@pytest.mark.parametrize("slope", [0.0, 0.5])
def test_planted_noise_is_found_within_10_of_100(sigma: float, slope: float) -> None:
    base = 90 + slope * np.arange(200)[None, :]
    noisy = base + np.random.default_rng(3).normal(0, sigma, (150, 200))
    picture = np.repeat(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)[:, :, None], 3, axis=2)
    assert noise_deviation(picture, np.ones((150, 200), bool)) == pytest.approx(sigma, rel=0.1)
    mask = bar(150, 200)
    assert described(picture, mask)["noise"] == pytest.approx(sigma, rel=0.15)


def test_a_smoothed_photograph_is_more_blurred_and_less_textured() -> None:
    sharp = photo("coffee")[100:260, 100:340]
    mask = bar(160, 240)
    figures = [described(sharp if sigma == 0 else cv2.GaussianBlur(sharp, (0, 0), sigma), mask) for sigma in (0, 1, 2, 4)]
    assert [f["blur"] for f in figures] == sorted(f["blur"] for f in figures)
    for name in ("texture", "energy_0", "energy_1", "textured"):
        assert [f[name] for f in figures] == sorted((f[name] for f in figures), reverse=True)
    assert figures[3]["blur"] > figures[0]["blur"] + 0.2


def test_grass_is_textured_and_a_slope_is_not() -> None:
    mask = bar()
    slope = np.repeat((60 + np.arange(120)[None, :] + np.zeros((80, 1))).astype(np.uint8)[:, :, None], 3, axis=2)
    assert described(photo("grass")[:80, :120], mask)["textured"] > 0.95
    assert described(slope, mask)["textured"] == 0.0


def test_dominant_colours_are_the_surface_s_own_by_how_often_they_come() -> None:
    picture = np.zeros((60, 100, 3), np.uint8)
    picture[:, :60], picture[:, 60:90], picture[:, 90:] = (200, 30, 40), (20, 60, 220), (250, 250, 240)
    found = dominant_colours(picture, np.ones((60, 100), bool))
    assert [colour[:3] for colour in found] == [(200, 30, 40), (20, 60, 220), (250, 250, 240)]
    assert [colour[3] for colour in found] == pytest.approx([0.6, 0.3, 0.1], abs=0.01)


def test_strokes_and_lines_are_measured_in_pixels() -> None:
    figures = described(np.full((80, 120, 3), 9, np.uint8), bar())
    assert 9 <= figures["stroke_thickness"] <= 11
    assert figures["text_height"] == pytest.approx(20.0)
    assert figures["size"] == 120.0
    assert figures["mask_area"] == float((bar()[:, :, BLEND] > 127).mean())


@pytest.mark.parametrize("name", ["astronaut", "coffee", "grass", "chelsea", "rocket"])
def test_a_place_is_described_exactly_the_same_with_and_without_its_text(name: str) -> None:
    """This holds if the mask covers the whole text; plain statistics of the box see the letters."""
    clean = np.ascontiguousarray(photo(name)[40:240, 60:380])
    caption = Caption("Summer sale", _font(), 44, 0.5, 0.5, colour=(255, 240, 60), outline=2)
    picture, coverage = draw_all(clean, (caption,))
    mask, polygons = mask_over(coverage > 0), [polygon_around(coverage)]
    assert described(picture, mask, polygons) == described(clean, mask, polygons)
    rows, columns = (np.flatnonzero((coverage > 0).any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert abs(picture[box].std() - clean[box].std()) > 5


def _font() -> str:
    from font_roboto import RobotoBold

    return RobotoBold


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    seed=st.integers(0, 2**16),
    kind=st.sampled_from(["noise", "flat", "black", "stripes"]),
    masked=st.sampled_from(["none", "all", "some", "one"]),
)
def test_every_figure_is_there_finite_and_in_its_range_on_any_crop(
    height: int, width: int, seed: int, kind: str, masked: str
) -> None:
    rng = np.random.default_rng(seed)
    picture = {
        "noise": rng.integers(0, 256, (height, width, 3)),
        "flat": np.full((height, width, 3), rng.integers(0, 256)),
        "black": np.zeros((height, width, 3)),
        "stripes": np.where(np.arange(width)[None, :, None] % 2, 255, 0) + np.zeros((height, 1, 3)),
    }[kind].astype(np.uint8)
    strokes = {
        "none": np.zeros((height, width), bool),
        "all": np.ones((height, width), bool),
        "some": rng.random((height, width)) < 0.3,
        "one": np.arange(height * width).reshape(height, width) == (height * width) // 2,
    }[masked]
    figures = described(picture, mask_over(strokes))
    assert set(figures) == {figure.name for figure in FIGURES}
    for figure in FIGURES:
        assert figure.least <= figures[figure.name] <= figure.most, figure.name
        assert np.isfinite(figures[figure.name]), figure.name


def test_pixels_under_the_mask_count_for_nothing() -> None:
    mask = bar()
    picture = np.random.default_rng(5).integers(0, 256, (80, 120, 3)).astype(np.uint8)
    other = picture.copy()
    other[hole_of(mask) > 0] = 255 - other[hole_of(mask) > 0]
    assert described(picture, mask) == described(other, mask)


def test_blur_of_a_surface_on_which_nothing_varies_is_zero() -> None:
    assert blur(np.full((20, 20, 3), 8, np.uint8), np.ones((20, 20), bool)) == 0.0
