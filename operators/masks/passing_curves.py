"""The drawn curves that pass a text, such as the ring of a badge: they are no letters."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.ink import has_colour
from operators.masks.mask import dilated
from operators.rows.arrays import Pixels, Selection
from operators.rows.box import Box

BEYOND = 1.0
"""Heights of the line for which a curve goes on beyond the strokes; letters end before."""
MOST_THICKNESS = 0.25
"""Thickness of a curve as a share of the line's height, at most; strokes of letters are like it."""
MOST_DETOUR = 1.7
"""Length of a curve divided by the distance between its ends, at most: that of a half circle is
1.6, and joined handwriting goes up and down on its way.
"""
EVEN = 1.5
"""The upper quartile of a curve's thickness as a multiple of the lower one, at most. Letters of its
colour that touch a drawn curve make it thicker in few places; the rim of a thing varies everywhere.
"""
SMOOTH = 5
"""Pixels of a curve's length over which its thickness is averaged."""
RIM = 2
"""Pixels beside a curve where it is mixed with the ground."""
SAME_COLOUR = 32.0
"""Grey levels by which a curve may differ from its own colour where it goes on."""


def passing_curves(rgb: Pixels, strokes: Selection, height: float) -> Selection:
    """The parts of the strokes found around a text that come from beyond and go on there.

    Such a part belongs to a thin curve of one colour, which goes on for the height of the line at
    both ends and takes nearly the shortest way. Letters of the same colour that touch the curve
    are not part of it. `rgb` is uint8 height x width x 3, `strokes` is on the same pixels, and
    `height` is that of the line of text in pixels.
    """
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(strokes.astype(np.uint8), connectivity=8)
    frame, curves = Box(0, 0, strokes.shape[1], strokes.shape[0]), np.zeros(strokes.shape, bool)
    for label in range(1, count):
        x, y, width, length = (int(value) for value in boxes[label][:4])
        place = Box(x, y, width, length).grown(math.ceil(BEYOND * height), frame.width, frame.height).inside(frame)
        own = labels[place] == label
        curve = _curve_through(_ink_of(rgb[place], own), MOST_THICKNESS * height, BEYOND * height)
        if curve is not None:
            curves[place] |= own & (dilated(curve.astype(np.uint8), RIM) > 0)
    return curves


def _ink_of(rgb: Pixels, own: Selection) -> Selection:
    """The pixels of a stroke with those of its colour that are connected to it.

    Its colour is that of its middle, because its rims are mixed with the ground.
    """
    depth = cv2.distanceTransform(np.pad(own.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    middle = depth > 0.6 * depth.max()
    colour = np.median(rgb[middle], axis=0)
    alike = has_colour(rgb, colour, SAME_COLOUR)
    _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=8)
    own_labels = np.unique(labels[middle & alike])
    ink: Selection = np.isin(labels, own_labels) & alike
    return ink


def _curve_through(ink: Selection, most_thickness: float, least_span: float) -> Selection | None:
    """The thin curve in ink from one place of the window's border to another, or None.

    It is what lies on the shortest ways through the ink between the two places, up to its own
    thickness.
    """
    at_border = ink.copy()
    at_border[1:-1, 1:-1] = False
    count, borders, _, centres = cv2.connectedComponentsWithStats(at_border.astype(np.uint8), connectivity=8)
    if count < 3:
        return None
    apart = np.linalg.norm(centres[1:, None] - centres[None, 1:], axis=2)
    first, second = (int(place) for place in np.unravel_index(apart.argmax(), apart.shape))
    span = float(apart[first, second])
    if span < least_span:
        return None
    farthest = math.ceil(MOST_DETOUR * span)
    forth, back = (_distance_through(ink, borders == end + 1, farthest) for end in (first, second))
    way = forth + back
    shortest = float(way.min())
    if shortest > farthest:
        return None
    on_way = way <= shortest + most_thickness
    thickness = _thickness_along(forth[on_way])
    thin, usual, thick = np.percentile(thickness, (25, 50, 75))
    if usual > most_thickness or thick > EVEN * thin:
        return None
    curve: Selection = way <= shortest + usual
    return curve


def _thickness_along(distance: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The thickness of a curve at each pixel of its length, from its pixels' distance along it."""
    counts = np.bincount(distance.astype(np.int64)).astype(np.float64)
    return np.convolve(counts, np.full(SMOOTH, 1 / SMOOTH), mode="valid") if len(counts) >= SMOOTH else counts


def _distance_through(ink: Selection, start: Selection, farthest: int) -> npt.NDArray[np.float32]:
    """The distance in pixels from `start` to each pixel of ink through ink; infinite elsewhere and
    beyond `farthest`.

    Steps to four and to eight neighbours alternate, so that slanted ways are hardly shorter than
    level ones.
    """
    reached = ink & start
    distance = np.where(reached, 0, np.inf).astype(np.float32)
    steps = [cv2.getStructuringElement(shape, (3, 3)) for shape in (cv2.MORPH_CROSS, cv2.MORPH_RECT)]
    last = 0
    for step in range(1, farthest + 1):
        wider = (cv2.dilate(reached.astype(np.uint8), steps[step % 2]) > 0) & ink
        new = wider & ~reached
        if new.any():
            last = step
        elif step - last == len(steps):
            break
        distance[new] = step
        reached = wider
    return distance
