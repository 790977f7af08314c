"""What belongs to letters although the stroke network misses it: bodies, outlines, soft edges.

All pictures are uint8 height x width x 3, all strokes uint8 height x width, 0 or 255.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.ink import has_colour
from operators.masks.mask import dilated
from operators.rows.arrays import Pixels, Selection

Values = npt.NDArray[np.float32]

NEAR = 16
"""Pixels around the strokes whose colours count as those of the surroundings."""
COLOUR_CELLS = 16
"""Steps of each channel in which colours are compared."""
LEAST_BODY = 12
"""Pixels of the smallest body of a letter that is looked for inside its outline."""
MARGIN = 0.15
"""Width, as a share of the line's height, of a polygon's margin into which letters may reach."""
LEAST_LETTERS = 64
"""Pixels of strokes, and of surroundings, from which the letters' colour can be told."""
LEAST_OF_LETTERS = 0.03
"""Share of the strokes' pixels that have a colour of the letters at least."""
MORE_IN_LETTERS = 10.0
"""How many times as frequent such a colour is in the strokes as outside the polygon, at least."""
MOST_ADDED = 0.5
"""Pixels that may be added, as a share of those of the strokes; more are a thing of that colour."""
WIDEST_OUTLINE = 0.2
"""Width of the widest outline of letters, as a share of the line's height."""
OUTLINE_COLOUR = 40
"""Grey levels by which the pixels of an outline may differ from its colour."""
LEAST_OUTLINED = 0.6
"""Share of the pixels beside the letters that have the outline's colour."""
END = 3
"""Pixels beyond the widest outline where its colour must have ended."""
MOST_BEYOND = 0.25
"""Share of the pixels there that may have it, as a multiple of the share beside the letters. On a
panel or a band, more have it.
"""

GAP = 4
"""Pixels from the strokes at which the ground is seen without them."""
GROUND_SIGMA, LETTERS_SIGMA = 5.0, 6.0
"""Pixels over which the colours of the ground and of the letters are averaged."""
LEAST_MIXED = 0.1
"""Share of the letters' colour from which a pixel beside them is mixed with it."""
CLEARLY_MIXED = 2.0
"""The same in standard deviations of the ground, which hides small shares."""


def with_bodies(rgb: Pixels, strokes: Pixels) -> Pixels:
    """The strokes with what they enclose, where its colour is not that of the surroundings.

    The network may see the outline of a large letter and miss its body. The hole of an `O` is
    enclosed as well, but shows the colour of the surroundings.
    """
    outside = strokes == 0
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(outside.astype(np.uint8), connectivity=4)
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    around = np.isin(labels, border) & outside & (dilated(strokes, NEAR) > 0)
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


