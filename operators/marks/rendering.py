"""A mark as it lies in a picture: moved, scaled and turned onto the picture's pixel grid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from operators.marks.mark import LEAST_ALPHA, Mark
from operators.rows.box import Box
from operators.rows.overlay import Overlay, Plane

KEPT = 10_000
"""Pixels of a reduced mark up to which it is kept for other poses."""
EXACT = 1e-6
"""Difference from whole pixels below which a mark is copied instead of resampled."""


@dataclass(frozen=True)
class Pose:
    """Where a mark lies: its middle in upright source pixels, its size and its turn."""

    x: float
    y: float
    scale: float = 1.0
    turn: float = 0.0
    """Degrees, clockwise."""

    def scaled(self, factor: float) -> Pose:
        """The pose in a picture that is resized by `factor`."""
        x, y = (self.x + 0.5) * factor - 0.5, (self.y + 0.5) * factor - 0.5
        return replace(self, x=x, y=y, scale=self.scale * factor)

    def moved(self, across: float, down: float) -> Pose:
        """The pose moved by some pixels."""
        return replace(self, x=self.x + across, y=self.y + down)

    def matrix(self, width: int, height: int) -> Plane:
        """The affine map from a mark of this size to the picture."""
        cosine = self.scale * math.cos(math.radians(self.turn))
        sine = self.scale * math.sin(math.radians(self.turn))
        middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
        right = self.x - cosine * middle_x + sine * middle_y
        down = self.y - sine * middle_x - cosine * middle_y
        return np.array([[cosine, -sine, right], [sine, cosine, down]], np.float32)

    def corners(self, width: int, height: int) -> list[list[float]]:
        """The corners of a mark of this size in the picture, clockwise from the top left."""
        points = np.array([[0, 0, 1], [width - 1, 0, 1], [width - 1, height - 1, 1], [0, height - 1, 1]], np.float32)
        return [[float(x), float(y)] for x, y in points @ self.matrix(width, height).T]

    def box(self, width: int, height: int, margin: int = 1) -> Box:
        """The pixels that a mark of this size may touch; it may reach beyond the picture."""
        corners = np.array(self.corners(width, height))
        left, top = np.floor(corners.min(axis=0)).astype(int) - margin
        right, bottom = np.ceil(corners.max(axis=0)).astype(int) + margin
        return Box(int(left), int(top), int(right - left + 1), int(bottom - top + 1))


def _reduced(mark: Mark, size: tuple[int, int]) -> Plane:
    """The mark's alpha and weighed colours at a smaller size (width, height)."""
    small: Plane = cv2.resize(mark.premultiplied, size, interpolation=cv2.INTER_AREA)
    return small


@lru_cache(maxsize=256)
def _kept_small(mark: Mark, size: tuple[int, int]) -> Plane:
    """The same, kept: many poses have a size in common."""
    return _reduced(mark, size)


def rendered(mark: Mark, pose: Pose, box: Box, strength: float = 1.0) -> Overlay:
    """The mark at its pose on `box`, with `strength` times its alpha (at most 1).

    A mark of its own size on whole pixels is copied. Others are reduced by area and then moved
    with linear interpolation; colours are weighed by alpha.
    """
    height, width = mark.alpha.shape
    pose = pose.moved(-box.x, -box.y)
    left, top = pose.x - (width - 1) / 2, pose.y - (height - 1) / 2
    if pose.scale == 1 and pose.turn == 0 and max(abs(left - round(left)), abs(top - round(top))) < EXACT:
        overlay = mark.overlay.moved(Box(round(left), round(top), width, height), Box(0, 0, box.width, box.height))
        return replace(overlay, alpha=np.minimum(overlay.alpha * strength, 1).astype(np.float32))
    if pose.scale < 1:
        small = (max(2, round(width * pose.scale)), max(2, round(height * pose.scale)))
        source = _kept_small(mark, small) if small[0] * small[1] <= KEPT else _reduced(mark, small)
        stretch = np.diag([width / small[0], height / small[1], 1])
        stretch[:2, 2] = (np.diag(stretch)[:2] - 1) / 2
        matrix = pose.matrix(width, height) @ stretch
    else:
        source, matrix = mark.premultiplied, pose.matrix(width, height)
    size = (box.width, box.height)
    moved = cv2.warpAffine(source, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    alpha = np.clip(moved[:, :, 0], 0, 1)
    known = alpha > LEAST_ALPHA / 4
    share = np.where(known, 1 / np.maximum(alpha, LEAST_ALPHA / 4), 0).astype(np.float32)
    colour = np.minimum(moved[:, :, 1:] * share[:, :, None], np.float32(255))
    alpha = np.where(known, np.minimum(alpha * strength, 1), 0)
    return Overlay(alpha.astype(np.float32), colour)
