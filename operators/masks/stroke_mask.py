"""From stroke probabilities to mask weights: what counts as a stroke, how it grows and fades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.ground import LEAST_EDGE, LEAST_LINE, Ground, estimate_ground, straight_lines
from operators.masks.mask import dilated, feathered
from operators.rows.arrays import Pixels, Selection

Probability = npt.NDArray[np.float32]
StrokeSource = Literal["given", "found", "polygon"]
"""Where the strokes of a mask come from, as the row's `strokes` says."""
GIVEN: StrokeSource = "given"
"""The user's own mask: its weights are used unchanged."""
FOUND: StrokeSource = "found"
"""The strokes that the stroke network found inside the polygons."""
POLYGON: StrokeSource = "polygon"
"""The filled polygons, because the network could not separate strokes from the picture."""

COLOUR_CELLS = 16
"""Steps of each channel in which colours are compared."""
OUTLINE_COLOUR = 40
"""Grey levels by which the pixels of an outline may differ from its colour."""
LEAST_OUTLINED = 0.6
"""Share of the pixels beside the letters that have the outline's colour."""
MOSTLY_GROUND = 0.8
"""Share of a line's pixels with the ground's colour, above which it is a gap and no line."""
LEAST_BODY = 12
"""Pixels of the smallest body of a letter that is looked for inside its outline."""
LINE_RIM = 3
"""Pixels beside a straight line that `straight_lines` counts with it."""