def with_letters_colour(rgb: Pixels, strokes: Pixels, inside: Pixels, height: float) -> Pixels:
    """The strokes with the pixels inside a text's polygon that have the colour of its letters.

    The network may miss a part of a letter, or a letter, that anybody sees by its colour. Colours
    are those of the letters if many pixels within the strokes have them, and hardly any outside the
    polygon; the rims of strokes show the panel behind the text as well. What goes on beyond the
    polygon is no letter, such as the ring of a badge, nor is a thin seam away from the strokes.
    `inside` is the filled polygon (0 or 255) of a line `height` pixels high.
    """
    beyond = dilated(inside, round(MARGIN * height)) == 0
    letters = (strokes > 0) & (inside > 0)
    within = letters & (cv2.erode(strokes, np.ones((3, 3), np.uint8)) > 0)
    if within.sum() < LEAST_LETTERS or beyond.sum() < LEAST_LETTERS:
        return strokes
    red, green, blue = (rgb // (256 // COLOUR_CELLS)).reshape(-1, 3).astype(np.int64).T
    cells = (red * COLOUR_CELLS + green) * COLOUR_CELLS + blue
    own, others = (_share_of_colours(cells[places.ravel()]) for places in (within, beyond))
    telling = (own >= LEAST_OF_LETTERS) & (own >= MORE_IN_LETTERS * others)
    alike = telling[cells].reshape(strokes.shape)
    _, labels = cv2.connectedComponents(alike.astype(np.uint8), connectivity=8)
    solid = cv2.erode(alike.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    parts = labels[alike & (solid | (dilated(strokes, 1) > 0))]
    alike &= (inside > 0) & np.isin(labels, parts) & ~np.isin(labels, labels[alike & beyond])
    added = alike & (strokes == 0)
    if added.sum() > MOST_ADDED * letters.sum():
        return strokes
    return np.where(alike, 255, strokes).astype(np.uint8)


def _share_of_colours(cells: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The share of pixels near each colour, from their cells: one value for each cell."""
    counts = np.bincount(cells, minlength=COLOUR_CELLS**3).reshape((COLOUR_CELLS,) * 3).astype(np.float64)
    for axis in range(3):
        padded = np.pad(counts, [(1, 1) if side == axis else (0, 0) for side in range(3)])
        counts = np.sum([np.take(padded, range(start, start + COLOUR_CELLS), axis=axis) for start in range(3)], axis=0)
    return counts.ravel() / len(cells)


def with_outline(rgb: Pixels, strokes: Pixels, height: float) -> Pixels:
    """The strokes with an outline of one colour around them, where there is one.

    The pixels next to the letters have mostly one colour then, and those just beyond the widest
    outline do not.
    """
    width = round(WIDEST_OUTLINE * height)
    beside = (dilated(strokes, 3) > 0) & (dilated(strokes, 1) == 0)
    beyond = (dilated(strokes, width + 1 + END) > 0) & (dilated(strokes, width + 1) == 0)
    if width < 2 or not beside.any() or not beyond.any():
        return strokes
    colour = np.median(rgb[beside], axis=0)
    alike = has_colour(rgb, colour, OUTLINE_COLOUR)
    if alike[beside].mean() < LEAST_OUTLINED or alike[beyond].mean() > MOST_BEYOND * alike[beside].mean():
        return strokes
    grown = strokes > 0
    allowed = alike | (dilated(strokes, 1) > 0)
    for _ in range(width + 1):
        grown |= (dilated(grown.astype(np.uint8), 1) > 0) & allowed
    return np.where(grown, 255, 0).astype(np.uint8)


def with_soft_edges(rgb: Pixels, strokes: Pixels, near: Selection) -> Pixels:
    """The strokes with the `near` pixels whose colour is mixed with that of the letters.

    A pixel's colour is taken as a mixture of the letters' colour and the ground's, both averaged
    nearby. It belongs to the letters if its share of them is more than the ground's own variation
    explains. Letters that hardly stand out from the ground tell nothing.
    """
    seen = rgb.astype(np.float32)
    inner = cv2.erode(strokes, np.ones((3, 3), np.uint8))
    letters = _average_nearby(seen, inner if inner.any() else strokes, LETTERS_SIGMA)
    beyond = np.where(dilated(strokes, GAP) > 0, 0, 255).astype(np.uint8)
    ground = _average_nearby(seen, beyond, GROUND_SIGMA)
    variance = np.maximum(_average_nearby(seen * seen, beyond, GROUND_SIGMA) - ground * ground, 0)
    apart = letters - ground
    length = np.maximum((apart * apart).sum(axis=2), 1.0)
    share = ((seen - ground) * apart).sum(axis=2) / length
    deviation = np.sqrt((variance * apart * apart).sum(axis=2)) / length
    least = np.maximum(LEAST_MIXED, CLEARLY_MIXED * deviation)
    mixed = near & (share > least) & (least < 1)
    return np.where(mixed | (strokes > 0), 255, 0).astype(np.uint8)


def _average_nearby(values: Values, counted: Pixels, sigma: float) -> Values:
    """The Gaussian average of the counted pixels' values around each pixel."""
    weight = (counted > 0).astype(np.float32)
    total = cv2.GaussianBlur(values * weight[:, :, None], (0, 0), sigma)
    average: Values = total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-4)[:, :, None]
    return average
