"""The opacity and the colour of a mark whose file does not tell them, from one picture.

A picture of a mark on an opaque ground shows its shape, not how much of its look is colour and how
much is opacity. Under the mark I = (1 - a s) J + a s C holds with the known shape s. The smooth
continuation of the surroundings stands for J: where it is light and dark in turn, the slope of
what is seen over it gives 1 - a, and the rest gives C.
"""

from __future__ import annotations

import cv2
import numpy as np

from operators.masks.membrane import membrane
from operators.rows.arrays import Pixels
from operators.rows.overlay import Overlay, Plane

STRONG = 0.8
"""Share of the largest alpha from which a pixel belongs to the inside of the strokes."""
LEAST_SPREAD = 12.0
"""Standard deviation of the surroundings in grey levels that is needed to tell the opacity."""
RANGE = (0.05, 0.95)
"""The opacities that a fit may have."""


def fitted(rgb: Pixels, overlay: Overlay) -> Overlay:
    """The overlay with the opacity and the one colour that fit the picture (both of one size).

    Where the surroundings are too plain to tell them, the overlay keeps its own.
    """
    largest = float(overlay.alpha.max())
    shape = overlay.alpha / max(largest, 1e-6)
    touched = cv2.dilate((overlay.alpha > 0.01).astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    inside = shape >= STRONG
    if touched.all() or inside.sum() < 16:
        return overlay
    below = membrane(rgb.astype(np.float32), np.ones(shape.shape, np.float32), ~touched)[inside]
    seen = rgb[inside].astype(np.float32)
    if float(below.std(axis=0).mean()) < LEAST_SPREAD:
        return overlay
    opacity = 1 - _slope(below, seen)
    if not RANGE[0] <= opacity <= RANGE[1]:
        return overlay
    colour = (np.median(seen - (1 - opacity) * below, axis=0)) / opacity
    alpha: Plane = (shape * opacity).astype(np.float32)
    return Overlay(alpha, np.clip(colour, 0, 255).astype(np.float32)[None, None])


def _slope(below: Plane, seen: Plane) -> float:
    """One slope for the three channels, each with a level of its own; outliers count little."""
    weight = np.ones(len(below), np.float32)
    slope = 0.5
    for _ in range(8):
        middle_below = (weight[:, None] * below).sum(axis=0) / weight.sum()
        middle_seen = (weight[:, None] * seen).sum(axis=0) / weight.sum()
        across, up = below - middle_below, seen - middle_seen
        slope = float((weight[:, None] * across * up).sum() / max(float((weight[:, None] * across**2).sum()), 1e-6))
        error = np.abs(up - slope * across).max(axis=1)
        weight = (1 / (1 + (error / max(float(np.median(error)), 1.0)) ** 2)).astype(np.float32)
    return slope
