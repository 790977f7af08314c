"""Find the texts of a picture: polygons with their scores and the detector's probability.

The first look sees the whole picture and says where text may be. Only there the text detector
looks, at a scale and an angle that suit the letters, so its cost follows the area of text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from operators.masks.geometry import Polygon, covers, stroke_height, upright_turn
from operators.rows.arrays import Pixels
from operators.vision.areas import Area, areas, turned
from operators.vision.close_look import FoundText, ImagePyramid, look_at, look_larger, scale_of
from operators.vision.crossing_lines import without_crossings
from operators.vision.first_look import Cells, first_look, likelihood
from operators.vision.join_lines import is_one_line, join_lines
from operators.vision.missed_ends import missed_ends
from operators.vision.repeated_texts import repeated_texts
from operators.vision.text_detector import TextDetector, text_detector

LEAST_SIDE = 8
"""Shortest side, in pixels, of a picture that is looked at; smaller ones hold no legible text."""
SAME = 0.5
"""Share of a polygon that a larger one covers if both are the same text, seen twice."""
LEAST_SEEN = 20.0
"""Height in the detector's pixels that the polygon of a text has at least if its area was reduced
for higher letters.
"""
CUT = 0.35
"""Heights of letters from the border of an area within which a line is cut off."""
FOLLOWED = (8.0, 16.0, 32.0)
"""Heights of letters by which an area is widened where it cuts a line off, time after time."""
LINES_COVER, LINES_LOWER, LINES_LONG = 0.4, 0.7, 0.25
"""A polygon is several lines seen as one if lines cover more than the first share of it, each lower
than the second share of its height and longer than the third share of its length. Shorter ones are
pieces of a line.
"""


def find_texts(rgb: Pixels, width: int, height: int, factor: float, least_score: float, detector: str = "") -> list[FoundText]:
    """The texts of a width x height picture whose score is at least `least_score` (0..1).

    `rgb` is the picture, perhaps decoded at a reduced scale, uint8. The first look sees it at
    `factor` times the size of the picture. Texts without contrast are left out. `detector` is the
    path or URL of a text detector; the packaged one if it is empty.
    """
    if min(width, height) < LEAST_SIDE:
        return []
    pyramid = ImagePyramid(rgb, width, height)
    copies = first_look().cells(rgb, width, height, factor)
    network = text_detector(detector)
    found: list[FoundText] = []
    tiny: list[FoundText] = []
    for area in areas(copies):
        for text in _follow_lines(pyramid, area, network, least_score):
            (tiny if _is_tiny(text, area) else found).append(text)
    for text in tiny:
        if not any(covers(text.polygon, other.polygon, SAME) for other in found if other.box.overlaps(text.box)):
            found += look_at(pyramid, _area_around(text), network, least_score)
    found = [replace(text, likelihood=likelihood(copies, text.polygon)) for text in found]
    found = join_lines(found, copies, width, height)
    found += [
        replace(again, likelihood=likelihood(copies, again.polygon))
        for area in repeated_texts(found, copies, width, height)
        for again in look_larger(pyramid, area, network, least_score)
    ]
    ends = [
        text for area in missed_ends(found, copies, width, height) for text in look_larger(pyramid, area, network, least_score)
    ]
    ends = ends_of_one_text(ends, found, copies)
    once = without_repeats(join_lines([*found, *ends], copies, width, height) if ends else found)
    return without_crossings(once, width, height)


def ends_of_one_text(ends: Sequence[FoundText], found: Sequence[FoundText], copies: Sequence[Cells]) -> list[FoundText]:
    """The pieces that go on beyond an end of exactly one text.

    A piece that would join two texts is a thing between them, such as the check box of a label, and
    one that a text covers was found already.
    """
    new = [end for end in ends if not any(covers(text.polygon, end.polygon, SAME) for text in found)]
    return [end for end in new if sum(is_one_line(text, end, copies) for text in found) == 1]


def _follow_lines(pyramid: ImagePyramid, area: Area, network: TextDetector, least_score: float) -> list[FoundText]:
    """The texts of an area, which is widened where the first look has missed the rest of a line."""
    texts = look_at(pyramid, area, network, least_score)
    for heights in FOLLOWED:
        wider = _widened(area, texts, heights * area.height, pyramid)
        if wider == area:
            break
        area, texts = wider, look_at(pyramid, wider, network, least_score)
    return texts


def _widened(area: Area, texts: Sequence[FoundText], distance: float, pyramid: ImagePyramid) -> Area:
    """The area, longer by `distance` pixels at each end where it cuts a line off in the picture."""
    if area.bent:
        return area
    corners, turn = [np.asarray(text.polygon) for text in texts], turned(area.angle)
    upright = [polygon @ turn.T for polygon in corners]
    near = CUT * area.height

    def is_cut(at_left: bool) -> bool:
        for polygon, across in zip(corners, upright, strict=True):
            outermost = polygon[across[:, 0].argmin() if at_left else across[:, 0].argmax()]
            beyond = across[:, 0].min() - area.left if at_left else area.right - across[:, 0].max()
            inside = np.clip(outermost, area.height, [pyramid.width - area.height, pyramid.height - area.height])
            if beyond <= near and np.abs(inside - outermost).max() <= near:
                return True
        return False

    left = area.left - distance if is_cut(True) else area.left
    right = area.right + distance if is_cut(False) else area.right
    return replace(area, left=left, right=right)


def _is_tiny(text: FoundText, area: Area) -> bool:
    """Whether an area was reduced for high letters, and this text in it has low ones.

    The detector's polygon around letters so low is too wide.
    """
    scale = scale_of(area.height)
    return scale < 1 and stroke_height(text.polygon) * scale < LEAST_SEEN


def _area_around(text: FoundText) -> Area:
    """The area for a second look at a text that was seen too small."""
    box, margin = text.box, stroke_height(text.polygon) / 2
    left, top, right, bottom = box.x - margin, box.y - margin, box.x + box.width + margin, box.y + box.height + margin
    return Area(0.0, left, top, right, bottom, margin, margin)


def without_repeats(texts: Sequence[FoundText]) -> list[FoundText]:
    """The texts without those that a larger one covers, and without several lines seen as one.

    A larger text holds those that it covers, because they take its place if it turns out to be no
    text: an object between letters, seen from afar, may look like one large line.
    """
    lines = [text for text in texts if not _holds_lines(text, texts)]
    kept: list[tuple[FoundText, list[FoundText]]] = []
    for text in sorted(lines, key=lambda text: -_area(text.polygon)):
        above = [held for other, held in kept if other.box.overlaps(text.box) and covers(other.polygon, text.polygon, SAME)]
        for held in above:
            held.append(text)
        if not above:
            kept.append((text, []))
    found = [replace(text, covered=(*text.covered, *held)) if held else text for text, held in kept]
    return sorted(found, key=lambda text: (text.box.y, text.box.x))


def _holds_lines(text: FoundText, texts: Sequence[FoundText]) -> bool:
    """Whether a polygon holds several lower lines, one above the other, that were found as well."""
    turn, (length, height) = upright_turn(text.polygon)
    lower = [
        other
        for other in texts
        if stroke_height(other.polygon) < LINES_LOWER * height
        and other.box.overlaps(text.box)
        and upright_turn(other.polygon)[1][0] > LINES_LONG * length
        and covers(text.polygon, other.polygon, SAME)
    ]
    if len(lower) < 2 or sum(_area(other.polygon) for other in lower) <= LINES_COVER * _area(text.polygon):
        return False
    middles = np.array([np.mean(other.polygon, axis=0) for other in lower]) @ turn[1, :2]
    return bool(np.ptp(middles) > min(stroke_height(other.polygon) for other in lower) / 2)


def _area(polygon: Polygon) -> float:
    return float(cv2.contourArea(np.asarray(polygon, np.float32)))
