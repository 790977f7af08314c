"""Extend a text's polygon to the end of its line, where the detector's box ended too early.

Beyond an end of the box, a letter is recognised by the colour of the letters inside it. Where a
ground fades into that colour, letters may go on in a fainter one. The stroke network has the last
word: an end is moved only as far as it sees strokes there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon, covers, rasterised
from operators.masks.mask import moved
from operators.rows.arrays import Pixels, Selection
from operators.rows.box import Box
from operators.vision.stroke_network import Line, stroke_network

STEP = 1.2
"""How far an end is moved at a time, in heights of the line; a gap between words is narrower."""
MOST_STEPS = 4
"""How often one end is moved at most."""
LONGEST_EXTENSION = STEP * (MOST_STEPS + 1)
"""Heights of the line around a polygon that `whole_line` looks at."""
SAME_COLOUR = 0.4
"""Largest difference from the letters' colour, as a share of their contrast to the ground."""
LEAST_INK = 0.03
"""Smallest share of the pixels beyond an end that have the letters' colour if letters go on."""
MOST_INK = 0.6
"""Largest share of them; above it a whole area has that colour."""
LEAST_MARK = 0.004
"""LEAST_INK where the ground is calm: a dash or a dot that stands alone covers as little."""
LEAST_SPREAD, MOST_SPREAD, MORE_SPREAD = 4.0, 10.0, 1.5
"""Standard deviation of that ground in grey levels up to which it is always calm, and above which
it never is; between them, it is calm up to this multiple of that of the ground between the letters.
"""
CALM = 0.15
"""Standard deviation of such an area, as a share of the letters' contrast to their ground, up to
which it may be the ground of fainter letters.
"""
LEAST_CONTRAST = 8.0
"""Grey levels by which letters must differ from their ground for their colour to say anything."""
MOST_ASPECT = 1.5
"""Shapes less long than this have no direction in which they could go on."""

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ink:
    """The colours of a text's letters and of the ground between them."""

    letters: npt.NDArray[np.float64]
    ground: npt.NDArray[np.float64]
    spread: float
    """Standard deviation of that ground in grey levels; the largest of the three channels."""

    def share(self, pixels: Pixels) -> float:
        """The share of pixels (n x 3) that have the letters' colour."""
        contrast = float(np.abs(self.letters - self.ground).max())
        if contrast < LEAST_CONTRAST or not len(pixels):
            return 0.0
        alike = np.abs(pixels - self.letters).max(axis=1) <= SAME_COLOUR * contrast
        return float(alike.mean())

    def may_go_on(self, rgb: Pixels, area: Selection, band: Selection) -> bool:
        """Whether letters may be in the area beyond an end of a line.

        `rgb` is height x width x 3. `area` and `band` are height x width; the band holds the line
        and room for a mark that begins in the area.
        """
        share = self.share(rgb[area])
        if share <= MOST_INK:
            return share >= LEAST_INK or self.has_marks(rgb, area, band)
        contrast = float(np.abs(self.letters - self.ground).max())
        return float(rgb[area].std(axis=0).max()) <= CALM * contrast

    def has_marks(self, rgb: Pixels, area: Selection, band: Selection) -> bool:
        """Whether the area holds a small mark of the letters' colour on a ground as calm as theirs.

        What goes on beyond the band is no mark, such as the rule of a table.
        """
        contrast = float(np.abs(self.letters - self.ground).max())
        if contrast < LEAST_CONTRAST:
            return False
        distance = np.abs(rgb - self.letters).max(axis=2)
        alike = distance <= SAME_COLOUR * contrast
        _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=8)
        marks = area & alike & ~np.isin(labels, labels[alike & ~band])
        # The soft rims of marks have neither colour.
        free = area & (cv2.dilate(alike.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
        if marks.sum() < LEAST_MARK * area.sum() or not free.any():
            return False
        most_spread = min(max(LEAST_SPREAD, MORE_SPREAD * self.spread), MOST_SPREAD)
        return float(rgb[free].std(axis=0).max()) <= most_spread


def whole_line(rgb: Pixels, polygon: list[list[float]], strokes: Selection, others: Sequence[Polygon]) -> list[list[float]]:
    """The polygon, extended at both ends as far as the line of text goes on.

    `rgb` is the picture around the polygon (uint8 height x width x 3) and `strokes` the strokes
    found in it. The line ends where another text of `others` begins. The result is the polygon
    itself if nothing is found beyond its ends.
    """
    (long, short), corners = ordered_corners(polygon)
    if long < MOST_ASPECT * short:
        return polygon
    height, width = rgb.shape[:2]
    frame = Box(0, 0, width, height)
    inside = rasterised([polygon], frame) > 0
    letters, ground = inside & strokes, inside & ~cv2.dilate(strokes.astype(np.uint8), np.ones((3, 3))).astype(bool)
    if not letters.any() or not ground.any():
        return polygon
    spread = float(rgb[ground].std(axis=0).max())
    ink = Ink(np.median(rgb[letters], axis=0), np.median(rgb[ground], axis=0), spread)
    extended = corners.copy()
    for end in (0, 1):
        for _ in range(MOST_STEPS):
            zone = _beyond(extended, end, STEP * short)
            area = rasterised([zone.tolist()], frame) > 0
            band = _band(extended, end, STEP * short, frame)
            is_taken = any(covers(other, zone.tolist(), 0.2) for other in others)
            if is_taken or not area.any() or not ink.may_go_on(rgb, area, band):
                break
            extended = _moved_end(extended, end, STEP * short)
    if np.array_equal(extended, corners):
        return polygon
    return _confirmed(rgb, polygon, corners, extended, STEP * short, ink)


def _confirmed(
    rgb: Pixels, polygon: list[list[float]], corners: Points, extended: Points, step: float, ink: Ink
) -> list[list[float]]:
    """The polygon, extended at each end step by step as long as the stroke network sees strokes."""
    frame = Box(0, 0, rgb.shape[1], rgb.shape[0])
    line = Line.of([extended.tolist()], frame.width, frame.height)
    probability = stroke_network().line_probability(rgb[line.place], line)
    seen = moved(np.where(probability >= 0.5, 255, 0).astype(np.uint8), line.reach, frame) > 0
    result = corners.copy()
    for end in (0, 1):
        first = _end_corners(end)[0]
        while not np.allclose(result[first], extended[first]):
            zone = rasterised([_beyond(result, end, step).tolist()], frame) > 0
            share = seen[zone].mean()
            if share < LEAST_INK and not (share >= LEAST_MARK and ink.has_marks(rgb, zone, _band(result, end, step, frame))):
                break
            result = _moved_end(result, end, step)
    if np.array_equal(result, corners):
        return polygon
    clipped = np.clip(result, 0, [frame.width - 1, frame.height - 1])
    return [[float(x), float(y)] for x, y in clipped]


def ordered_corners(polygon: Polygon) -> tuple[tuple[float, float], Points]:
    """The long and the short side of the smallest rectangle around a polygon, and its corners.

    The ends of the long side are at 0, 3 and at 1, 2.
    """
    corners = cv2.boxPoints(cv2.minAreaRect(np.asarray(polygon, np.float32).reshape(-1, 2))).astype(np.float64)
    if np.linalg.norm(corners[1] - corners[0]) < np.linalg.norm(corners[2] - corners[1]):
        corners = np.roll(corners, -1, axis=0)
    long, short = float(np.linalg.norm(corners[1] - corners[0])), float(np.linalg.norm(corners[2] - corners[1]))
    return (max(1.0, long), max(1.0, short)), corners


def _end_corners(end: int) -> tuple[int, int]:
    return (0, 3) if end == 0 else (1, 2)


def _outwards(corners: Points, end: int) -> Points:
    along: Points = corners[1] - corners[0]
    along = along / max(1e-6, float(np.linalg.norm(along)))
    return -along if end == 0 else along


def _moved_end(corners: Points, end: int, distance: float) -> Points:
    result = corners.copy()
    result[list(_end_corners(end))] += distance * _outwards(corners, end)
    return result


def _band(corners: Points, end: int, step: float, frame: Box) -> Selection:
    """The pixels of a line, and of two steps beyond one end."""
    result: Selection = rasterised([_moved_end(corners, end, 2 * step).tolist()], frame) > 0
    return result


def _beyond(corners: Points, end: int, distance: float) -> Points:
    """The rectangle beyond one end."""
    first, second = _end_corners(end)
    step = distance * _outwards(corners, end)
    return np.array([corners[first], corners[first] + step, corners[second] + step, corners[second]])
