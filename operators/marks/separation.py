"""The matte and the colour of a mark from many pictures that carry it at the same place.

Under the mark I = (1 - a) J + a C. The smooth continuation of the surroundings stands for J in each
picture. Over many pictures, what is seen depends on it with the slope 1 - a, and the rest is a C.
From there, alpha and colour are fitted in turn by least squares; pictures with plain surroundings,
where J is known well, count more. The idea of separating a mark by the variety of the pictures is
that of Dekel, Rubinstein, Liu and Freeman (2017).

A mark shows the picture through it. Content that recurs, such as a frame, a caption's band or a
table's header, hides what is below: its slope is zero, and it is no mark here.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from operators.marks.statistics import PLANES, coloured_directions
from operators.masks.membrane import membrane
from operators.rows.arrays import Pixels, Selection
from operators.rows.overlay import Plane

SURE = 2.5
"""Standard deviations of accidental likeness from which a picture carries a mark."""
LEAST_ALIKE = 0.04
"""Correlation of its edges with the common ones that such a picture must have."""
LEAST_MEMBERS = 6
"""Pictures that must carry a mark."""
ROUNDS = 8
"""How often alpha and colour are fitted in turn."""
LEAST_ALPHA = 0.02
"""Alpha below which a fitted pixel is noise."""
OPACITIES = (0.08, 0.95)
"""The opacity of a mark's strongest pixels; above, it hides what is below."""
LEAST_THROUGH = 0.3
"""Correlation of what is seen on the mark with its surroundings."""
MOST_LEFT = 0.25
"""Share of the squared common edges that may be left when the mark is taken off."""
LEAST_AREA = 40
"""Pixels of a mark's strokes."""
RIMS = (7, 3)
"""Sides in pixels of the squares by which strokes are widened to what a mark may cover, one for
each further fit.
"""
MOSTLY = 0.9
"""Share of what a mark may cover that its strokes must leave free for a second fit."""
MOST_AT_BORDER = 0.25
"""Share of the border of the part looked at that a mark may cover: it has ends."""
LEAST_EDGE = 12.0
"""Significance from which an edge is common to the pictures."""
SAME_COLOUR, TIMES_SPREAD = 40.0, 3.0
"""Distance of two colours in grey levels, and as a multiple of the spread of each, up to which they
are one that the noise of the fit spreads.
"""
LEAST_SECOND = 0.08
"""Share of a mark's pixels that a second colour must have."""
LEAST_LENGTH = 0.02
"""Mean squared length of directions that is always allowed for."""
LEAST_USUAL = 0.5
"""Usual chi squared of two degrees over two, of which less shows only that places are plain."""
NEARBY, LEAST_NEARBY = 12.0, 0.02
"""Standard deviation in pixels of the window in which detail counts as near, and how much that of
the whole picture counts beside it.
"""
RELIABLE = 3.0
"""Grey levels by which the surroundings' continuation may always be wrong."""


@dataclass(frozen=True, eq=False)
class Separated:
    """A mark that was separated from the pictures that carry it."""

    alpha: Plane
    colour: Plane
    members: list[int]
    """The numbers of the pictures that carry it."""


def groups(parts: npt.NDArray[np.uint8], support: Selection) -> list[list[int]]:
    """The pictures that carry the same mark, by their edges where the mark is; largest group first.

    `parts` is pictures x height x width x 3.
    """
    edges = [coloured_directions(part) for part in parts]
    matrix = _features(edges, support)
    across, down = support.shape[1] // 2, support.shape[0] // 2
    elsewhere = [_features([np.roll(one, move, (2, 3)) for one in edges], support) for move in ((down, 0), (0, across))]
    alike = matrix @ matrix.T
    free = np.ones(len(parts), bool)
    found: list[list[int]] = []
    while free.sum() >= LEAST_MEMBERS and len(found) < 6:
        inner = np.where(free[:, None] & free[None, :], alike, 0)
        np.fill_diagonal(inner, 0)
        seed = int(np.argmax(np.sort(inner, axis=1)[:, -LEAST_MEMBERS:].sum(axis=1)))
        chosen = free & (inner[seed] >= np.sort(inner[seed])[-LEAST_MEMBERS])
        chosen[seed] = True
        for _ in range(8):
            total = matrix[chosen].sum(axis=0)
            others = total[None, :] - np.where(chosen[:, None], matrix, 0)
            score = (matrix * others).sum(axis=1) / np.maximum(np.linalg.norm(others, axis=1), 1e-6)
            # The same pictures beside the mark show what is accidental.
            middle = total / max(float(np.linalg.norm(total)), 1e-6)
            accidental = np.concatenate([other @ middle for other in elsewhere])
            level = float(np.median(accidental) + SURE * 1.4826 * np.median(np.abs(accidental - np.median(accidental))))
            again = free & (score >= max(level, LEAST_ALIKE))
            if (again == chosen).all():
                break
            chosen = again
            if not chosen.any():
                break
        members = [int(number) for number in np.flatnonzero(chosen)]
        if len(members) < LEAST_MEMBERS:
            break
        found.append(members)
        free &= ~chosen
    return sorted(found, key=lambda group: -len(group))


