"""A network over parts of a picture: each part sees its neighbours, and parts are mixed where they meet."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from operators.mask import Box
from operators.upscalers.upscaler import Colour, Upscaler

Weight = npt.NDArray[np.float32]


def grid(width: int, height: int, side: int) -> list[Box]:
    """The boxes of at most `side` x `side` pixels that cover a picture once."""
    return [
        Box(x, y, min(side, width - x), min(side, height - y)) for y in range(0, height, side) for x in range(0, width, side)
    ]


def seen(upscaler: Upscaler, picture: Colour, box: Box) -> Colour:
    """A box with `overlap` pixels round it, continued by reflection beyond the picture, its sides brought to the multiple.

    Networks that pad with zeros taint two or three pixels along an edge; nothing of these is kept.
    """
    height, width = picture.shape[:2]
    margin = upscaler.overlap
    right = margin + (-(box.width + 2 * margin)) % upscaler.multiple
    down = margin + (-(box.height + 2 * margin)) % upscaler.multiple
    left, top = min(margin, box.x), min(margin, box.y)
    last_x, last_y = min(width, box.x + box.width + right), min(height, box.y + box.height + down)
    part = picture[box.y - top : last_y, box.x - left : last_x]
    missing_down, missing_right = box.y + box.height + down - last_y, box.x + box.width + right - last_x
    if left == top == margin and missing_down == missing_right == 0:
        return part
    padded: Colour = cv2.copyMakeBorder(
        np.ascontiguousarray(part), margin - top, missing_down, margin - left, missing_right, cv2.BORDER_REFLECT
    )
    return padded


def painted(upscaler: Upscaler, picture: Colour, boxes: Sequence[Box], device: str = "cpu") -> tuple[Colour, Weight]:
    """What the upscaler makes of the boxes of a picture, and how much of each pixel is its (0..1, height x width x 1).

    The weight is 1 inside the boxes and falls to 0 within `feather` source pixels outside them. Where boxes meet they are
    mixed by their weights, so a picture covered by boxes has no borders between them. Both have the result's size.
    """
    upscale, scale, feather = upscaler.opened(device), upscaler.scale, upscaler.feather
    height, width = picture.shape[:2]
    mixed = np.zeros((height * scale, width * scale, 3), np.float32)
    total = np.zeros((height * scale, width * scale, 1), np.float32)
    for box in boxes:
        result, reach = upscale(seen(upscaler, picture, box)), box.grown(feather, width, height)
        left, top = (upscaler.overlap - box.x + reach.x) * scale, (upscaler.overlap - box.y + reach.y) * scale
        result = result[top : top + reach.height * scale, left : left + reach.width * scale]
        across = _ramp(box.x - reach.x, box.width, reach.width, feather, scale)
        down = _ramp(box.y - reach.y, box.height, reach.height, feather, scale)
        weight = (down[:, None] * across[None])[:, :, None]
        area = np.s_[reach.y * scale : (reach.y + reach.height) * scale, reach.x * scale : (reach.x + reach.width) * scale]
        mixed[area] += weight * result
        total[area] += weight
    return mixed / np.maximum(total, np.float32(1e-6)), np.minimum(total, 1)


def _ramp(before: int, inside: int, whole: int, feather: int, scale: int) -> Weight:
    """Weights along one axis of a box and its feather: 1 inside, falling in a straight line to 0 outside."""
    at = (np.arange(whole * scale, dtype=np.float32) + 0.5) / scale
    outside = np.maximum(before - at, at - (before + inside))
    ramp: Weight = np.clip(1 - outside / max(feather, 1), 0, 1).astype(np.float32)
    return np.where(outside > 0, ramp, 1).astype(np.float32)


def whole(upscaler: Upscaler, picture: Colour, side: int = 256, device: str = "cpu") -> Colour:
    """A whole picture by the upscaler, in boxes of `side`: memory for one box at a time beside the result."""
    boxes = grid(picture.shape[1], picture.shape[0], side)
    return painted(upscaler, picture, boxes, device)[0]
