"""A translucent overlay on a rectangle of a picture: how much it covers, and with which colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.rows.box import Box
from operators.rows.records import OverlayRecord

Plane = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Overlay:
    """What lies over a picture J so that I = (1 - alpha) J + alpha colour is seen."""

    alpha: Plane
    """float32 height x width, 0..1; 0 leaves the picture as it is."""
    colour: Plane
    """float32 height x width x 3, or 1 x 1 x 3 for one colour; sRGB, 0..255."""

    def moved(self, box: Box, crop: Box) -> Overlay:
        """The overlay on `box` moved to the pixels of `crop`, without effect outside `box`."""
        alpha = np.zeros((crop.height, crop.width), np.float32)
        constant = self.colour.shape[:2] == (1, 1)
        colour = self.colour if constant else np.zeros((crop.height, crop.width, 3), np.float32)
        left, top = max(box.x, crop.x), max(box.y, crop.y)
        right, bottom = min(box.x + box.width, crop.x + crop.width), min(box.y + box.height, crop.y + crop.height)
        if left < right and top < bottom:
            common = Box(left, top, right - left, bottom - top)
            alpha[common.inside(crop)] = self.alpha[common.inside(box)]
            if not constant:
                colour[common.inside(crop)] = self.colour[common.inside(box)]
        return Overlay(alpha, colour)

    def record(self, box: Box) -> OverlayRecord:
        """The overlay on `box` as the row's OVERLAY struct."""
        return {
            "alpha": self.alpha.astype(np.float16).tobytes(),
            "colour": self.colour.astype(np.float16).tobytes(),
            "box": box.record(),
        }


def overlay_from(alpha: bytes | memoryview, colour: bytes | memoryview, box: Box) -> Overlay:
    """The overlay on `box` from the bytes of the row's OVERLAY struct."""
    flat = np.frombuffer(colour, np.float16).astype(np.float32)
    shape = (1, 1, 3) if flat.size == 3 else (box.height, box.width, 3)
    values = np.frombuffer(alpha, np.float16).astype(np.float32)
    return Overlay(values.reshape(box.height, box.width), flat.reshape(shape))
