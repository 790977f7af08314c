"""A region's mask: its four channels, and how masks grow, fade, move and weigh a fill."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.dilation import dilate_by_distance
from operators.rows.arrays import Pixels
from operators.rows.box import Box

Value = TypeVar("Value", bound=np.generic)

CHANNELS = ("core", "blend", "confidence", "structure")
"""Channel order of a region's mask, each 0..255.

- `core`: pixels that must be regenerated, the dilated strokes of every region in this crop.
- `blend`: weights at paste-back, this region's own strokes, fading in their rim.
- `confidence`: how sure it is that a pixel belongs to the text.
- `structure`: edges that the fill should keep.
"""
CORE, BLEND, CONFIDENCE, STRUCTURE = range(4)
LARGE = 32
"""Radius in pixels from which dilation by distance is faster."""


def dilated(mask: Pixels, radius: int) -> Pixels:
    """The mask grown by a disc of `radius` pixels."""
    if radius <= 0:
        return mask
    if radius >= LARGE and np.isin(mask, (0, mask.max())).all():
        return dilate_by_distance(mask, radius)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    result: Pixels = cv2.dilate(mask, disc)
    return result


def feathered(mask: Pixels, radius: int) -> Pixels:
    """The mask dilated by `radius`, then smoothed over the same radius.

    The result keeps full weight wherever the mask has it. Smoothing without dilation would lower
    the weight on the strokes and leave ghosts of them.
    """
    return np.rint(feathered_weights(mask, radius)).astype(np.uint8)


def feathered_weights(mask: Pixels, radius: int) -> npt.NDArray[np.float32]:
    """The weights of `feathered` before rounding, float32 0..255.

    OpenCV's blur of bytes would be off by more than one level.
    """
    if radius <= 0:
        return mask.astype(np.float32)
    grown = dilated(mask, radius).astype(np.float32)
    smooth: npt.NDArray[np.float32] = cv2.GaussianBlur(grown, (2 * radius + 1, 2 * radius + 1), radius / 2)
    return np.maximum(smooth, mask.astype(np.float32))


def ring(inside: npt.NDArray[np.bool_], excluded: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    """The pixels within `width` of `inside` that are neither in it nor `excluded`."""
    return (dilated(inside.astype(np.uint8), width) > 0) & ~inside & ~excluded


def moved(data: npt.NDArray[Value], box: Box, crop: Box) -> npt.NDArray[Value]:
    """A map on `box` (height x width) moved to the crop's pixel grid: cut to it, zero elsewhere."""
    result = np.zeros((crop.height, crop.width), data.dtype)
    left, top = max(box.x, crop.x), max(box.y, crop.y)
    right, bottom = min(box.x + box.width, crop.x + crop.width), min(box.y + box.height, crop.y + crop.height)
    if left < right and top < bottom:
        overlap = np.s_[top - crop.y : bottom - crop.y, left - crop.x : right - crop.x]
        result[overlap] = data[top - box.y : bottom - box.y, left - box.x : right - box.x]
    return result


def scaled(data: Pixels, width: int, height: int) -> Pixels:
    """A map scaled to `height` x `width` by linear interpolation, to the nearest step of a byte.

    OpenCV scales bytes with weights of few bits, which is up to 0.7 steps off; so it gets floats.
    """
    result = cv2.resize(data.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    nearest: Pixels = np.rint(result).astype(np.uint8)
    return nearest


def empty_mask(box: Box) -> Pixels:
    """A mask of the box's size with all four channels at zero."""
    return np.zeros((box.height, box.width, len(CHANNELS)), np.uint8)


def hole_of(mask: Pixels) -> Pixels:
    """The pixels that a fill must invent (0 or 255): every stroke, and every weighted pixel."""
    return np.where((mask[:, :, CORE] > 0) | (mask[:, :, BLEND] > 0), 255, 0).astype(np.uint8)


def pasted(pixels: Pixels, fill: Pixels, blend: Pixels) -> Pixels:
    """The crop with its fill blended in by `blend` (0..255), rounded to the nearest grey level."""
    weight: npt.NDArray[np.float32] = blend.astype(np.float32)[:, :, None] / np.float32(255)
    return np.rint(pixels * (1 - weight) + fill * weight).astype(np.uint8)
