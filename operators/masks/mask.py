"""Soft masks and context crops: from polygons to the four channels that every fill and every
paste-back follow.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels
from operators.rows.box import Box

CHANNELS = ("core", "blend", "confidence", "structure")
"""Channel order of a region's mask, each 0..255.

`core`: must be regenerated, the dilated strokes of every region in this crop; `blend`: weight at
paste-back, this region's own strokes, fading in their rim; `confidence`: how sure the detector
is; `structure`: edges to keep through the fill.
"""
CORE, BLEND, CONFIDENCE, STRUCTURE = range(4)


def dilated(mask: Pixels, radius: int) -> Pixels:
    """The mask grown by a disc of `radius` pixels."""
    if radius <= 0:
        return mask
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    result: Pixels = cv2.dilate(mask, disc)
    return result


def feathered(mask: Pixels, radius: int) -> Pixels:
    """The mask dilated by `radius` and then smoothed over the same radius: full weight everywhere
    the mask was full.

    Feathering first would lower the weight on the strokes themselves and leave their ghosts.
    """
    return np.rint(feathered_weights(mask, radius)).astype(np.uint8)


def feathered_weights(mask: Pixels, radius: int) -> npt.NDArray[np.float32]:
    """What `feathered` rounds to bytes, float32 0..255. OpenCV's blur of bytes would be off by
    more than a level.
    """
    if radius <= 0:
        return mask.astype(np.float32)
    grown = dilated(mask, radius).astype(np.float32)
    smooth: npt.NDArray[np.float32] = cv2.GaussianBlur(grown, (2 * radius + 1, 2 * radius + 1), radius / 2)
    return np.maximum(smooth, mask.astype(np.float32))


def ring(inside: npt.NDArray[np.bool_], excluded: npt.NDArray[np.bool_], width: int) -> npt.NDArray[np.bool_]:
    """The pixels within `width` of `inside` that are neither in it nor `excluded`."""
    return (dilated(inside.astype(np.uint8), width) > 0) & ~inside & ~excluded


def moved(data: Pixels, box: Box, crop: Box) -> Pixels:
    """What `data` (height x width, on `box`) shows of the crop: cut where it reaches out, zero
    where it does not reach.
    """
    placed = np.zeros((crop.height, crop.width), np.uint8)
    left, top = max(box.x, crop.x), max(box.y, crop.y)
    right, bottom = min(box.x + box.width, crop.x + crop.width), min(box.y + box.height, crop.y + crop.height)
    if left < right and top < bottom:
        there = np.s_[top - crop.y : bottom - crop.y, left - crop.x : right - crop.x]
        placed[there] = data[top - box.y : bottom - box.y, left - box.x : right - box.x]
    return placed


def empty_mask(box: Box) -> Pixels:
    """A mask of the box's size with all four channels at zero."""
    return np.zeros((box.height, box.width, len(CHANNELS)), np.uint8)


def hole_of(mask: Pixels) -> Pixels:
    """The pixels that a fill must invent (0 or 255): every stroke in the crop, and whatever the
    paste-back will weigh.
    """
    return np.where((mask[:, :, CORE] > 0) | (mask[:, :, BLEND] > 0), 255, 0).astype(np.uint8)


def pasted(pixels: Pixels, fill: Pixels, blend: Pixels) -> Pixels:
    """The crop with its fill laid over it by `blend` (0..255), rounded to the nearest grey level."""
    weight: npt.NDArray[np.float32] = blend.astype(np.float32)[:, :, None] / np.float32(255)
    return np.rint(pixels * (1 - weight) + fill * weight).astype(np.uint8)
