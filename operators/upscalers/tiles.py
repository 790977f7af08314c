"""Run an upscaler over parts of a picture.

Each part sees its neighbours, and parts are mixed where they meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.box import Box
from operators.upscalers.upscaler import Colour, Upscaler

BEYOND = 4
"""Pixels by which a picture is continued beyond its edge.

Networks that pad with zeros spoil two or three pixels there.
"""
Weight = npt.NDArray[np.float32]


def grid(width: int, height: int, side: int) -> list[Box]:
    """Boxes of at most `side` x `side` pixels that cover every pixel of a picture once."""
    return [
        Box(x, y, min(side, width - x), min(side, height - y)) for y in range(0, height, side) for x in range(0, width, side)
    ]


class Margins(NamedTuple):
    """Source pixels around a box."""

    left: int
    top: int
    right: int
    down: int


def margins(upscaler: Upscaler, box: Box, width: int, height: int) -> Margins:
    """The pixels that the upscaler sees around a box.

    The picture is `width` x `height`. The margin is `overlap` inside the picture and at most
    BEYOND pixels beyond its edge; right and below, it is extended to the upscaler's `multiple`.
    """
    left, top = min(upscaler.overlap, box.x + BEYOND), min(upscaler.overlap, box.y + BEYOND)
    right = min(upscaler.overlap, width - box.x - box.width + BEYOND)
    down = min(upscaler.overlap, height - box.y - box.height + BEYOND)
    right += -(left + box.width + right) % upscaler.multiple
    down += -(top + box.height + down) % upscaler.multiple
    return Margins(left, top, right, down)


def seen(picture: Colour, box: Box, around: Margins) -> Colour:
    """A box of a picture with its margins; beyond its edge the picture is reflected."""
    (height, width), (left, top, right, down) = picture.shape[:2], around
    x, y, last_x, last_y = box.x - left, box.y - top, box.x + box.width + right, box.y + box.height + down
    part = np.ascontiguousarray(picture[max(0, y) : last_y, max(0, x) : last_x])
    beyond = max(0, -y), max(0, last_y - height), max(0, -x), max(0, last_x - width)
    if not any(beyond):
        return part
    padded: Colour = cv2.copyMakeBorder(part, *beyond, cv2.BORDER_REFLECT)
    return padded


def upscale_boxes(upscaler: Upscaler, picture: Colour, boxes: Sequence[Box]) -> tuple[Colour, Weight]:
    """Upscale the boxes of a picture; return the result and its weight (0..1) at each pixel.

    The weight, height x width x 1, is 1 inside the boxes and falls to 0 within `feather` source
    pixels outside them. Where boxes meet they are mixed by their weights, so a picture covered by
    boxes shows no borders between them. Both arrays have the size of the enlarged picture.
    """
    upscale, scale, feather = upscaler.opened(), upscaler.scale, upscaler.feather
    height, width = picture.shape[:2]
    mixed = np.zeros((height * scale, width * scale, 3), np.float32)
    total = np.zeros((height * scale, width * scale, 1), np.float32)
    for box in boxes:
        around, reach = margins(upscaler, box, width, height), box.grown(feather, width, height)
        result = upscale(seen(picture, box, around))
        left, top = (around.left - box.x + reach.x) * scale, (around.top - box.y + reach.y) * scale
        result = result[top : top + reach.height * scale, left : left + reach.width * scale]
        across = _ramp(box.x - reach.x, box.width, reach.width, feather, scale)
        down = _ramp(box.y - reach.y, box.height, reach.height, feather, scale)
        weight = (down[:, None] * across[None])[:, :, None]
        area = np.s_[reach.y * scale : (reach.y + reach.height) * scale, reach.x * scale : (reach.x + reach.width) * scale]
        mixed[area] += weight * result
        total[area] += weight
    mixed /= np.maximum(total, np.float32(1e-6))
    return mixed, np.minimum(total, np.float32(1))


def _ramp(before: int, inside: int, whole: int, feather: int, scale: int) -> Weight:
    """Weights along one axis of a box and its feather: 1 inside, outside falling linearly to 0."""
    position = (np.arange(whole * scale, dtype=np.float32) + 0.5) / scale
    outside = np.maximum(before - position, position - (before + inside))
    ramp: Weight = np.clip(1 - outside / max(feather, 1), 0, 1).astype(np.float32)
    return np.where(outside > 0, ramp, 1).astype(np.float32)


def pixels_seen(upscaler: Upscaler, boxes: Sequence[Box], width: int, height: int) -> int:
    """Source pixels that `upscale_boxes` passes to the upscaler; pixels seen twice count twice."""
    total = 0
    for box in boxes:
        left, top, right, down = margins(upscaler, box, width, height)
        total += (left + box.width + right) * (top + box.height + down)
    return total


def upscale_whole(upscaler: Upscaler, picture: Colour, side: int = 256) -> Colour:
    """A whole picture upscaled in boxes of `side`; memory holds one box beside the result."""
    boxes = grid(picture.shape[1], picture.shape[0], side)
    return upscale_boxes(upscaler, picture, boxes)[0]
