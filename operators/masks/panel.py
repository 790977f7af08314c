"""The panel that a text stands on: a box, a button, a cell, a banner or a bubble of one colour."""

from __future__ import annotations

import cv2
import numpy as np

from operators.masks.ink import has_colour
from operators.masks.mask import dilated
from operators.rows.arrays import Pixels, Selection, largest_channel

LEAST_FREE = 0.2
"""Share of a panel's pixels without letters that must be left to measure its ground."""
GAP = 2
"""Pixels next to the strokes that are mixed with them."""
WIDTH = 3
"""Width in pixels of the ring around the strokes that shows the panel's colour."""
STEPS = (14, 8, 5, 3)
"""Grey levels by which a pixel of the panel may differ from its colour, and by which the pixels
beyond its edge differ from it at least: a panel that stands out comes first,
then fainter ones.
"""
LEAST_ALIKE = 0.7
"""Share of the ring that has the panel's colour."""
LEAST_CONVEX = 0.9
"""Share of its convex hull that a panel fills."""
LEAST_EDGE = 0.7
"""Share of the edge with such a step."""
EDGE = 2
"""Pixels over which the edge of a panel is soft at most."""
WINDOW, LEAST_WEIGHT = 9, 0.01
"""Side in pixels of the window whose panel pixels give the colour at the edge, and their least
share of it.
"""
FLAT = 7.0
"""Grey levels by which most pixels of a panel differ from a gradient at most."""
LEAST_FLAT = 0.75
"""Share of the panel's pixels that are so flat. Light that fades around letters is not."""


def panel_around(rgb: Pixels, strokes: Pixels) -> Selection | None:
    """The pixels of the panel that the strokes stand on, letters included; None without one.

    A panel has one colour, or a slight gradient, and ends at a sharp edge on at least two
    sides. `rgb` is uint8 height x width x 3, and `strokes` uint8 height x width (0 or 255).
    """
    letters = dilated(strokes, GAP) > 0
    beside = (dilated(strokes, GAP + WIDTH) > 0) & ~letters
    if not beside.any():
        return None
    colour = np.median(rgb[beside], axis=0)
    for step in STEPS:
        alike = has_colour(rgb, colour, step)
        if alike[beside].mean() < LEAST_ALIKE:
            continue
        panel = _around(alike | letters, beside & alike)
        is_one = not _reaches_out(panel) and _is_convex(panel) and _is_flat(rgb, panel & alike & ~letters)
        if is_one and _has_edge(rgb, panel, letters, step):
            return panel
    return None


def beside_letters(panel: Selection, letters: Pixels, least: int, most: int) -> Selection:
    """The letters and the pixels beside them, which may show their ringing and not the panel.

    The distance is at most `most` pixels, and less where too little of the panel would be left.
    `letters` is uint8 height x width (0 or 255).
    """
    distance = cv2.distanceTransform((letters == 0).astype(np.uint8), cv2.DIST_L2, 3)
    free = distance[panel & (letters == 0)]
    far = float(np.percentile(free, 100 * (1 - LEAST_FREE))) if len(free) else 0.0
    beside: Selection = distance <= min(max(float(least), far), float(most))
    return beside


def _around(places: Selection, seeds: Selection) -> Selection:
    """The connected places with most of the seeds, holes filled."""
    count, labels = cv2.connectedComponents(places.astype(np.uint8), connectivity=4)
    own = labels == np.bincount(labels[seeds], minlength=count)[1:].argmax() + 1
    contours, _ = cv2.findContours(own.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(places.shape, np.uint8), contours, -1, 1, cv2.FILLED)
    # Thin bridges, as those of a soft edge or a line, do not belong to the panel.
    opened: Selection = cv2.morphologyEx(filled, cv2.MORPH_OPEN, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)) > 0
    return opened


def _reaches_out(panel: Selection) -> bool:
    """Whether the panel leaves what is seen on more than two sides, or nothing is left of it."""
    return not panel.any() or sum(bool(side.any()) for side in (panel[0], panel[-1], panel[:, 0], panel[:, -1])) > 2


def _is_convex(panel: Selection) -> bool:
    contours, _ = cv2.findContours(panel.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    return float(panel.sum()) >= LEAST_CONVEX * hull


def _is_flat(rgb: Pixels, ground: Selection) -> bool:
    """Whether the pixels have one colour but for a linear gradient."""
    rows, columns = np.nonzero(ground)
    if len(rows) < 2 * WIDTH:
        return False
    values = rgb[rows, columns].astype(np.float64)
    places = np.stack([np.ones(len(rows)), rows, columns], axis=1)
    plane = places @ np.linalg.lstsq(places, values, rcond=None)[0]
    return bool((np.abs(values - plane).max(axis=1) <= FLAT).mean() >= LEAST_FLAT)


def _has_edge(rgb: Pixels, panel: Selection, letters: Selection, step: int) -> bool:
    """Whether pixels just beyond the panel differ from those just inside: others, or a line."""
    inside = panel.astype(np.uint8)
    beyond = (dilated(inside, EDGE) > 0) & ~(dilated(inside, EDGE - 1) > 0)
    within = panel & ~letters
    weight = cv2.blur(within.astype(np.float32), (WINDOW, WINDOW))
    total = cv2.blur(np.where(within[:, :, None], rgb, 0).astype(np.float32), (WINDOW, WINDOW))
    difference = largest_channel(np.abs(rgb - total / np.maximum(weight, 1e-3)[:, :, None]))
    outside = np.where(panel | (weight < LEAST_WEIGHT), 0, difference).astype(np.float32)
    counted = beyond & (weight >= LEAST_WEIGHT)
    steepest = cv2.dilate(outside, np.ones((2 * EDGE - 1, 2 * EDGE - 1), np.uint8))
    return bool(counted.any() and (steepest[counted] >= step).mean() >= LEAST_EDGE)
