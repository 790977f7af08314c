"""Fit crops of any size to a model's few sizes, and back.

This is the only place that resizes crops. A crop keeps its proportions: it is scaled to the
largest size that fits the bucket it covers best, and reflected outwards to the bucket's edges.
The hole is reflected with it, so that the model sees no letter in the margin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from operators.rows.arrays import Pixels

PROPORTIONS = (1.0, 1.5, 2.0, 3.0)
"""Long side over short side of the buckets, each in landscape and portrait.

Lines of text make wide crops.
"""


def buckets(native_size: int, size_multiple: int) -> list[tuple[int, int]]:
    """The sizes (height, width) in pixels at which a model runs.

    Sides are multiples of `size_multiple`, areas about `native_size` squared pixels.
    """

    def side(pixels: float) -> int:
        return max(1, round(pixels / size_multiple)) * size_multiple

    long = [(side(native_size / math.sqrt(ratio)), side(native_size * math.sqrt(ratio))) for ratio in PROPORTIONS]
    return list(dict.fromkeys(size for short, wide in long for size in ((short, wide), (wide, short))))


@dataclass(frozen=True)
class Canvas:
    """How one crop lies on one bucket, all in pixels.

    The bucket is `height` x `width`. The scaled crop starts at (`top`, `left`) and is `rows` x
    `columns`.
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
        """The crop on the best of a model's `buckets`; see `best`."""
        return cls.best(crop_height, crop_width, buckets(native_size, size_multiple))

    @classmethod
    def best(cls, crop_height: int, crop_width: int, sizes: Iterable[tuple[int, int]]) -> Canvas:
        """The crop on the size (height, width) that it covers best, the first of equally good ones.

        The result depends on the crop's size alone.
        """

        def fit(bucket: tuple[int, int]) -> Canvas:
            height, width = bucket
            scale = min(height / crop_height, width / crop_width)
            rows = max(1, min(height, round(crop_height * scale)))
            columns = max(1, min(width, round(crop_width * scale)))
            top, left = (height - rows) // 2, (width - columns) // 2
            return cls(height, width, top, left, rows, columns, crop_height, crop_width)

        def coverage(canvas: Canvas) -> float:
            return canvas.rows * canvas.columns / (canvas.height * canvas.width)

        return max(map(fit, sizes), key=coverage)

    def picture(self, pixels: Pixels) -> Pixels:
        """A crop (uint8 height x width x 3) on the canvas: shrunk by area, enlarged by bicubic."""
        return self._reflected(_resized(pixels, self.rows, self.columns))

    def weights(self, channel: Pixels) -> Pixels:
        """A mask channel (uint8 height x width) on the canvas, max-pooled so no stroke is lost."""
        return self._reflected(largest(channel, self.rows, self.columns))

    def returned(self, canvas: Pixels) -> Pixels:
        """The part of a canvas (height x width x 3) that holds the crop, at the crop's size."""
        part = canvas[self.top : self.top + self.rows, self.left : self.left + self.columns]
        return _resized(np.ascontiguousarray(part), self.crop_height, self.crop_width)

    def _reflected(self, scaled: Pixels) -> Pixels:
        bottom, right = self.height - self.top - self.rows, self.width - self.left - self.columns
        result: Pixels = cv2.copyMakeBorder(scaled, self.top, bottom, self.left, right, cv2.BORDER_REFLECT_101)
        return result


def _resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """The picture at another size, a copy if the size is the same; rounded, clipped to 0..255."""
    if pixels.shape[:2] == (height, width):
        return pixels.copy()
    shrinks = height <= pixels.shape[0] and width <= pixels.shape[1]
    result: Pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return result


def largest(values: Pixels, height: int, width: int) -> Pixels:
    """Max-pool to any size by exact integer arithmetic.

    Each pixel of the result is the largest of all pixels that it overlaps.
    """
    for axis, size in ((0, height), (1, width)):
        length = values.shape[axis]
        first = np.arange(size) * length // size
        last = -(-(np.arange(size) + 1) * length // size)
        padded = np.concatenate([values, np.take(values, [-1], axis=axis)], axis=axis)
        spans = np.maximum.reduceat(padded, np.stack([first, last], 1).ravel(), axis=axis)
        values = np.take(spans, np.arange(size) * 2, axis=axis)
    return values
