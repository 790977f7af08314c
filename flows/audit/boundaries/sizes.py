"""Measure the loss of scaling a crop to a generator's canvas and back."""

from __future__ import annotations

from collections.abc import Iterator

from flows.audit.boundaries.crossing import Crossing, compare_pictures
from flows.audit.boundaries.sample import Sample
from operators.generators.canvas import Canvas

SIZES = (128, 256, 512, 1024)
"""Native sizes of common generators in pixels.

The canvas of a crop has about that size squared in pixels, in the shape of the crop.
"""
MULTIPLE = 8
"""The sides of a canvas are multiples of this."""


def model_sizes(sample: Sample) -> Iterator[Crossing]:
    """Scale every real crop to the canvas of each size and back, as the generators do."""
    for pixels, _ in sample.crops:
        for size in SIZES:
            canvas = Canvas.of(pixels.shape[0], pixels.shape[1], size, MULTIPLE)
            yield compare_pictures(f"crop to {size} px and back", pixels, canvas.returned(canvas.picture(pixels)))
