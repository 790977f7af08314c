"""Covers: fills that hide what was there for good, because nothing of it enters them.

A picture of letters that is only blurred, or averaged in blocks, can be matched with guesses of
what they say. These covers take two colours from the picture, that of the ground around the text
and the mean of the covered area. Everything else is drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.mask import ring
from operators.rows.arrays import Pixels, Selection

Cover = Callable[[Pixels, Selection, Selection, float, int], Pixels]
"""Takes a crop (uint8 height x width x 3), its covered area, the strokes of all texts in it, the
line's height in pixels and a seed; returns the covered crop.
"""
AROUND = 6
"""Pixels around the covered area that show the colour of the ground."""
BLOCK = 0.6
"""Side of a block, in heights of the line."""
SMALLEST_BLOCK = 6
"""The same at least, in pixels."""
CONTRAST = 1.6
"""How far the colours of blocks reach from the ground towards the mean of the area, and beyond."""


def color(pixels: Pixels, area: Selection, strokes: Selection, height: float, seed: int) -> Pixels:
    """One colour, that of the ground around the text. Ignores the seed."""
    covered = pixels.copy()
    covered[area] = _colours(pixels, area, strokes)[0].astype(np.uint8)
    return covered


def pixelate(pixels: Pixels, area: Selection, strokes: Selection, height: float, seed: int) -> Pixels:
    """Blocks of colours at random, from the ground's to the mean of the area and beyond."""
    side = max(SMALLEST_BLOCK, round(BLOCK * height))
    covered = pixels.copy()
    covered[area] = _blocks(pixels, area, strokes, side, seed)[area]
    return covered


def blur(pixels: Pixels, area: Selection, strokes: Selection, height: float, seed: int) -> Pixels:
    """The blocks of `pixelate`, smaller and blurred until they flow into each other."""
    side = max(SMALLEST_BLOCK, round(BLOCK * height)) // 2
    soft = cv2.GaussianBlur(_blocks(pixels, area, strokes, side, seed), (0, 0), 0.8 * side)
    covered = pixels.copy()
    covered[area] = soft[area]
    return covered


COVERS: dict[str, Cover] = {"color": color, "blur": blur, "pixelate": pixelate}


def _colours(pixels: Pixels, area: Selection, strokes: Selection) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The colour of the ground around an area, and the mean colour of the area itself."""
    inside = pixels[area].mean(axis=0)
    around = ring(area, strokes, AROUND)
    return (np.rint(np.median(pixels[around], axis=0)) if around.any() else np.rint(inside)), inside


def _blocks(pixels: Pixels, area: Selection, strokes: Selection, side: int, seed: int) -> Pixels:
    ground, inside = _colours(pixels, area, strokes)
    rows, columns = (-(-length // side) for length in area.shape)
    shares = np.random.default_rng(seed).uniform(0, CONTRAST, (rows, columns, 1))
    colours = np.clip(np.rint(ground + shares * (inside - ground)), 0, 255).astype(np.uint8)
    blocks: Pixels = colours.repeat(side, axis=0).repeat(side, axis=1)[: area.shape[0], : area.shape[1]]
    return blocks