def _features(edges: list[Plane], support: Selection) -> Plane:
    """The edges of each picture on the support as a row of length 1."""
    matrix: Plane = np.array([planes[:, :4, support].ravel() for planes in edges], np.float32)
    matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-6)
    return matrix


def common_edges(parts: npt.NDArray[np.uint8]) -> Plane:
    """The strength of the edges that pictures have in common, as chi squared of two degrees."""
    planes = sum(coloured_directions(part) for part in parts)
    return significance(np.asarray(planes, np.float32), np.full(parts.shape[1:3], len(parts), np.int32))


def _shown(parts: npt.NDArray[np.uint8]) -> Selection:
    """Where the pictures themselves are seen, and not their last rows and columns repeated."""
    shown = np.ones(parts.shape[1:3], bool)
    for axis in (1, 2):
        steps = (np.diff(parts.astype(np.int16), axis=axis) != 0).any(axis=(0, 3))
        differ = steps.any(axis=2 - axis)
        inside = np.zeros(len(differ) + 1, bool)
        inside[:-1] |= differ
        inside[1:] |= differ
        shown &= inside[:, None] if axis == 1 else inside[None, :]
    return shown


def significance(sums: Plane, counts: npt.NDArray[np.int32]) -> Plane:
    """How surely the directions at each place are not accidental, as chi squared of two degrees.

    `sums` is planes x height x width, perhaps for each of some axes, of which the surest counts.
    Smooth trends, such as a sky that grows lighter, do not count. The squared lengths say how large
    an accidental sum is at each place: where all pictures have edges, such as below a horizon, it
    is larger than in their skies. That related pictures agree more often is measured over all
    places.
    """
    number = np.maximum(counts, 1).astype(np.float32)
    results = []
    for planes in sums.reshape(-1, PLANES, *counts.shape):
        lengths = cv2.GaussianBlur(planes[4], (0, 0), 1.0) + LEAST_LENGTH * number
        for pair in (planes[:2], planes[2:4]):
            mean = pair / number
            rest = (mean - np.stack([cv2.GaussianBlur(plane, (0, 0), 12) for plane in mean])) * number
            power = 2 * (rest**2).sum(axis=0) / lengths
            usual = float(np.median(power[counts > 0])) / 1.386 if (counts > 0).any() else 1.0
            results.append(power / max(usual, LEAST_USUAL))
    smooth: Plane = cv2.blur(np.maximum.reduce(results), (3, 3)) * (counts > 0)
    return smooth


