"""The drawn curves that pass a text, such as the ring of a badge: they are no letters."""

from __future__ import annotations

import math

import cv2
import numpy as np

from operators.rows.arrays import Pixels, Selection, largest_channel
from operators.rows.box import Box

BEYOND = 1.0
"""Heights of the line for which a curve goes on beyond the strokes; letters end before."""
MOST_THICKNESS = 0.25
"""Thickness of a curve as a share of the line's height, at most; strokes of letters are like it."""
MOST_DETOUR = 1.7
"""Length of a curve divided by the distance between its ends, at most: that of a half circle is
1.6, and joined handwriting goes up and down on its way.
"""
SAME_COLOUR = 32.0
"""Grey levels by which a curve may differ from its own colour where it goes on."""


def passing_curves(rgb: Pixels, strokes: Selection, height: float) -> Selection:
    """Of the strokes that were found around a text, those that come from beyond and go on there.

    Such a stroke is part of a thin curve of one colour, which goes on for the height of the line at
    both ends and takes nearly the shortest way. `rgb` is uint8 height x width x 3, `strokes` is on
    the same pixels, and `height` is that of the line of text in pixels.
    """
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(strokes.astype(np.uint8), connectivity=8)
    frame, curves = Box(0, 0, strokes.shape[1], strokes.shape[0]), np.zeros(strokes.shape, bool)
    for label in range(1, count):
        x, y, width, length = (int(value) for value in boxes[label][:4])
        place = Box(x, y, width, length).grown(math.ceil(BEYOND * height), frame.width, frame.height).inside(frame)
        own = labels[place] == label
        if _passes(_ink_of(rgb[place], own), MOST_THICKNESS * height, BEYOND * height):
            curves[place] |= own
    return curves


def _ink_of(rgb: Pixels, own: Selection) -> Selection:
    """The pixels of a stroke with those of its colour that are connected to it.

    Its colour is that of its middle, because its rims are mixed with the ground.
    """
    depth = cv2.distanceTransform(np.pad(own.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    middle = depth > 0.6 * depth.max()
    colour = np.median(rgb[middle], axis=0)
    alike = largest_channel(np.abs(rgb - colour)) <= SAME_COLOUR
    _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=8)
    own_labels = np.unique(labels[middle & alike])
    ink: Selection = np.isin(labels, own_labels) & alike
    return ink


def _passes(ink: Selection, most_thickness: float, least_span: float) -> bool:
    """Whether ink is a curve from one place of the window's border to another."""
    depth = cv2.distanceTransform(np.pad(ink.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    thickness = 4 * float(depth[ink].mean()) if ink.any() else 0.0
    if not 0 < thickness <= most_thickness:
        return False
    at_border = ink.copy()
    at_border[1:-1, 1:-1] = False
    count, _, _, centres = cv2.connectedComponentsWithStats(at_border.astype(np.uint8), connectivity=8)
    ends = centres[1:count]
    span = float(np.linalg.norm(ends[:, None] - ends[None], axis=2).max()) if len(ends) else 0.0
    return span >= least_span and ink.sum() / thickness <= MOST_DETOUR * span
