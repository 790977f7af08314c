"""A pixel has a colour if no channel differs from it by more than the tolerance."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.masks.ink import has_colour

LEVELS = st.integers(0, 510).map(lambda halves: halves / 2)


@given(st.integers(0, 10**6), st.tuples(LEVELS, LEVELS, LEVELS), st.sampled_from([0.0, 3.0, 24.5, 48.0, 300.0]))
def test_a_pixel_has_a_colour_within_the_tolerance(seed: int, levels: tuple[float, ...], tolerance: float) -> None:
    rgb, colour = np.random.default_rng(seed).integers(0, 256, (7, 5, 3), np.uint8), np.array(levels)
    rgb[0, :, 0] = np.clip(np.rint(colour[0] + tolerance), 0, 255)
    assert np.array_equal(has_colour(rgb, colour, tolerance), np.abs(rgb - colour).max(axis=2) <= tolerance)