def separate(parts: npt.NDArray[np.uint8], members: list[int]) -> Separated | None:
    """The mark of some pictures that carry it; None if it is not translucent or has no ends."""
    chosen = parts[members]
    shown = _shown(chosen)
    energy = common_edges(chosen) * shown
    touched = _touched(energy)
    if touched.sum() < LEAST_AREA or touched.mean() > 0.85:
        return None
    below = np.stack([_continued(part, touched) for part in chosen])
    alpha, colour = _fitted(chosen, below, touched)
    # What strokes enclose is known, once the strokes are.
    for rim in RIMS:
        strokes = cv2.dilate(_islands(alpha).astype(np.uint8), np.ones((rim, rim), np.uint8)) > 0
        if LEAST_AREA <= strokes.sum() < MOSTLY * touched.sum():
            touched &= strokes
            below = np.stack([_continued(part, touched) for part in chosen])
            alpha, colour = _fitted(chosen, below, touched)
    strong = alpha > max(LEAST_ALPHA, 0.5 * float(np.percentile(alpha[touched], 98)))
    if strong.sum() < LEAST_AREA:
        return None
    opacity = float(np.percentile(alpha[strong], 90))
    if not OPACITIES[0] <= opacity <= OPACITIES[1] or _through(chosen, below, strong) < LEAST_THROUGH:
        return None
    alpha = np.where(_islands(alpha), alpha, 0).astype(np.float32)
    border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
    if (border > LEAST_ALPHA).mean() > MOST_AT_BORDER:
        return None
    left = 1 - np.minimum(alpha, 0.98)[:, :, None]
    inverted = np.clip((chosen - (1 - left) * colour) / left, 0, 255).astype(np.float32)
    edges = energy > np.percentile(energy[touched], 60)
    # Beside the mark, the pictures have as much in common as is accidental.
    accidental = _common(chosen, shown & ~touched)
    before, after = (max(_common(some, edges) - accidental, 0.0) for some in (chosen, inverted))
    if after > MOST_LEFT * before:
        return None
    return Separated(alpha, colour, members)


def _common(parts: npt.NDArray[np.uint8] | Plane, places: Selection) -> float:
    """The mean squared length of the common directions at some places."""
    mean = np.mean([coloured_directions(part)[:, :2] for part in parts], axis=0).reshape(-1, *parts.shape[1:3])
    trend = np.stack([cv2.GaussianBlur(plane, (0, 0), 12) for plane in mean])
    return float(((mean - trend) ** 2).sum(axis=0)[places].mean()) if places.any() else 0.0


