"""A template is found where it was put into a field, in whichever tile that is."""

from __future__ import annotations

import numpy as np
import pytest

from operators.marks.template_bank import transformed
from operators.marks.tiled_field import SMALLEST_TILE, TiledField
from operators.rows.box import Box

HEIGHT, WIDTH = 3 * SMALLEST_TILE, 5 * SMALLEST_TILE
BOX = Box(-15, -5, 31, 11)
"""A template's pixels around its origin."""


def noise(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, (height, width, 2)).astype(np.float32)


def best(field: np.ndarray, template: np.ndarray, canvas: Box = BOX) -> tuple[int, int, float]:
    tiled = TiledField.of(field, canvas, BOX)
    peak = max(tiled.peaks(transformed(template, BOX, canvas, tiled.size), BOX, 0.0), key=lambda one: one.score)
    return peak.x, peak.y, peak.score


@pytest.mark.parametrize("place", [(20, 10), (127, 128), (300, 200), (400, 250), (619, 370)])
def test_a_template_is_found_at_its_place_in_every_tile(place: tuple[int, int]) -> None:
    field, template = noise(HEIGHT, WIDTH, 1), noise(BOX.height, BOX.width, 2)
    x, y = place
    field[y - 5 : y + 6, x - 15 : x + 16] += template
    found = best(field, template)
    assert found[:2] == place
    assert found[2] > 2 * best(noise(HEIGHT, WIDTH, 1), template)[2]


def test_the_canvas_may_be_larger_than_the_template() -> None:
    field, template = noise(HEIGHT, WIDTH, 3), noise(BOX.height, BOX.width, 4)
    field[95:106, 185:216] += template
    assert best(field, template, Box(-30, -9, 70, 20))[:2] == (200, 100)


def test_a_template_that_the_border_cuts_is_found() -> None:
    field, template = noise(HEIGHT, WIDTH, 5), noise(BOX.height, BOX.width, 6)
    field[95:106, :24] += template[:, 7:]
    assert best(field, template)[:2] == (8, 100)


def test_a_template_that_is_larger_than_the_field_is_found() -> None:
    template = noise(BOX.height, BOX.width, 7)
    field = np.ascontiguousarray(template[1:-2, 2:-3]) + 0.3 * noise(BOX.height - 3, BOX.width - 5, 8)
    assert best(field, template)[:2] == (13, 4)


def test_the_likeness_is_that_of_the_whole_field_whatever_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    field, template = noise(HEIGHT, WIDTH, 9), noise(BOX.height, BOX.width, 10)
    field[200:211, 300:331] += template
    tiled = best(field, template)
    monkeypatch.setattr("operators.marks.tiled_field.SMALLEST_TILE", 2 * WIDTH)
    whole = best(field, template)
    assert tiled[:2] == whole[:2]
    assert tiled[2] == pytest.approx(whole[2], rel=0.02)


def test_places_below_the_least_likeness_are_not_named() -> None:
    field, template = noise(HEIGHT, WIDTH, 11), noise(BOX.height, BOX.width, 12)
    tiled = TiledField.of(field, BOX, BOX)
    assert list(tiled.peaks(transformed(template, BOX, BOX, tiled.size), BOX, 20.0)) == []
