"""Resample in float32 at any factor, up or down: Lanczos with three lobes, Pillow's code."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

Values = npt.NDArray[np.float32]


def resampled(
    values: Values,
    size: tuple[int, int],
    box: tuple[float, float, float, float] | None = None,
    method: Image.Resampling = Image.Resampling.LANCZOS,
) -> Values:
    """`values` (float32 height x width x channels) at `size` (width, height), not clipped.

    `box` is the part that the result spans: left, top, right, bottom, in pixels of `values` and
    fractions of them. Pixels around the box contribute, so tiles that were cut with enough of
    their neighbours join without a seam.
    """
    height, width = values.shape[:2]
    if box is None and size == (width, height):
        return values
    if box is not None:
        box = max(box[0], 0), max(box[1], 0), min(box[2], width), min(box[3], height)
    planes = [
        np.asarray(Image.fromarray(np.ascontiguousarray(values[:, :, channel])).resize(size, method, box=box))
        for channel in range(values.shape[2])
    ]
    return np.stack(planes, axis=2)


def enlarged(values: Values, scale: int) -> Values:
    """`values` enlarged to `scale` times their sides, clipped to 0..1."""
    size = (values.shape[1] * scale, values.shape[0] * scale)
    return np.clip(resampled(values, size), 0, 1)
