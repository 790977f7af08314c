"""From a crop of any size to one of a model's few sizes, and back: the only place where crops are
resized.

A crop is scaled, keeping its proportions, to the largest size that fits the bucket it covers
best, and reflected outwards to the bucket's edges. Its hole is reflected with it, so that no
letter is shown to the model in the margin.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from operators.rows.arrays import Pixels

PROPORTIONS = (1.0, 1.5, 2.0, 3.0)
"""Long side over short side of the buckets, each lying and standing. Lines of text make wide
crops.
"""


def buckets(native_size: int, size_multiple: int) -> list[tuple[int, int]]:
    """The sizes (height, width) that a model is run at: multiples of `size_multiple`, of about
    `native_size` squared pixels.
    """

    def side(pixels: float) -> int:
        return max(1, round(pixels / size_multiple)) * size_multiple

    long = [(side(native_size / math.sqrt(ratio)), side(native_size * math.sqrt(ratio))) for ratio in PROPORTIONS]
    return list(dict.fromkeys(size for short, wide in long for size in ((short, wide), (wide, short))))


@dataclass(frozen=True)
class Canvas:
    """How one crop lies on one bucket, all in pixels: the scaled crop starts at (`top`, `left`)
    and is `rows` x `columns`.
    """

    height: int
    width: int
    top: int
    left: int
    rows: int
    columns: int
    crop_height: int
    crop_width: int

    @classmethod
    def of(cls, crop_height: int, crop_width: int, native_size: int, size_multiple: int) -> Canvas:
        """The crop on the bucket that it covers best; of equally good ones the first. It depends
        on the crop's size alone.
        """

        def laid(bucket: tuple[int, int]) -> Canvas:
            height, width = bucket
            scale = min(height / crop_height, width / crop_width)
            rows = max(1, min(height, round(crop_height * scale)))
            columns = max(1, min(width, round(crop_width * scale)))
            top, left = (height - rows) // 2, (width - columns) // 2
            return cls(height, width, top, left, rows, columns, crop_height, crop_width)

        return max(map(laid, buckets(native_size, size_multiple)), key=lambda it: it.rows * it.columns / (it.height * it.width))

    def picture(self, pixels: Pixels) -> Pixels:
        """A crop (height x width x 3) on the canvas: area-averaged where it shrinks, bicubic
        where it grows.
        """
        return self._reflected(_resized(pixels, self.rows, self.columns))

    def weights(self, channel: Pixels) -> Pixels:
        """A mask channel (height x width) on the canvas, each pixel the largest that it stands
        for: no stroke is lost.
        """
        return self._reflected(largest(channel, self.rows, self.columns))

    def returned(self, canvas: Pixels) -> Pixels:
        """What the canvas (height x width x 3) shows of the crop, at the crop's own size."""
        shown = canvas[self.top : self.top + self.rows, self.left : self.left + self.columns]
        return _resized(np.ascontiguousarray(shown), self.crop_height, self.crop_width)

    def _reflected(self, scaled: Pixels) -> Pixels:
        bottom, right = self.height - self.top - self.rows, self.width - self.left - self.columns
        result: Pixels = cv2.copyMakeBorder(scaled, self.top, bottom, self.left, right, cv2.BORDER_REFLECT_101)
        return result


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """Lossless where the size stays; OpenCV rounds and clips to 0..255."""
    if pixels.shape[:2] == (height, width):
        return pixels.copy()
    shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
    result: Pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return result


def largest(values: Pixels, height: int, width: int) -> Pixels:
    """Max-pooling to any size: each pixel of the result is the largest of all that it overlaps,
    by exact integer arithmetic.
    """
    for axis, size in ((0, height), (1, width)):
        length = values.shape[axis]
        first = np.arange(size) * length // size
        last = -(-(np.arange(size) + 1) * length // size)
        padded = np.concatenate([values, np.take(values, [-1], axis=axis)], axis=axis)
        spans = np.maximum.reduceat(padded, np.stack([first, last], 1).ravel(), axis=axis)
        values = np.take(spans, np.arange(size) * 2, axis=axis)
    return values
