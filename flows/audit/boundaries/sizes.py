"""What a generator is shown of a crop: the crop on the generator's canvas, and what comes back of
it.
"""

from __future__ import annotations

from collections.abc import Iterator

from flows.audit.boundaries.crossing import Crossing, of_pictures
from flows.audit.boundaries.sample import Sample
from operators.generators.canvas import Canvas

SIZES = (128, 256, 512, 1024)
"""Native sizes in pixels of common generators; a crop lies on a canvas of about that size
squared, its shape kept.
"""
MULTIPLE = 8


def model_sizes(sample: Sample) -> Iterator[Crossing]:
    """Every real crop on the canvas of each size, and back, as the generators do it."""
    for pixels, _ in sample.crops:
        for size in SIZES:
            canvas = Canvas.of(pixels.shape[0], pixels.shape[1], size, MULTIPLE)
            yield of_pictures(f"crop to {size} px and back", pixels, canvas.returned(canvas.picture(pixels)))
