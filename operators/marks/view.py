"""How a picture is looked at for a mark: by the directions of the edges that the mark would draw.

At the rim of a mark the picture jumps by alpha (C - J). Of these jumps only the direction counts
fully and their height little, so that the strong edges of the picture itself do not drown those of
a faint mark.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from operators.marks.mark import LEAST_ALPHA, Mark
from operators.marks.rendering import Pose, rendered
from operators.rows.arrays import LUMA_WEIGHTS, Pixels
from operators.rows.box import Box
from operators.rows.overlay import Overlay, Plane

TAU = 6.0
"""Grey levels per pixel from which an edge counts fully."""
SECOND_AXIS = 0.35
"""Size of a mark's second colour axis, as a share of the first, from which it is used."""
SIDE = 12.0
"""Grey levels between ground and mark from which an edge has a side for sure."""
MOSTLY_BEYOND = 0.85
"""Share of what differs from a mark that is on one side of its colour, from which it has a side."""
COLOURED = 0.3
"""Difference of an axis from that of lightness, from which it shows colours."""


@dataclass(frozen=True, eq=False)
class Axes:
    """The colour axes, one or two, on which a mark is seen before a ground."""

    weights: Plane
    """Axes x 3."""
    ground: Plane
    """The middle colour of the picture, 3 values."""
    between: float | None
    """The mark's value on its one axis if it is lighter than one part of the picture and darker
    than another.
    """

    @staticmethod
    def of(rgb: Pixels, mark: Mark) -> Axes:
        """The axes on which a mark differs most from a picture."""
        some = rgb[:: max(1, rgb.shape[0] // 64), :: max(1, rgb.shape[1] // 64)].reshape(-1, 3).astype(np.float32)
        ground = np.median(some, axis=0).astype(np.float32)
        used = mark.alpha > LEAST_ALPHA
        step = max(1, int(used.sum()) // 4096)
        colours, alpha = mark.colour[used][::step], mark.alpha[used][::step]
        _, sizes, rows = np.linalg.svd((colours - ground) * alpha[:, None], full_matrices=False)
        weights = (rows / np.abs(rows).sum(axis=1, keepdims=True)).astype(np.float32)
        if sizes[1] > SECOND_AXIS * sizes[0]:
            return Axes(weights[:2], ground, None)
        values, grounds = colours @ weights[0], np.sort(some @ weights[0])
        darker, not_lighter = (np.searchsorted(grounds, values + side) for side in (-SIDE, SIDE))
        lighter = len(some) - not_lighter
        between = np.maximum(darker, lighter) < MOSTLY_BEYOND * (darker + lighter)
        if (alpha * between).sum() > alpha.sum() / 2:
            luma = np.array([LUMA_WEIGHTS], np.float32)
            return Axes(luma, ground, float((alpha @ colours) @ luma[0] / alpha.sum()))
        return Axes(weights[:1], ground, None)

    @property
    def coloured(self) -> bool:
        """Whether the axes show other differences than those of lightness."""
        first, total = self.weights[0], float(self.weights[0].sum())
        apart = np.abs(first - total * np.array(LUMA_WEIGHTS)).max()
        return len(self.weights) > 1 or bool(apart > COLOURED * abs(total))

    def planes(self, rgb: Pixels | Plane) -> Plane:
        """The values of a picture along the axes, float32 height x width x axes."""
        return deep(cv2.transform(rgb.astype(np.float32), self.weights))

    def drawn(self, overlay: Overlay) -> Plane:
        """What a mark adds to the ground, along the axes; its alpha if it is between grounds."""
        if self.between is not None:
            alpha: Plane = overlay.alpha[:, :, None] * np.float32(255)
            return alpha
        return self.planes(overlay.alpha[:, :, None] * (overlay.colour - self.ground))

    def seen(self, planes: Plane) -> Plane:
        """The directions of a picture's edges, as `drawn` has those of the mark.

        The rim of a mark between two grounds points the other way where the ground is lighter.
        What is seen there is lighter than the mark as well, on both sides of the rim.
        """
        edges = directions(planes, TAU)
        if self.between is None:
            return edges
        side = np.clip((self.between - deep(cv2.blur(planes, (5, 5)))) / SIDE, -1, 1)
        result: Plane = (edges * side).astype(np.float32)
        return result


def directions(planes: Plane, tau: float) -> Plane:
    """The directions of edges, height x width x 2 for each axis, shorter for faint ones."""
    across = deep(cv2.Sobel(planes, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 4))
    down = deep(cv2.Sobel(planes, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 4))
    length = np.sqrt((across**2 + down**2).sum(axis=2, keepdims=True))
    result: Plane = np.concatenate([across, down], axis=2) / (length + tau)
    return result


def lightness(rgb: Pixels | Plane) -> Plane:
    """The lightness of colours, float32 height x width x 1."""
    return deep(cv2.transform(rgb.astype(np.float32), np.array([LUMA_WEIGHTS], np.float32)))


def deep(planes: Plane) -> Plane:
    """Planes as height x width x axes; OpenCV drops the last axis if it is the only one."""
    return planes[:, :, None] if planes.ndim == 2 else planes


@dataclass(frozen=True, eq=False)
class View:
    """A picture, or a part of it, as it is searched for a mark."""

    mark: Mark
    axes: Axes
    planes: Plane
    """The part along the axes."""
    luma: Plane
    """Its lightness, height x width x 1. Lossy files keep it better than colours."""
    width: int
    """The width of the whole picture."""
    copies: dict[float, Plane] = field(default_factory=dict)
    """Reduced copies of the part along the axes, by their factor."""

    @staticmethod
    def of(rgb: Pixels, mark: Mark, width: int | None = None) -> View:
        """The picture along the axes on which the mark differs most from it."""
        axes = Axes.of(rgb, mark)
        return View(mark, axes, axes.planes(rgb), lightness(rgb), width or rgb.shape[1])

    def reduced(self, factor: float) -> Plane:
        """The part reduced by a factor, which is kept: many places are followed through it."""
        if factor not in self.copies:
            # Halving a copy is much faster than any other reduction.
            halves = factor <= 0.5 and min(self.planes.shape[:2]) * factor >= 8
            self.copies[factor] = resized(self.reduced(2 * factor), 0.5) if halves else resized(self.planes, factor)
        return self.copies[factor]

    @property
    def frame(self) -> Box:
        """The whole part."""
        return Box(0, 0, self.planes.shape[1], self.planes.shape[0])


def resized(plane: Plane, factor: float) -> Plane:
    """The plane reduced by a factor; as it is for a factor of 1 or more."""
    if factor >= 1:
        return plane
    size = (max(1, round(plane.shape[1] * factor)), max(1, round(plane.shape[0] * factor)))
    return deep(cv2.resize(plane, size, interpolation=cv2.INTER_AREA))


def window(plane: Plane, box: Box, reach: int) -> Plane:
    """The plane on `box` grown by `reach`, with its border's values outside."""
    height, width = plane.shape[:2]
    rows = np.clip(np.arange(box.y - reach, box.y + box.height + reach), 0, height - 1)
    columns = np.clip(np.arange(box.x - reach, box.x + box.width + reach), 0, width - 1)
    return plane[rows[:, None], columns]


def template(view: View, size: float, turn: float, blurred: bool) -> tuple[Plane, Box]:
    """The edges that a mark of this size draws, and its box around its middle."""
    mark, axes = view.mark, view.axes
    box = Pose(0.0, 0.0, size, turn).box(mark.alpha.shape[1], mark.alpha.shape[0])
    drawn = axes.drawn(rendered(mark, Pose(0.0, 0.0, size, turn), box))
    if blurred:
        drawn = deep(cv2.GaussianBlur(drawn, (3, 3), 0))
    return directions(drawn, max(0.25 * float(np.abs(drawn).max()), 1e-3)), box


def correlation(seen: Plane, template: Plane) -> Plane:
    """The normalised correlation of a template with every place of a larger field, -1..1."""
    result = cv2.matchTemplate(seen, template, cv2.TM_CCORR)
    energy = cv2.boxFilter((seen**2).sum(axis=2), cv2.CV_32F, template.shape[1::-1], anchor=(0, 0), normalize=False)
    energy = energy[: result.shape[0], : result.shape[1]]
    least = 0.02 * template.shape[0] * template.shape[1]
    scores: Plane = result / np.sqrt(np.maximum(energy, least) * float((template**2).sum()) + 1e-6)
    return scores
