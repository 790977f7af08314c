"""Broken edges: the share of straight edges that a fill does not continue."""

from __future__ import annotations

import math

import numpy as np
import pytest

from operators.metrics.broken_edges import broken_edges


def ruled(width: int = 2) -> np.ndarray:
    """Paper with a level and an upright rule."""
    page = np.full((64, 64, 3), 240, np.uint8)
    page[30 : 30 + width] = page[:, 40 : 40 + width] = (30, 60, 90)
    return page


EDITED = np.zeros((64, 64), bool)
EDITED[24:38, 10:30] = True


def test_a_perfect_fill_breaks_nothing() -> None:
    assert broken_edges(ruled(), ruled(), EDITED) == 0


def test_a_rule_that_is_gone_is_broken_all_along() -> None:
    result = ruled()
    result[EDITED] = 240
    assert broken_edges(result, ruled(), EDITED) > 0.85


@pytest.mark.parametrize(("strength", "broken"), [(0.2, True), (0.6, False)])
def test_a_rule_needs_half_of_its_strength_to_be_continued(strength: float, broken: bool) -> None:
    result = ruled()
    result[EDITED] = np.rint(240 + strength * (ruled().astype(float) - 240)).astype(np.uint8)[EDITED]
    share = broken_edges(result, ruled(), EDITED)
    assert share > 0.85 if broken else share == 0


def test_half_a_rule_is_about_half_broken() -> None:
    result = ruled()
    result[24:38, 10:20] = 240
    assert 0.4 < broken_edges(result, ruled(), EDITED) < 0.6


def test_a_rule_one_pixel_off_still_counts_as_continued_and_three_pixels_off_does_not() -> None:
    moved = {}
    for pixels in (1, 3):
        result = ruled()
        result[EDITED] = np.roll(ruled(), pixels, axis=0)[EDITED]
        moved[pixels] = broken_edges(result, ruled(), EDITED)
    assert moved[1] < 0.15 and moved[3] > 0.5


def test_edges_outside_the_edit_do_not_count() -> None:
    result = ruled()
    result[:, 40:42] = 240
    assert broken_edges(result, ruled(), EDITED) == 0


@pytest.mark.parametrize("step", [0, 6])
def test_a_place_without_strong_straight_edges_has_no_share(step: int) -> None:
    plain = np.full((64, 64, 3), 240, np.uint8)
    plain[32:] -= step
    assert math.isnan(broken_edges(plain, plain, EDITED))
