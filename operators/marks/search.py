"""Finding a known mark in a picture: coarse to fine, by the edges that it draws into the picture.

Reduced copies of the picture are searched for the mark at all its sizes. The best places are then
followed up to the full size, where the mark is aligned to parts of a pixel. In the end the mark is
taken off there: the place counts only if its edges then vanish from the picture.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from operators.marks.alignment import followed, sureness
from operators.marks.closer_look import Place
from operators.marks.copies import MOST_PLACES, copies, cut_copies, separate
from operators.marks.first_places import first_places
from operators.marks.mark import Mark
from operators.marks.removal import Found, proven, taken_off
from operators.marks.view import View
from operators.rows.arrays import Pixels
from operators.rows.box import Box

SLACK = 0.03
"""How far beyond the smallest and the largest size a mark may be, as a share."""
TURN_SLACK = 0.5
"""How far beyond the largest turn a mark may be, in degrees."""
LEAST_LIKELY = 5.5
"""Sureness from which a mark is taken off to see whether it is there."""
LEAST_SURE = 9.5
"""Sureness from which a mark is no accident."""
ALIKE = 0.75
"""Correlation of a place that looks like the mark itself."""
LEAST_ALIKE = 7.0
"""The bound in place of LEAST_SURE for such a place."""
LEAST_SCORE = 0.22
"""Correlation of directions at full size, below which only evidence tells a mark."""


def find_mark(rgb: Pixels, mark: Mark) -> list[Found]:
    """Every place of a mark in a picture (uint8 sRGB, height x width x 3), the surest first.

    A mark lies there with one size and one turn, on its own or many times.
    """
    height, width = rgb.shape[:2]
    least, most = mark.search.scales(mark.alpha.shape[1], width)
    zone = _zone(mark, width, height)
    view = View.of(np.ascontiguousarray(rgb[zone.inside(Box(0, 0, width, height))]), mark, width)
    found = (_settled(view, place) for place in first_places(view, least, most))
    sure = sorted((one for one in found if one is not None), key=lambda one: -one.score)
    if not sure:
        return []
    places = separate([sure[0], *copies(view, sure[0])])
    places += cut_copies(view, places)
    return [replace(one, pose=one.pose.moved(zone.x, zone.y)) for one in places[:MOST_PLACES]]


def _zone(mark: Mark, width: int, height: int) -> Box:
    """The part of the picture that is looked at, grown so that the mark's surroundings show."""
    left, top, right, bottom = mark.search.zone
    x, y = math.floor(left * width), math.floor(top * height)
    box = Box(x, y, max(1, math.ceil(right * width) - x), max(1, math.ceil(bottom * height) - y))
    return box.grown(16, width, height)


def _settled(view: View, place: Place) -> Found | None:
    """The mark aligned at full size and taken off; None if it is not there."""
    aligned = followed(view, place.pose)
    if aligned is None:
        return None
    pose, score = aligned
    sure = sureness(view, pose, score)
    if sure < LEAST_LIKELY:
        return None
    found = taken_off(view, pose, score)
    alike = sure >= LEAST_SURE or (score >= ALIKE and sure >= LEAST_ALIKE)
    if found is None or (not proven(found.evidence, found.opacity) and (score < LEAST_SCORE or not alike)):
        return None
    smallest, largest = view.mark.search.scales(view.mark.alpha.shape[1], view.width)
    sized = smallest * (1 - SLACK) <= found.pose.scale <= largest * (1 + SLACK)
    return found if sized and abs(found.pose.turn) <= view.mark.search.turn + TURN_SLACK else None
