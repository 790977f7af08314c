"""What a generator is shown of a crop: the crop at the generator's size, and what comes back of it."""

from __future__ import annotations

from collections.abc import Iterator

import cv2

from operators.boundaries.crossing import Crossing, of_pictures
from operators.boundaries.sample import Sample
from operators.table import Pixels

SIZES = (128, 256, 512, 1024)
"""Pixels of the longer side that generators are commonly fed."""
MULTIPLE = 8


def resized(pixels: Pixels, width: int, height: int) -> Pixels:
    """The picture at another size: area averages where it shrinks, cubic interpolation where it grows."""
    shrinks = width * height < pixels.shape[0] * pixels.shape[1]
    result: Pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return result


def model_size(width: int, height: int, longest: int) -> tuple[int, int]:
    """A crop's sides with the longer one at `longest` and both at whole multiples of 8."""
    scale = longest / max(width, height)
    across, down = (max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in (width, height))
    return across, down


def model_sizes(sample: Sample) -> Iterator[Crossing]:
    """Every real crop at each size that a generator may want, and back."""
    for pixels, _ in sample.crops:
        height, width = pixels.shape[:2]
        for size in SIZES:
            back = resized(resized(pixels, *model_size(width, height, size)), width, height)
            yield of_pictures(f"crop to {size} px and back", pixels, back)
