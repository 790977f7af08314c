"""Which parts of a picture are worth a network: those where resampling is seen to lose something.

The rule is measured on the source itself. It is halved and resampled back to its size: what is
lost on that octave says what resampling will fail to give on the next. Flat parts and soft ramps
lose nothing; texture, letters and lines do.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.box import Box
from operators.upscalers.resample import resampled

Plane = npt.NDArray[np.float32]

IMMERKAER = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
"""White noise comes out of it as loud as it went in."""
LEAST_WHITE = 1.5
"""Times the mask's answer that noise may have in all frequencies but the lowest; white noise has
0.96.
"""
BLOCK = 16
"""Source pixels a side of what is routed as one."""
CELL = 8
"""Source pixels a side over which the loss is averaged; a block is as bad as its worst cell, so
no small letter is missed.
"""
STRIP = 256
MARGIN = 16
NOISE_LOST = 1.0
"""Share of white noise's energy that the worst cell of a block loses: 0.78 on average, and a
margin for the worst of four.
"""


def resampling_loss(grey: Plane, noise: float = 0.0) -> Plane:
    """What resampling loses in each block, in grey levels (RMS), white noise of deviation `noise`
    discounted.

    `grey` is height x width in grey levels of 0..255; the result has one value per block of BLOCK
    x BLOCK pixels.
    """
    height, width = grey.shape
    each = BLOCK // CELL
    cells = np.zeros((-(-height // BLOCK) * each, -(-width // BLOCK) * each), np.float32)
    for top in range(0, height, STRIP):
        first, last = max(0, top - MARGIN), min(height, top + STRIP + MARGIN)
        part = grey[first:last, :, None]
        half = (max(1, width // 2), max(1, (last - first) // 2))
        back = resampled(resampled(part, half), (width, last - first))
        squared = np.square(part - back)[top - first : top - first + STRIP, :, 0]
        down, across = -squared.shape[0] % BLOCK, -width % BLOCK
        squared = np.pad(squared, ((0, down), (0, across)), mode="symmetric" if min(squared.shape) >= BLOCK else "edge")
        means = squared.reshape(squared.shape[0] // CELL, CELL, squared.shape[1] // CELL, CELL).mean(axis=(1, 3))
        cells[top // CELL : top // CELL + len(means)] = means
    blocks = cells.reshape(cells.shape[0] // each, each, cells.shape[1] // each, each).max(axis=(1, 3))
    loss: Plane = np.sqrt(np.maximum(blocks - np.float32(NOISE_LOST * noise**2), 0))
    return loss


def covering(chosen: npt.NDArray[np.bool_], overlap: int) -> list[Box]:
    """Boxes, in blocks, that cover all chosen blocks at little cost: each costs its area with
    `overlap` pixels round it.

    The smallest box that holds all is cut in two, at its best place, as long as two are cheaper
    than one.
    """
    rows, columns = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
    if not len(rows):
        return []
    whole = Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1))
    inside = chosen[whole.y : whole.y + whole.height, whole.x : whole.x + whole.width]
    cuts = [
        (_bounds_cost(inside[:, :at], overlap) + _bounds_cost(inside[:, at:], overlap), 1, at) for at in range(1, whole.width)
    ]
    cuts += [(_bounds_cost(inside[:at], overlap) + _bounds_cost(inside[at:], overlap), 0, at) for at in range(1, whole.height)]
    if not cuts or min(cuts)[0] >= _bounds_cost(inside, overlap):
        return [whole]
    _, across, at = min(cuts)
    first, second = (inside[:, :at], inside[:, at:]) if across else (inside[:at], inside[at:])
    moved = Box(whole.x + at, whole.y, 0, 0) if across else Box(whole.x, whole.y + at, 0, 0)
    parts = [(box, whole) for box in covering(first, overlap)] + [(box, moved) for box in covering(second, overlap)]
    return [Box(start.x + box.x, start.y + box.y, box.width, box.height) for box, start in parts]


def _bounds_cost(chosen: npt.NDArray[np.bool_], overlap: int) -> int:
    """Pixels that a network sees if one box holds all chosen blocks."""
    rows, columns = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
    if not len(rows):
        return 0
    return int(((rows[-1] - rows[0] + 1) * BLOCK + 2 * overlap) * ((columns[-1] - columns[0] + 1) * BLOCK + 2 * overlap))


def in_pixels(boxes: Sequence[Box], width: int, height: int) -> list[Box]:
    """Boxes of blocks as boxes of pixels, cut at the picture's edges."""
    corners = [(box.x * BLOCK, box.y * BLOCK, box.width * BLOCK, box.height * BLOCK) for box in boxes]
    return [Box(x, y, min(w, width - x), min(h, height - y)) for x, y, w, h in corners]


def noise_level(grey: Plane) -> float:
    """The deviation of white noise in grey levels: what is found even in the flattest parts of a
    picture; 0 without any.

    Immerkaer, "Fast Noise Variance Estimation" (1996): a mask that takes no note of flat and
    sloping parts. Its answer is averaged in blocks, and the tenth part of them with the least of
    it counts. Fine texture answers too; but what is no noise has more energy at lower frequencies
    than white noise has, and then nothing is taken for noise.
    """
    if min(grey.shape) < BLOCK:
        return 0.0
    height, width = (side // BLOCK * BLOCK for side in grey.shape)
    fine, all_of_it = (np.zeros((height // BLOCK, width // BLOCK), np.float32) for _ in range(2))
    for top in range(0, height, STRIP):
        rows = np.ascontiguousarray(grey[top : min(top + STRIP, height), :width])
        answers = cv2.filter2D(rows, cv2.CV_32F, IMMERKAER), rows - cv2.blur(rows, (5, 5))
        for sums, answer in zip((fine, all_of_it), answers, strict=True):
            means = np.square(answer).reshape(len(rows) // BLOCK, BLOCK, width // BLOCK, BLOCK).mean(axis=(1, 3))
            sums[top // BLOCK : top // BLOCK + len(means)] = means
    flattest = fine <= np.quantile(fine, 0.1)
    variance = float(fine[flattest].mean())
    return float(np.sqrt(variance)) if np.median(all_of_it[flattest]) < LEAST_WHITE * variance else 0.0


def denoised(values: npt.NDArray[np.float32], noise: Plane) -> npt.NDArray[np.float32]:
    """White noise taken out where it is all there is; `noise` is its deviation in each channel,
    in units of the values.

    Lee, "Digital Image Enhancement and Noise Filtering by Use of Local Statistics" (1980), in
    windows of 5 x 5 pixels.
    """
    mean, square = (
        cv2.blur(np.ascontiguousarray(of), (5, 5), borderType=cv2.BORDER_REFLECT_101).reshape(values.shape)
        for of in (values, values * values)
    )
    variance = np.maximum(square - mean * mean, 0)
    signal = np.maximum(variance - 1.3 * np.square(noise), 0) / np.maximum(variance, np.float32(1e-9))
    result: npt.NDArray[np.float32] = mean + signal * (values - mean)
    return result
