"""A translucent overlay that nobody has described is estimated and taken off."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from skimage import data

from flows.evaluation.draw_text import polygon_around
from operators.generators.classical import hybrid
from operators.masks.coverage import Prediction, below, find_coverage
from operators.masks.mask import dilated
from operators.masks.overlay import overlaid
from operators.masks.overlay_fit import Fit, fit_overlay, predict
from operators.masks.translucent import ProbabilityOf, SeenThrough, see_through
from operators.rows.arrays import Pixels, Selection
from operators.vision.coverage_network import coverage_network
from operators.vision.stroke_network import Line
from tests.fixtures.overlays import words

COFFEE: Pixels = np.ascontiguousarray(data.coffee()[100:300, 60:360])
PLAIN: Pixels = np.full((200, 300, 3), 128, np.uint8)
SMOOTH: Pixels = np.clip(
    np.linspace(50, 200, 300)[None, :, None] + np.random.default_rng(4).normal(0, 3, (200, 300, 3)), 0, 255
).astype(np.uint8)
BLACK = np.zeros((1, 1, 3), np.float32)
WHITE = np.full((1, 1, 3), 255, np.float32)


def marked(picture: Pixels, opacity: float, colour: np.ndarray = WHITE) -> tuple[Pixels, Selection, np.ndarray]:
    """The picture with a word on it, the hole around its strokes, and their probability."""
    overlay = words(picture.shape[:2], opacity, colour)
    strokes = (overlay.alpha > 0).astype(np.uint8)
    seen = np.rint(overlaid(picture, overlay)).astype(np.uint8)
    return seen, dilated(strokes, 3) > 0, (overlay.alpha / opacity).astype(np.float32)


def looking_at(seen: Pixels, hole: Selection) -> ProbabilityOf:
    """The coverage network before a picture whose line has the hole's rectangle."""
    line = Line.of([polygon_around(hole.astype(np.float32))], seen.shape[1], seen.shape[0])
    rgb = np.ascontiguousarray(seen[line.place])

    def probability_of(opacity: float, colour: np.ndarray) -> np.ndarray:
        result = np.zeros(hole.shape, np.float32)
        result[line.place] = coverage_network().coverage(rgb, line, opacity, colour)
        return result

    return probability_of


def estimated(seen: Pixels, hole: Selection, probability: np.ndarray) -> SeenThrough | None:
    return see_through(seen, hole, probability, hole, looking_at(seen, hole))


def psnr(result: Pixels, truth: Pixels, where: Selection) -> float:
    error = np.square(result[where].astype(np.float32) - truth[where]).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def test_the_picture_below_comes_back_better_than_a_fill() -> None:
    gains = []
    for opacity, colour in itertools.product((0.3, 0.5, 0.7), (WHITE, BLACK)):
        seen, hole, probability = marked(COFFEE, opacity, colour)
        found = estimated(seen, hole, probability)
        assert found is not None
        fill = hybrid(seen, np.where(hole, 255, 0).astype(np.uint8), 0)
        gains.append(psnr(found.picture, COFFEE, hole) - psnr(fill, COFFEE, hole))
    assert min(gains) > 0
    assert np.mean(gains) > 3


def test_pixels_without_overlay_keep_their_values() -> None:
    seen, hole, probability = marked(COFFEE, 0.5)
    found = estimated(seen, hole, probability)
    assert found is not None
    assert np.array_equal(found.picture[~found.changed], seen[~found.changed])
    assert not found.changed[dilated(hole.astype(np.uint8), 2) == 0].any()


def test_opaque_letters_are_left_to_fills() -> None:
    seen, hole, probability = marked(COFFEE, 1.0)
    assert estimated(seen, hole, probability) is None


def test_a_plain_ground_is_left_to_fills() -> None:
    seen, hole, probability = marked(PLAIN, 0.5)
    assert estimated(seen, hole, probability) is None


def test_a_smooth_ground_that_fills_continue_as_well_is_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, hole, probability = marked(SMOOTH, 0.5)
    assert estimated(seen, hole, probability) is None
    monkeypatch.setattr("operators.masks.translucent.LEAST_FILL_ERROR", 0.0)
    assert estimated(seen, hole, probability) is not None


def test_an_overlay_whose_opacity_is_doubtful_is_left_to_fills(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, hole, probability = marked(COFFEE, 0.5)
    assert estimated(seen, hole, probability) is not None
    monkeypatch.setattr("operators.masks.translucent.MOST_DOUBT", -0.01)
    assert estimated(seen, hole, probability) is None


def test_strokes_that_are_too_small_to_measure_are_left_to_fills() -> None:
    nothing = np.zeros(COFFEE.shape[:2], np.float32)
    assert see_through(COFFEE, nothing > 0, nothing, nothing > 0, lambda opacity, colour: nothing) is None


def test_the_overlay_of_another_text_is_enough_where_no_strokes_were_found() -> None:
    seen, hole, _ = marked(COFFEE, 0.5)
    nothing, look = np.zeros(hole.shape, np.float32), looking_at(seen, hole)
    assert see_through(seen, hole, nothing, hole, look) is None
    found = see_through(seen, hole, nothing, hole, look, Fit(0.5, WHITE.ravel(), 0.01))
    assert found is not None
    fill = hybrid(seen, np.where(hole, 255, 0).astype(np.uint8), 0)
    assert psnr(found.picture, COFFEE, hole) > psnr(fill, COFFEE, hole) + 3


@pytest.mark.parametrize("opacity", [0.3, 0.5, 0.7])
def test_the_fit_names_the_opacity_of_a_white_mark(opacity: float) -> None:
    seen, hole, probability = marked(COFFEE, opacity)
    inside = cv2.erode((probability > 0.9).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    image = seen.astype(np.float32)
    predicted = predict(image, ~hole, inside)
    assert predicted is not None
    fit = fit_overlay(image, predicted[0], inside, predicted[1])
    assert abs(fit.opacity - opacity) < 0.03
    assert (fit.colour > 250).all()


def test_the_picture_decides_where_the_network_is_unsure() -> None:
    overlay = words(COFFEE.shape[:2], 0.6)
    image = np.rint(overlaid(COFFEE, overlay)).astype(np.float32)
    everywhere, nothing = np.ones(overlay.alpha.shape, bool), np.zeros(overlay.alpha.shape, np.float32)
    known = Prediction(COFFEE.astype(np.float32), nothing + 25, everywhere, nothing + 9)
    found = find_coverage(image, 0.6, np.full(3, 255, np.float32), known, nothing + np.float32(0.5), everywhere)
    assert np.abs(found - overlay.alpha / np.float32(0.6)).mean() < 0.02


def test_taking_a_known_overlay_off_gives_the_picture_back() -> None:
    overlay = words(COFFEE.shape[:2], 0.5)
    result = below(overlaid(COFFEE, overlay), overlay.alpha, np.full(3, 255, np.float32))
    assert np.abs(result - COFFEE).max() < 0.01
