"""The panel that a text stands on: a box, a button, a cell, a banner or a bubble of one colour."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.ink import SAME_COLOUR, has_colour, ink_colour
from operators.masks.mask import BLEND, dilated
from operators.masks.missed_letters import missed_letters
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
LEAST_BETWEEN = 64
"""Pixels between the letters of an edit from which they show the colour of its panel."""
LEAST_EVEN = 0.9
"""Share of a panel's pixels that differ from its colour by a step at most if it is as even."""
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
FLAT, FLAT_SIGMA = 7.0, 1.5
"""Grey levels by which most pixels of a panel differ from a gradient at most, and the standard
deviation in pixels of the blur before, which takes the noise of lossy formats away.
"""
MOST_OVERHANG, MOST_BEYOND = 0.3, 0.03
"""Distance beyond the panel, as a share of the line's height, from which strokes may be letters,
and the most such pixels in the letters' ink, as a share of those on the panel.
"""
LEAST_DRAWN = 0.3
"""Share of the strokes that differ from the panel at least if its letters can be told by that."""
LEAST_WHOLE = 0.8
"""Share of the pixels in a letter's ink that strokes cover at least; they cover less of a thing."""
LEAST_FLAT = 0.75
"""Share of the panel's pixels that are so flat. Light that fades around letters is not."""


def panel_around(rgb: Pixels, strokes: Pixels) -> Selection | None:
    """The pixels of the panel that the strokes stand on, letters included; None without one.

    A panel has one colour, or a slight gradient, and ends at a sharp edge on at least two
    sides. `rgb` is uint8 height x width x 3, and `strokes` uint8 height x width (0 or 255).
    """
    return _panel(rgb, *_letters_and_beside(strokes), with_all=True)


def _letters_and_beside(strokes: Pixels) -> tuple[Selection, Selection]:
    """The strokes with what is mixed with them, and the ring around these."""
    letters = dilated(strokes, GAP) > 0
    return letters, (dilated(strokes, GAP + WIDTH) > 0) & ~letters


def _panel(rgb: Pixels, letters: Selection, beside: Selection, with_all: bool = False) -> Selection | None:
    """The panel that has the colour of most pixels `beside` the letters.

    With `with_all` it holds all letters; otherwise some may be things beside it.
    """
    if not beside.any():
        return None
    colour = np.median(rgb[beside], axis=0)
    for step in STEPS:
        alike = has_colour(rgb, colour, step)
        if alike[beside].mean() < LEAST_ALIKE:
            continue
        seeds = beside & alike
        panel = _around(alike | (letters if with_all else letters & _hull(_with_seeds(alike, seeds) > 0)), seeds)
        is_one = not _reaches_out(panel) and _is_convex(panel) and _is_flat(rgb, panel & alike & ~letters)
        if is_one and _has_edge(rgb, panel, letters, step):
            return panel
    return None


def panel_under(pixels: Pixels, mask: Pixels) -> Selection | None:
    """The panel that an edit lies on as a whole; None without one.

    `pixels` is the crop, uint8 height x width x 3, and `mask` its mask, uint8 height x width x 4.
    """
    edited = mask[:, :, BLEND] > 0
    if not edited.any():
        return None
    beside = (dilated(edited.astype(np.uint8), WIDTH) > 0) & ~edited
    # A mask with the ringing of a lossy format may reach to the rim of a narrow panel, so its ring
    # may show what is beyond the panel.
    between = beside & _hull(edited)
    panel = _panel(pixels, edited, between if between.sum() >= LEAST_BETWEEN else beside)
    return None if panel is None or (edited & ~panel).any() else panel


