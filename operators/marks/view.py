"""How a picture is looked at for a mark: by the directions of the edges that the mark would draw.

At the rim of a mark the picture jumps by alpha (C - J). Of these jumps only the direction counts
fully and their height little, so that the strong edges of the picture itself do not drown those of
a faint mark.
"""

from __future__ import annotations

from dataclasses import dataclass

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
MOSTLY_BEYOND = 0.85
"""Share of the picture that lies on one side of the mark's colour, from which it has a side."""


@dataclass(frozen=True, eq=False)
class Axes:
    """The colour axes, one or two, on which a mark is seen before a ground."""

    weights: Plane
    """Axes x 3."""
    ground: Plane
    """The middle colour of the picture, 3 values."""
    sided: bool
    """Whether the mark's edges have a side: it is not lighter than one part of the picture and
    darker than another.
    """

    @staticmethod
    def of(rgb: Pixels, mark: Mark) -> Axes:
        """The axes on which a mark differs most from a picture."""
        some = rgb[:: max(1, rgb.shape[0] // 64), :: max(1, rgb.shape[1] // 64)].reshape(-1, 3).astype(np.float32)
        ground = np.median(some, axis=0).astype(np.float32)
        difference = (mark.colour - ground)[mark.alpha > LEAST_ALPHA] * mark.alpha[mark.alpha > LEAST_ALPHA][:, None]
        _, sizes, rows = np.linalg.svd(difference[:: max(1, len(difference) // 4096)], full_matrices=False)
        weights = (rows / np.abs(rows).sum(axis=1, keepdims=True)).astype(np.float32)
        if sizes[1] > SECOND_AXIS * sizes[0]:
            return Axes(weights[:2], ground, True)
        colour = float((difference @ weights[0]).sum() / mark.alpha.sum() + ground @ weights[0])
        below = float((some @ weights[0] < colour).mean())
        if MOSTLY_BEYOND > below > 1 - MOSTLY_BEYOND:
            return Axes(np.array([LUMA_WEIGHTS], np.float32), ground, False)
        return Axes(weights[:1], ground, True)

    def planes(self, rgb: Pixels | Plane) -> Plane:
        """The values of a picture along the axes, float32 height x width x axes."""
        return deep(cv2.transform(rgb.astype(np.float32), self.weights))

    def drawn(self, overlay: Overlay) -> Plane:
        """What a mark adds to the ground, along the axes."""
        if not self.sided:
            alpha: Plane = overlay.alpha[:, :, None] * np.float32(255)
            return alpha
        return self.planes(overlay.alpha[:, :, None] * (overlay.colour - self.ground))

    def directions(self, planes: Plane, tau: float = TAU) -> Plane:
        """The directions of edges, height x width x 2 for each axis, shorter for faint ones.

        Without a side, opposite directions are the same.
        """
        across = deep(cv2.Sobel(planes, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 4))
        down = deep(cv2.Sobel(planes, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 4))
        length = np.sqrt((across**2 + down**2).sum(axis=2, keepdims=True))
        if not self.sided:
            across, down = (across**2 - down**2) / (length + 1e-3), 2 * across * down / (length + 1e-3)
        directions: Plane = np.concatenate([across, down], axis=2) / (length + tau)
        return directions


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
    width: int
    """The width of the whole picture."""

    @staticmethod
    def of(rgb: Pixels, mark: Mark, width: int | None = None) -> View:
        """The picture along the axes on which the mark differs most from it."""
        axes = Axes.of(rgb, mark)
        return View(mark, axes, axes.planes(rgb), width or rgb.shape[1])

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


def template(view: View, size: float, turn: float, blurred: bool) -> tuple[Plane, Box]:
    """The edges that a mark of this size draws, and its box around its middle."""
    mark, axes = view.mark, view.axes
    box = Pose(0.0, 0.0, size, turn).box(mark.alpha.shape[1], mark.alpha.shape[0])
    drawn = axes.drawn(rendered(mark, Pose(0.0, 0.0, size, turn), box))
    if blurred:
        drawn = deep(cv2.GaussianBlur(drawn, (3, 3), 0))
    return axes.directions(drawn, tau=max(0.25 * float(np.abs(drawn).max()), 1e-3)), box


def correlation(seen: Plane, template: Plane) -> Plane:
    """The normalised correlation of a template with every place of a larger field, -1..1."""
    result = cv2.matchTemplate(seen, template, cv2.TM_CCORR)
    energy = cv2.boxFilter((seen**2).sum(axis=2), cv2.CV_32F, template.shape[1::-1], anchor=(0, 0), normalize=False)
    energy = energy[: result.shape[0], : result.shape[1]]
    least = 0.02 * template.shape[0] * template.shape[1]
    scores: Plane = result / np.sqrt(np.maximum(energy, least) * float((template**2).sum()) + 1e-6)
    return scores
