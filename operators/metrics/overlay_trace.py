"""How much of an overlay is left in a picture from which it was taken off."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels
from operators.rows.overlay import Overlay

Plane = npt.NDArray[np.float32]

DETAIL_SIGMA = 3.0
"""Standard deviation in pixels of the blur that separates edges and strokes from broad shading."""
STRONGEST = 24.0
"""Grey levels to which detail is clipped: strong edges of the picture drown the overlay's."""
LEAST_VISIBLE = 0.06
"""Share of an overlay that may stay, since nobody sees it."""
CHANCE = 2.5
"""How many times its usual likeness a picture may resemble an overlay by chance."""
SHIFTS = tuple((down, right) for down in (-19, -11, 11, 19) for right in (-17, -9, 9, 17))
"""Displacements by which the usual likeness of picture and overlay is measured, in pixels."""


def overlay_trace(picture: Pixels, overlay: Overlay) -> float:
    """The overlay's share in the picture, divided by the largest share that may be chance.

    `picture` is uint8 height x width x 3, the overlay as large. The share is the projection of the
    picture's detail on that of what the overlay would change: 1 if the overlay is still there, -1
    if it was taken off twice. It is compared with the shares of the overlay moved aside, where
    there is none. 0 for an overlay without detail; at most 1 passes as gone.
    """
    values = picture.astype(np.float32)
    effect = _detail(overlay.alpha[:, :, None] * (overlay.colour - (values - _detail(values))))
    energy = float(np.square(effect).sum())
    if energy == 0:
        return 0.0
    seen = np.clip(_detail(values), -STRONGEST, STRONGEST)
    chance = np.sqrt(np.mean([_product(seen, effect, *shift) ** 2 for shift in SHIFTS])) / energy
    return abs(_product(seen, effect, 0, 0)) / energy / max(LEAST_VISIBLE, CHANCE * float(chance))


def _detail(values: Plane) -> Plane:
    result: Plane = values - cv2.GaussianBlur(values, (0, 0), DETAIL_SIGMA)
    return result


def _product(seen: Plane, effect: Plane, down: int, right: int) -> float:
    """The sum of the products of one plane with the other, which is moved; nothing wraps around."""
    height, width = seen.shape[:2]
    if abs(down) >= height or abs(right) >= width:
        return 0.0
    target = np.s_[max(0, down) : height + min(0, down), max(0, right) : width + min(0, right)]
    source = np.s_[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    return float((seen[target] * effect[source]).sum())
