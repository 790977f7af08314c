"""Routing depends only on a region's figures: flat ones are classical, textured ones generative."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data

from operators.decisions.routing import PATH, Rule, route, rule
from operators.masks.mask import BLEND, CORE
from operators.metrics.surface import FIGURES, region_figures, text_smoothed_over


def figures_of(picture: np.ndarray) -> dict[str, float]:
    mask = np.zeros((*picture.shape[:2], 4), np.uint8)
    mask[60:80, 40:160, [CORE, BLEND]] = 255
    return region_figures(text_smoothed_over(picture, mask), mask, [[[40, 60], [160, 60], [160, 80], [40, 80]]], 512)


def test_a_region_above_the_threshold_is_generative_and_one_at_it_is_not() -> None:
    rule_at_two = Rule("texture", 2.0)
    assert [rule_at_two({"texture": value}) for value in (0.0, 2.0, 2.001, 90.0)] == ["classical"] * 2 + ["generative"] * 2


def test_a_region_without_the_figure_is_generative() -> None:
    assert Rule("texture", 2.0)({"noise": 1.0}) == "generative"


def test_the_shipped_rule_uses_a_figure_that_describe_writes() -> None:
    content = json.loads(Path(PATH).read_text())
    assert rule() == Rule(content["figure"], content["threshold"])
    assert content["figure"] in {figure.name for figure in FIGURES}
    assert content["regions"] > 0


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_flat_wall_goes_to_a_classical_rung(level: int) -> None:
    assert route(figures_of(np.full((140, 200, 3), level, np.uint8))) == "classical"


@pytest.mark.parametrize("name", ["grass", "gravel"])
def test_texture_goes_to_a_generative_rung(name: str) -> None:
    grey = getattr(skimage.data, name)()[100:240, 100:300]
    assert route(figures_of(np.repeat(grey[:, :, None], 3, axis=2))) == "generative"


def test_text_on_plain_ground_goes_to_a_classical_rung_though_the_letters_beside_it_stand_on_texture() -> None:
    grey = skimage.data.gravel()[100:240, 100:300]
    picture, mask = np.repeat(grey[:, :, None], 3, axis=2), np.zeros((140, 200, 4), np.uint8)
    picture[:100] = 240
    mask[40:56, 40:160, [CORE, BLEND]] = 255
    mask[116:132, 40:160, CORE] = 255
    figures = region_figures(text_smoothed_over(picture, mask), mask, [[[40, 40], [160, 40], [160, 56], [40, 56]]], 512)
    assert route(figures) == "classical"