def _hull(places: Selection) -> Selection:
    """The convex hull of some places, of which there is at least one."""
    contours, _ = cv2.findContours(places.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull: Selection = cv2.fillConvexPoly(np.zeros(places.shape, np.uint8), cv2.convexHull(np.concatenate(contours)), 1) > 0
    return hull


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


def panel_of_text(rgb: Pixels, strokes: Pixels, inside: Pixels, height: float) -> Selection | None:
    """The panel that a whole text stands on; None without one.

    `inside` is the filled polygon (0 or 255) of a line `height` pixels high. If strokes in it have
    the ink of the letters as far beyond the panel as a letter would reach, the text goes on there.
    """
    panel = _panel(rgb, *_letters_and_beside(strokes))
    if panel is None:
        return None
    away = cv2.distanceTransform((~panel).astype(np.uint8), cv2.DIST_L2, 3)
    letters, beyond = (strokes > 0) & panel, (strokes > 0) & (inside > 0) & (away > MOST_OVERHANG * height)
    in_ink = beyond & has_colour(rgb, ink_colour(rgb, letters), SAME_COLOUR) if letters.any() else beyond
    return None if in_ink.sum() > MOST_BEYOND * letters.sum() else panel


def letters_of_panel(rgb: Pixels, strokes: Pixels, panel: Selection, inside: Pixels) -> Pixels:
    """The strokes that are letters of the panel that their whole text stands on, and those missed.

    The stroke network may take the rim of the panel for letters, and dark things beside it. Letters
    differ from the panel's colour and lie mostly away from its rim. A letter or a dot may cross the
    rim, as of a line of writing paper: then the strokes cover all that has its ink. If few strokes
    differ from the panel, the letters are faint, and all strokes stay. `inside` is the filled
    polygon of the text (0 or 255); see `missed_letters`.
    """
    ground = panel & (dilated(strokes, GAP) == 0)
    colour = np.median(rgb[ground], axis=0)
    different = ~has_colour(rgb, colour, _finest_step(rgb[ground], colour))
    within = cv2.erode(panel.astype(np.uint8), np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8), borderValue=1) > 0
    drawn = (strokes > 0) & panel & different
    count, labels = cv2.connectedComponents(drawn.astype(np.uint8), connectivity=8)
    sizes = np.bincount(labels.ravel(), minlength=count)
    letters = drawn & (np.bincount(labels[within], minlength=count) > sizes / 2)[labels]
    if letters.sum() < LEAST_DRAWN * (strokes > 0).sum():
        return strokes
    ink = has_colour(rgb, ink_colour(rgb, letters), SAME_COLOUR)
    count, labels = cv2.connectedComponents(ink.astype(np.uint8), connectivity=8)
    sizes = np.bincount(labels.ravel(), minlength=count)
    whole = np.bincount(labels[strokes > 0], minlength=count) >= LEAST_WHOLE * sizes
    whole &= np.bincount(labels[panel], minlength=count) > 0
    letters |= (strokes > 0) & (dilated((ink & whole[labels]).astype(np.uint8), 1) > 0)
    letters |= (dilated(missed_letters(ink, letters, panel, inside).astype(np.uint8), 1) > 0) & panel & different
    return np.where(letters, 255, 0).astype(np.uint8)


def _finest_step(pixels: Pixels, colour: npt.NDArray[np.float64]) -> int:
    """The finest of STEPS by which most pixels of a panel differ from its colour at most.

    A faint word beside dark ones differs by more, where the panel's own noise allows it. `pixels`
    is uint8 count x 3.
    """
    apart = np.abs(pixels - colour).max(axis=1)
    return next((step for step in sorted(STEPS) if (apart <= step).mean() >= LEAST_EVEN), max(STEPS))


def _around(places: Selection, seeds: Selection) -> Selection:
    """The connected places with most of the seeds, holes filled."""
    own = _with_seeds(places, seeds)
    contours, _ = cv2.findContours(own, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(places.shape, np.uint8), contours, -1, 1, cv2.FILLED)
    # Thin bridges, as those of a soft edge or a line, do not belong to the panel.
    opened: Selection = cv2.morphologyEx(filled, cv2.MORPH_OPEN, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8)) > 0
    return opened


def _with_seeds(places: Selection, seeds: Selection) -> Pixels:
    """The connected places with most of the seeds, 0 or 1."""
    count, labels = cv2.connectedComponents(places.astype(np.uint8), connectivity=4)
    own: Pixels = (labels == np.bincount(labels[seeds], minlength=count)[1:].argmax() + 1).astype(np.uint8)
    return own


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
    weight = np.maximum(cv2.GaussianBlur(ground.astype(np.float32), (0, 0), FLAT_SIGMA), 1e-3)
    smooth = cv2.GaussianBlur(np.where(ground[:, :, None], rgb, 0).astype(np.float32), (0, 0), FLAT_SIGMA)
    values = (smooth / weight[:, :, None])[rows, columns].astype(np.float64)
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