@dataclass(frozen=True)
class StrokeMask:
    """How the strokes of one line of text become a mask."""

    least_probability: float = 0.6
    """Probability from which a pixel counts as touched by text."""
    dilation: float = 0.02
    """Growth of the strokes, as a share of their line's height."""
    least_dilation: int = 3
    """Smallest growth of the strokes, in pixels."""
    reach: int = 16
    """Pixels around the strokes in which faint traces of them are followed; JPEG's ringing
    reaches as far with subsampled colour. For tall letters it is 0.3 of the line's height.
    """
    most_at_reach: float = 0.1
    """Share of the pixels at the end of `reach` up to which traces are taken for such."""
    outline: float = 0.2
    """Width of the widest outline of letters, as a share of the line's height."""
    least_visible: float = 2.0
    """Grey levels by which a trace must differ from the ground at least."""
    hairline: float = 0.03
    """Thickness, as a share of the line's height, of lines that are too thin for a letter."""
    same_colour: float = 48.0
    """Grey levels by which an underline may differ from the letters that it belongs to."""
    certain: float = 0.2
    """Probability from which the paste-back has full weight. In the dilated rim of the strokes,
    where the probability is lower, the weight falls in proportion.
    """
    feather: int = 1
    """Pixels over which the paste-back fades outside a polygon that is replaced as a whole."""

    def touched(self, probability: Probability) -> Selection:
        """The pixels that text has touched, from their probabilities (0..1)."""
        return probability >= self.least_probability

    def grown(self, strokes: Pixels, height: float) -> Pixels:
        """The core of strokes (0 or 255) of a line `height` pixels high, grown over faint edges."""
        return dilated(strokes, max(self.least_dilation, round(self.dilation * height)))

    def traced(self, rgb: Pixels, strokes: Pixels, height: float, lines: Selection) -> tuple[Pixels, Pixels]:
        """The core of strokes (0 or 255), and the part of it that must be replaced in full.

        Where the ground can be estimated, the core takes in what surrounds the letters and can be
        told from the ground's grain: faint edges, glow, shadow, and the ringing of JPEG and WebP.
        It follows them outwards from the strokes, to pixels that differ less than the letters, so
        it does not run into a neighbour. The `lines` of the page stay out; see `page_lines`. In
        texture nothing can be told apart, and what does not fade within `reach` is no trace of
        letters; there the core is only the `grown` strokes. `rgb` is
        uint8 height x width x 3.
        """
        strokes = self._with_outline(rgb, self._with_interiors(rgb, strokes), height)
        far = dilated(np.where(lines, 0, strokes).astype(np.uint8), max(self.reach // 2, round(0.3 * height))) > 0
        ground = estimate_ground(rgb, far, 2 * self.reach)
        known, lines = ground.known, _without_ink(lines, rgb, ground)
        strokes = np.where(lines, 0, strokes).astype(np.uint8)
        core = np.where(lines, 0, self.grown(strokes, height)).astype(np.uint8)
        if not known.any():
            return core, strokes
        smooth = cv2.GaussianBlur(rgb.astype(np.float32) - ground.level, (0, 0), 1.0)
        difference = np.abs(smooth).max(axis=2)
        plain = difference[ground.plain]
        visible = max(self.least_visible, 2.5 * float(np.sqrt(np.mean(np.square(plain)))) if plain.size else 0.0)
        letters = float(np.median(difference[strokes > 0])) if strokes.any() else 0.0
        traced = strokes > 0
        near = core > 0
        for _ in range(max(self.reach, round(0.3 * height))):
            step = dilated(traced.astype(np.uint8), 1) > 0
            step &= known & ~lines & (difference > visible) & (near | (difference < 0.5 * letters))
            if not (step & ~traced).any():
                break
            traced |= step
        outermost = dilated(strokes, self.reach) > 0
        outermost &= (dilated(strokes, round(0.75 * self.reach)) == 0) & known
        if outermost.any() and traced[outermost].mean() > self.most_at_reach:
            return core, strokes
        followed = dilated(np.where(traced, 255, 0).astype(np.uint8), 1)
        visibly = np.where(lines | ~known, strokes, followed).astype(np.uint8)
        return np.where(known, visibly, core).astype(np.uint8), visibly

    def _with_interiors(self, rgb: Pixels, strokes: Pixels) -> Pixels:
        """The strokes with what they enclose, where its colour is not that of the surroundings.

        The network may see the outline of a large letter and miss its body. The hole of an `O` is
        enclosed as well, but shows the colour of the surroundings.
        """
        outside = strokes == 0
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(outside.astype(np.uint8), connectivity=4)
        border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        around = np.isin(labels, border) & outside & (dilated(strokes, self.reach) > 0)
        if not around.any():
            return strokes
        seen = np.zeros((COLOUR_CELLS,) * 3, np.uint8)
        cells = rgb // (256 // COLOUR_CELLS)
        seen[tuple(cells[around].T)] = 1
        for axis in range(3):
            padded = np.pad(seen, [(1, 1) if side == axis else (0, 0) for side in range(3)])
            neighbours = [np.take(padded, range(start, start + COLOUR_CELLS), axis=axis) for start in range(3)]
            seen = np.maximum.reduce(neighbours)
        strange = seen[tuple(cells.reshape(-1, 3).T)].reshape(outside.shape) == 0
        result = strokes.copy()
        for label in range(1, count):
            enclosed = labels == label
            if label not in border and boxes[label][4] >= LEAST_BODY and strange[enclosed].mean() > 0.5:
                result[enclosed] = 255
        return result

    def _with_outline(self, rgb: Pixels, strokes: Pixels, height: float) -> Pixels:
        """The strokes with an outline of one colour around them, where there is one.

        The pixels next to the letters have mostly one colour then, and those beyond do not.
        """
        width = round(self.outline * height)
        beside = (dilated(strokes, 3) > 0) & (dilated(strokes, 1) == 0)
        beyond = (dilated(strokes, 2 * width + 3) > 0) & (dilated(strokes, width + 3) == 0)
        if width < 2 or not beside.any() or not beyond.any():
            return strokes
        colour = np.median(rgb[beside], axis=0)
        alike = np.abs(rgb - colour).max(axis=2) <= OUTLINE_COLOUR
        if alike[beside].mean() < LEAST_OUTLINED or alike[beyond].mean() > 0.5 * alike[beside].mean():
            return strokes
        grown = strokes > 0
        allowed = alike | (dilated(strokes, 1) > 0)
        for _ in range(width + 1):
            grown |= (dilated(grown.astype(np.uint8), 1) > 0) & allowed
        return np.where(grown, 255, 0).astype(np.uint8)

    def page_lines(self, rgb: Pixels, strokes: Pixels, height: float) -> tuple[Selection, Selection]:
        """The straight lines near a text that do not belong to it, and its own underline.

        An underline belongs to it if it has the colour of the letters and ends where they end.
        """
        lines = straight_lines(rgb, max(LEAST_LINE, round(1.5 * height)))
        short = straight_lines(rgb, max(LEAST_LINE, round(0.75 * height)))
        lines |= short & _is_thin(rgb, max(1, round(self.hairline * height)) + 1)
        letters = (strokes > 0) & ~lines
        underline, beside = np.zeros_like(lines), np.zeros_like(lines)
        if not letters.any() or not lines.any():
            return lines, underline
        lines = _reaching_out(lines, np.flatnonzero(letters.any(axis=1)), np.flatnonzero((strokes > 0).any(axis=0)))
        colour = _ink(rgb, letters)
        left, right = (int(edge) for edge in np.flatnonzero(letters.any(axis=0))[[0, -1]])
        # A line's ends are not detected as such, so its ink is followed a little further.
        longer = cv2.dilate(lines.astype(np.uint8), np.ones((1, 2 * self.reach + 1), np.uint8)) > 0
        top, bottom = (int(edge) for edge in np.flatnonzero(letters.any(axis=1))[[0, -1]])
        ink = longer & (np.abs(rgb - colour).max(axis=2) <= self.same_colour)
        count, labels, boxes, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
        for label in range(1, count):
            x, y, width, thickness, _ = boxes[label]
            inside = x >= left - 0.3 * height and x + width <= right + 0.3 * height
            goes_on = _goes_on(rgb, boxes[label], colour, self.same_colour)
            below = top <= y <= bottom + 0.5 * height and thickness <= min(0.3 * height, width / 3)
            if inside and below and not goes_on:
                own = labels == label
                underline |= own
                beside |= dilated(own.astype(np.uint8), 4 * LINE_RIM) > 0
        return lines & ~beside, underline

    def certainty(self, probability: Probability) -> Pixels:
        """How strongly each pixel of found strokes is replaced, 0..255, from probabilities 0..1."""
        result: Pixels = np.rint(np.clip(probability / np.float32(self.certain), 0, 1) * 255).astype(np.uint8)
        return result

    def weight(self, core: Pixels, certainty: Pixels, strokes: StrokeSource) -> Pixels:
        """The weights at paste-back of a core; all maps are uint8 height x width, 0..255.

        Found strokes fade within their core, because every pixel beyond it belongs to the
        picture. A polygon is replaced as a whole and fades outside.
        """
        return np.minimum(core, certainty) if strokes == FOUND else feathered(core, self.feather)


def _ink(rgb: Pixels, letters: Selection) -> npt.NDArray[np.float64]:
    """The colour of letters: that of their pixels farthest from the surroundings.

    The rims of thin letters are mixed with the surroundings.
    """
    around = (dilated(letters.astype(np.uint8), 4) > 0) & ~letters
    inside = rgb[letters].astype(np.float64)
    if not around.any():
        return np.asarray(np.median(inside, axis=0))
    distance = np.abs(inside - np.median(rgb[around], axis=0)).max(axis=1)
    return np.asarray(np.median(inside[distance >= np.percentile(distance, 60)], axis=0))


def _reaching_out(lines: Selection, rows: npt.NDArray[np.int_], columns: npt.NDArray[np.int_]) -> Selection:
    """The lines that reach beyond the rows and columns of letters; others run between letters."""
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(lines.astype(np.uint8), connectivity=8)
    left, top, width, height = (boxes[:, number] for number in range(4))
    inside = (left >= columns[0] - 1) & (left + width <= columns[-1] + 2)
    inside &= (top >= rows[0] - 1) & (top + height <= rows[-1] + 2)
    inside[0] = True
    reaching: Selection = ~inside[labels]
    return reaching


def _without_ink(lines: Selection, rgb: Pixels, ground: Ground) -> Selection:
    """The lines without letters' pixels on lines of the ground's colour, as between two stems."""
    alike = np.abs(rgb - ground.level).max(axis=2) <= ground.step
    count, labels = cv2.connectedComponents(lines.astype(np.uint8), connectivity=8)
    sizes = np.bincount(labels.ravel(), minlength=count)
    plain = np.bincount(labels.ravel(), weights=alike.ravel(), minlength=count) > MOSTLY_GROUND * sizes
    kept: Selection = lines & ~(plain[labels] & ~alike)
    return kept


def _is_thin(rgb: Pixels, distance: int) -> Selection:
    """Pixels brighter or darker than those at this distance on both sides, in either direction."""
    values = rgb.astype(np.int16)
    thin = np.zeros(rgb.shape[:2], bool)
    for axis in (0, 1):
        places = np.arange(values.shape[axis])
        before, after = (
            values - np.take(values, np.clip(places + step, 0, len(places) - 1), axis=axis) for step in (-distance, distance)
        )
        ridge = (np.sign(before) == np.sign(after)) * np.minimum(np.abs(before), np.abs(after))
        thin |= ridge.max(axis=2) > LEAST_EDGE
    return thin


def _goes_on(rgb: Pixels, box: npt.NDArray[np.int32], colour: npt.NDArray[np.float64], same: float) -> bool:
    """Whether pixels of the line's colour continue it beyond either end, as a curve's do."""
    x, y, width, height, _ = (int(value) for value in box)
    rows = slice(max(0, y - 2), y + height + 2)
    for columns in (slice(max(0, x - 4), max(0, x - 1)), slice(x + width + 1, x + width + 4)):
        beyond = rgb[rows, columns]
        if beyond.size and (np.abs(beyond - colour).max(axis=2) <= same).any():
            return True
    return False
