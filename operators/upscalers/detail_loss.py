"""Find the parts of a picture that need a network: those where resampling loses detail.

The loss is measured on the source itself, which is halved and resampled back to its size. The
detail lost in that octave predicts what resampling will miss in the next. Flat parts and soft
ramps lose nothing; texture, letters and lines do.
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
"""Immerkaer's mask, scaled so that white noise keeps its deviation."""
MOST_BROAD_ENERGY = 1.5
"""Energy in all frequencies but the lowest, as a multiple of the mask's, up to which it is noise.

White noise has 0.96.
"""
BLOCK = 16
"""Source pixels per side of a block; each block goes to the network or is resampled."""
CELL = 8
"""Source pixels per side of a cell, over which the loss is averaged.

A block's loss is that of its worst cell, so that no small letter is missed.
"""
STRIP = 256
"""Rows of the source that are processed at once, which bounds the memory."""
MARGIN = 16
"""Rows above and below a strip that its resampling sees."""
NOISE_LOST = 1.0
"""Share of white noise's energy lost by the worst cell of a block.

A cell loses 0.78 on average; the rest is a margin for the worst of four.
"""


def resampling_loss(grey: Plane, noise: float = 0.0) -> Plane:
    """The detail that resampling loses in each block, in grey levels (root mean square).

    `grey` is height x width in grey levels 0..255. White noise of deviation `noise` (grey levels)
    is discounted. The result has one value per block of BLOCK x BLOCK pixels.
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


def cover(chosen: npt.NDArray[np.bool_], overlap: int) -> list[Box]:
    """Boxes, in blocks, that cover all chosen blocks at low cost.

    A box costs its area in pixels, including `overlap` pixels around it. The bounding box is cut
    in two at the best place, recursively, as long as two boxes are cheaper than one.
    """
    rows, columns = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
    if not len(rows):
        return []
    whole = Box(int(columns[0]), int(rows[0]), int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1))
    inside = chosen[whole.y : whole.y + whole.height, whole.x : whole.x + whole.width]
    cuts = [
        (_bounds_cost(inside[:, :cut], overlap) + _bounds_cost(inside[:, cut:], overlap), 1, cut)
        for cut in range(1, whole.width)
    ]
    cuts += [
        (_bounds_cost(inside[:cut], overlap) + _bounds_cost(inside[cut:], overlap), 0, cut) for cut in range(1, whole.height)
    ]
    if not cuts or min(cuts)[0] >= _bounds_cost(inside, overlap):
        return [whole]
    _, across, cut = min(cuts)
    first, second = (inside[:, :cut], inside[:, cut:]) if across else (inside[:cut], inside[cut:])
    second_start = Box(whole.x + cut, whole.y, 0, 0) if across else Box(whole.x, whole.y + cut, 0, 0)
    parts = [(box, whole) for box in cover(first, overlap)] + [(box, second_start) for box in cover(second, overlap)]
    return [Box(start.x + box.x, start.y + box.y, box.width, box.height) for box, start in parts]


def _bounds_cost(chosen: npt.NDArray[np.bool_], overlap: int) -> int:
    """Pixels that a network sees if one box covers all chosen blocks."""
    rows, columns = np.flatnonzero(chosen.any(axis=1)), np.flatnonzero(chosen.any(axis=0))
    if not len(rows):
        return 0
    return int(((rows[-1] - rows[0] + 1) * BLOCK + 2 * overlap) * ((columns[-1] - columns[0] + 1) * BLOCK + 2 * overlap))


def in_pixels(boxes: Sequence[Box], width: int, height: int) -> list[Box]:
    """Convert boxes of blocks to boxes of pixels, cut at the picture's edges."""
    corners = [(box.x * BLOCK, box.y * BLOCK, box.width * BLOCK, box.height * BLOCK) for box in boxes]
    return [Box(x, y, min(w, width - x), min(h, height - y)) for x, y, w, h in corners]


def noise_level(grey: Plane) -> float:
    """The deviation of a picture's white noise in grey levels; 0 without any.

    It is measured by a mask that ignores flat and sloping parts (Immerkaer, "Fast Noise Variance
    Estimation", 1996). The mask's energy is averaged in blocks, and the tenth of the blocks with
    the least energy counts. Fine texture has energy there too, but also more at lower frequencies
    than white noise; then the picture counts as free of noise.
    """
    if min(grey.shape) < BLOCK:
        return 0.0
    height, width = (side // BLOCK * BLOCK for side in grey.shape)
    fine, broad = (np.zeros((height // BLOCK, width // BLOCK), np.float32) for _ in range(2))
    for top in range(0, height, STRIP):
        rows = np.ascontiguousarray(grey[top : min(top + STRIP, height), :width])
        responses = cv2.filter2D(rows, cv2.CV_32F, IMMERKAER), rows - cv2.blur(rows, (5, 5))
        for energies, response in zip((fine, broad), responses, strict=True):
            means = np.square(response).reshape(len(rows) // BLOCK, BLOCK, width // BLOCK, BLOCK).mean(axis=(1, 3))
            energies[top // BLOCK : top // BLOCK + len(means)] = means
    flattest = fine <= np.quantile(fine, 0.1)
    variance = float(fine[flattest].mean())
    return float(np.sqrt(variance)) if np.median(broad[flattest]) < MOST_BROAD_ENERGY * variance else 0.0


def denoised(values: npt.NDArray[np.float32], noise: Plane) -> npt.NDArray[np.float32]:
    """The values with white noise removed where there is nothing but noise.

    `noise` is its deviation in each channel, in units of the values. The filter is that of Lee,
    "Digital Image Enhancement and Noise Filtering by Use of Local Statistics" (1980), in windows
    of 5 x 5 pixels.
    """
    mean, square = (
        cv2.blur(np.ascontiguousarray(plane), (5, 5), borderType=cv2.BORDER_REFLECT_101).reshape(values.shape)
        for plane in (values, values * values)
    )
    variance = np.maximum(square - mean * mean, 0)
    signal = np.maximum(variance - 1.3 * np.square(noise), 0) / np.maximum(variance, np.float32(1e-9))
    result: npt.NDArray[np.float32] = mean + signal * (values - mean)
    return result
