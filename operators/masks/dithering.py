"""Dithered pictures: a few colours, scattered pixel by pixel, stand for those in between.

GIF files and PNG files with a palette are often dithered, in a regular pattern or by the diffusion
of errors (Floyd and Steinberg 1976). Seen from afar such a ground is plain.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels, Selection

SAMPLE = 4096
"""About so many pixels of a ground tell its colours."""
MOST_COLOURS = 32
"""The most colours of a dithered ground."""
LEAST_RARER = 0.02
"""Share of the ground's pixels that do not have its commonest colour, at least."""
LEAST_STEP = 6.0
"""Median difference in grey levels of those pixels from the commonest colour, at least. Finer
grain, as JPEG files have it, is no dithering.
"""
SHAPES = ((2, 2), (1, 6), (6, 1))
"""Blocks of pixels (height x width) that have one colour in halftone dots, shapes and lines."""
MOST_SOLID = 0.3
"""Share of those pixels that lie in such blocks, at most."""
PERIOD = 8
"""Regular patterns repeat after this many pixels or a part of it."""


def is_dithered(pixels: Pixels, place: Selection) -> bool:
    """Whether the place (height x width) of a crop (uint8 height x width x 3) is dithered."""
    red, green, blue = (pixels[:, :, channel].astype(np.int32) for channel in range(3))
    colour: npt.NDArray[np.int32] = (red << 16) | (green << 8) | blue
    inside = colour[place]
    # An odd step sees every place of a regular pattern.
    colours, counts = np.unique(inside[:: (len(inside) // SAMPLE) | 1], return_counts=True)
    if not 1 < len(colours) <= MOST_COLOURS or counts.sum() - counts.max() < LEAST_RARER * counts.sum():
        return False
    commonest = int(colours[counts.argmax()])
    rarer = place & (colour != commonest)
    steps = np.abs(pixels[rarer] - np.array([commonest >> 16, commonest >> 8 & 255, commonest & 255], np.float32))
    if not rarer.any() or np.median(steps.max(axis=1)) < LEAST_STEP:
        return False
    return bool(_solid(colour, rarer).sum() <= MOST_SOLID * rarer.sum())


def _solid(colour: npt.NDArray[np.int32], place: Selection) -> Selection:
    """The pixels of a place that lie in one of SHAPES in one colour."""
    solid = np.zeros(place.shape, bool)
    for height, width in SHAPES:
        if height > place.shape[0] or width > place.shape[1]:
            continue
        windows, inside = (np.lib.stride_tricks.sliding_window_view(each, (height, width)) for each in (colour, place))
        alike = inside.all(axis=(2, 3)) & (windows == windows[:, :, :1, :1]).all(axis=(2, 3))
        starts = np.pad(alike, ((0, height - 1), (0, width - 1))).astype(np.uint8)
        solid |= cv2.dilate(starts, np.ones((height, width), np.uint8), anchor=(width - 1, height - 1)) > 0
    return solid
