"""The coverage network tells a translucent text from the picture that shines through it."""

from __future__ import annotations

import string

import numpy as np
import pytest
import skimage.data
from font_roboto import RobotoBold

from flows.evaluation.draw_text import Caption, draw_all, polygon_around
from operators.vision.coverage_network import coverage_network, coverage_network_identity
from operators.vision.stroke_network import Line, stroke_network

WHITE = np.full(3, 255, np.float32)
OPACITY = 0.45
PICTURES = ("coffee", "astronaut", "chelsea")


def seen(name: str, angle: float = 0.0) -> tuple[np.ndarray, Line, np.ndarray]:
    """The pixels around a translucent white word, its line, and its true coverage."""
    clean = getattr(skimage.data, name)()
    picture, alpha = draw_all(clean, (Caption("PREVIEW", RobotoBold, 60, 0.5, 0.5, opacity=OPACITY, angle=angle),))
    line = Line.of([polygon_around(alpha / OPACITY)], picture.shape[1], picture.shape[0])
    return np.ascontiguousarray(picture[line.place]), line, alpha[line.place] / OPACITY


@pytest.mark.parametrize("angle", [0.0, 30.0, 75.0])
@pytest.mark.parametrize("name", PICTURES)
def test_most_pixels_get_their_true_coverage(name: str, angle: float) -> None:
    rgb, line, truth = seen(name, angle)
    found = coverage_network().coverage(rgb, line, OPACITY, WHITE)
    assert found.shape == truth.shape
    assert found.dtype == np.float32
    near = truth > 0.02
    assert np.abs(found - truth)[near].mean() < 0.25
    assert np.abs(found - truth)[~near].mean() < 0.1


def test_it_errs_less_than_the_stroke_network() -> None:
    errors = []
    for name in PICTURES:
        rgb, line, truth = seen(name)
        covered = coverage_network().coverage(rgb, line, OPACITY, WHITE)
        errors.append([np.abs(found - truth).mean() for found in (covered, stroke_network().line_probability(rgb, line))])
    ours, strokes = np.mean(errors, axis=0)
    assert ours < 0.8 * strokes


def test_the_same_pixels_give_the_same_map() -> None:
    rgb, line, _ = seen("coffee")
    first, second = (coverage_network().coverage(rgb, line, OPACITY, WHITE) for _ in range(2))
    assert np.array_equal(first, second)


def test_the_network_is_named_with_its_licence_and_checksum() -> None:
    identity = coverage_network_identity()
    assert identity["alias"] == "coverage"
    assert identity["licence"] == "Apache-2.0"
    assert len(identity["sha256"]) == 64
    assert set(identity["sha256"]) <= set(string.hexdigits)
