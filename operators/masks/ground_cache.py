"""The ground around letters at several distances, each estimated once.

Several steps of a mask ask for the ground of the same letters at the same distance, and estimating
it is most of their time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from operators.masks.ground import Ground, estimate_ground, lines_of_ground
from operators.masks.mask import dilated
from operators.rows.arrays import Pixels, Selection


class Around(NamedTuple):
    """The letters with the pixels near them, height x width, and the ground under all of these."""

    places: Selection
    ground: Ground


class GroundCache:
    """The grounds of one crop (`rgb`, uint8 height x width x 3).

    Pixels count up to `near` pixels beyond the place whose ground is estimated.
    """

    def __init__(self, rgb: Pixels, near: int) -> None:
        self.rgb = rgb
        self._near = near
        self._lines: Selection | None = None
        self._known: list[tuple[Pixels, int, Around]] = []

    def around(self, letters: Pixels, far: int) -> Around:
        """The ground of letters (uint8 height x width, 0 or 255) and `far` pixels around them."""
        for known, distance, around in self._known:
            if distance == far and np.array_equal(known, letters):
                return around
        places = dilated(letters, far) > 0
        around = Around(places, self.under(places))
        self._known.append((letters, far, around))
        return around

    def under(self, hole: Selection) -> Ground:
        """The ground of a hole."""
        if self._lines is None:
            self._lines = lines_of_ground(self.rgb)
        return estimate_ground(self.rgb, hole, self._near, self._lines)