def _touched(energy: Plane) -> Selection:
    """The pixels that a mark may cover: its edges, what they enclose, and a rim."""
    edges = energy > max(LEAST_EDGE, 0.04 * float(np.percentile(energy, 99.5)))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(edges.astype(np.uint8), connectivity=8)
    large = boxes[:, cv2.CC_STAT_AREA] >= 8
    large[0] = False
    kept = large[labels].astype(np.uint8)
    closed = cv2.morphologyEx(kept, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9)))
    framed = cv2.copyMakeBorder(closed, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    flooded = cv2.copyMakeBorder(framed, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=1)
    cv2.floodFill(framed, flooded, (0, 0), 2)
    enclosed = framed[1:-1, 1:-1] != 2
    touched: Selection = cv2.dilate(enclosed.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return touched


def _continued(part: Pixels, touched: Selection) -> Plane:
    """The smooth continuation of a picture under the mark."""
    return membrane(part.astype(np.float32), np.ones(touched.shape, np.float32), ~touched)


def _fitted(parts: npt.NDArray[np.uint8], below: Plane, touched: Selection) -> tuple[Plane, Plane]:
    """Alpha (height x width) and colour (height x width x 3) by least squares."""
    seen, under = parts[:, touched].astype(np.float32), below[:, touched]
    weight = _weights(parts, touched)[:, :, None]
    middle_seen, middle_under = ((weight * values).sum(0) / weight.sum(0) for values in (seen, under))
    across, up = under - middle_under, seen - middle_seen
    slope = (weight * across * up).sum(axis=(0, 2)) / np.maximum((weight * across**2).sum(axis=(0, 2)), 1e-3)
    alpha = np.clip(1 - slope, 0, 0.99)
    colour = np.zeros((alpha.size, 3), np.float32)
    for _ in range(ROUNDS):
        colour = _colours(seen, under, alpha, weight, touched)
        toward = colour[None] - under
        alpha = (weight * (seen - under) * toward).sum(axis=(0, 2)) / np.maximum((weight * toward**2).sum(axis=(0, 2)), 1e-3)
        alpha = np.clip(alpha, 0, 0.99)
    whole = np.zeros(touched.shape, np.float32)
    whole[touched] = alpha
    colours = np.zeros((*touched.shape, 3), np.float32)
    colours[touched] = colour
    return whole, colours


def _weights(parts: npt.NDArray[np.uint8], touched: Selection) -> Plane:
    """How well each pixel of each picture is continued, pictures x pixels: one over the variance of
    the detail beside the mark, near the pixel.
    """
    ring = (cv2.dilate(touched.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0) & ~touched
    if not ring.any():
        return np.ones((len(parts), int(touched.sum())), np.float32)
    counted = ring.astype(np.float32)
    near = cv2.GaussianBlur(counted, (0, 0), NEARBY) + LEAST_NEARBY * counted.mean()
    weights = []
    for part in parts:
        values = part.astype(np.float32)
        detail = ((values - cv2.GaussianBlur(values, (0, 0), 4)) ** 2).mean(axis=2) * counted
        overall = LEAST_NEARBY * float(detail.mean())
        weights.append(1 / ((cv2.GaussianBlur(detail, (0, 0), NEARBY) + overall) / near + RELIABLE**2)[touched])
    return np.stack(weights).astype(np.float32)


def _colours(seen: Plane, under: Plane, alpha: Plane, weight: Plane, touched: Selection) -> Plane:
    """The colour of each pixel: one for the mark, or two where one does not fit."""
    strong = alpha > max(LEAST_ALPHA, 0.6 * float(np.percentile(alpha, 98)))
    if not strong.any():
        return np.full((alpha.size, 3), 128, np.float32)
    each = (weight * (seen - (1 - alpha)[None, :, None] * under)).sum(0) / weight.sum(0) / np.maximum(alpha, 0.05)[:, None]
    each = np.clip(each, 0, 255)
    one = np.median(each[strong], axis=0)
    _, labels, middles = cv2.kmeans(
        np.ascontiguousarray(each[strong], np.float32), 2, None, (cv2.TERM_CRITERIA_EPS, 30, 0.5), 3, cv2.KMEANS_PP_CENTERS
    )
    sides = [each[strong][labels.ravel() == number] for number in (0, 1)]
    if min(len(side) for side in sides) < LEAST_SECOND * strong.sum():
        return np.broadcast_to(one, each.shape).astype(np.float32)
    middles = np.array([np.median(side, axis=0) for side in sides])
    spread = max(float(np.median(np.linalg.norm(side - middle, axis=1))) for side, middle in zip(sides, middles, strict=True))
    if np.linalg.norm(middles[0] - middles[1]) < max(SAME_COLOUR, TIMES_SPREAD * spread):
        return np.broadcast_to(one, each.shape).astype(np.float32)
    second = np.zeros(touched.shape, np.uint8)
    second[touched] = np.linalg.norm(each[:, None, :] - middles[None], axis=2).argmin(axis=1)
    colours: Plane = middles[_of_nearest(second, touched, strong)[touched]].astype(np.float32)
    return colours


def _of_nearest(values: Pixels, touched: Selection, strong: npt.NDArray[np.bool_]) -> Pixels:
    """For each pixel the value of the nearest strong one; too little shows of faint rims."""
    weak = np.ones(touched.shape, np.uint8)
    weak[touched] = ~strong
    _, labels = cv2.distanceTransformWithLabels(weak, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    of_label = np.zeros(int(labels.max()) + 1, np.uint8)
    of_label[labels[weak == 0]] = values[weak == 0]
    nearest: Pixels = of_label[labels]
    return nearest


def _through(parts: npt.NDArray[np.uint8], below: Plane, strong: Selection) -> float:
    """The correlation over the pictures of what is seen on the mark with its surroundings."""
    seen, under = (values[:, strong].astype(np.float32).mean(axis=1).ravel() for values in (parts, below))
    if seen.std() < 1e-3 or under.std() < 1e-3:
        return 0.0
    return float(np.corrcoef(seen, under)[0, 1])


def _islands(alpha: Plane) -> Selection:
    """The pixels of a mark without faint or tiny islands of noise."""
    smooth = cv2.GaussianBlur(alpha, (0, 0), 0.7)
    level = max(
        LEAST_ALPHA, 0.08 * float(np.percentile(alpha[alpha > LEAST_ALPHA], 95)) if (alpha > LEAST_ALPHA).any() else 1.0
    )
    count, labels, boxes, _ = cv2.connectedComponentsWithStats((smooth > level).astype(np.uint8), connectivity=8)
    highest = np.zeros(count)
    np.maximum.at(highest, labels.ravel(), smooth.ravel())
    kept = (highest > 0.35 * smooth.max()) & (boxes[:, cv2.CC_STAT_AREA] >= 6)
    kept[0] = False
    islands: Selection = kept[labels]
    return islands
