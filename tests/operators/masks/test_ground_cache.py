"""The ground around letters is that of `estimate_ground`, and is estimated once."""

from __future__ import annotations

import numpy as np
import pytest

from operators.masks import ground_cache as module
from operators.masks.ground import estimate_ground
from operators.masks.ground_cache import GroundCache
from operators.masks.mask import dilated

NEAR = 24


def picture() -> np.ndarray:
    level = np.linspace(90, 150, 200)[None, :, None] + np.random.default_rng(0).normal(0, 1.5, (120, 200, 3))
    level[100] = 20
    return np.clip(level, 0, 255).astype(np.uint8)


def letters() -> np.ndarray:
    mask = np.zeros((120, 200), np.uint8)
    mask[50:70, 60:140] = 255
    return mask


def test_the_ground_around_letters_is_that_of_the_grown_letters() -> None:
    around, hole = GroundCache(picture(), NEAR).around(letters(), 8), dilated(letters(), 8) > 0
    expected = estimate_ground(picture(), hole, NEAR)
    assert np.array_equal(around.places, hole)
    assert np.array_equal(around.ground.level, expected.level)
    assert np.array_equal(around.ground.plainness, expected.plainness)


def test_the_ground_of_the_same_letters_is_estimated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(module, "estimate_ground", lambda *given: asked.append(given) or estimate_ground(*given))
    grounds, fewer = GroundCache(picture(), NEAR), letters()
    fewer[:, :100] = 0
    assert grounds.around(letters(), 8) is grounds.around(letters(), 8)
    grounds.around(letters(), 9)
    grounds.around(fewer, 8)
    assert len(asked) == 3
