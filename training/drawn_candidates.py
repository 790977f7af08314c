"""The colours that a hidden pixel of a drawn picture may have: known colours in sixteen directions,
blends of opposite ones, and two fills.

Drawings consist of few colours and exact lines. A colour is therefore chosen and copied, not
averaged: from the nearest known pixel in each direction, so that a level line, a panel, a row of a
gradient and a slanted edge continue exactly as they are, whatever noise of compression they carry.
The order of the candidates is one of directions, so it means the same in every picture.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.rows.arrays import Pixels

MAIN = ((-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, 1), (-1, 1), (1, -1))
"""Steps (down, right) of the eight main directions, opposite ones side by side."""
BETWEEN = ((-1, -2), (1, 2), (-1, 2), (1, -2), (-2, -1), (2, 1), (-2, 1), (2, -1))
"""Steps of the eight directions between them."""
DIRECTIONS = MAIN + BETWEEN
REACH = 6
"""A direction is followed for 2 ** REACH - 1 steps."""
DEEPER = 2
"""Pixels beyond the first known one, where no remains of the letters are, of the second candidate
of each main direction.
"""
AXES = len(MAIN) // 2
"""Pairs of opposite main directions, which are blended by distance."""
COUNT = len(DIRECTIONS) + len(MAIN) + AXES + 3
"""Candidates per pixel: along all directions, deeper along the main ones, blends, both fills, its
own.
"""
SMOOTH, COPIED, OWN = COUNT - 3, COUNT - 2, COUNT - 1
"""The places of the smooth fill, of the PatchMatch fill and of the pixel as it is among the
candidates.
"""
PAIRS = np.array(
    [(2 * axis, 2 * axis + 1) for axis in range(len(DIRECTIONS) // 2)]
    + [(direction, other) for other in (COPIED, OWN) for direction in range(len(DIRECTIONS))]
    + [(SMOOTH, COPIED), (SMOOTH, OWN), (COPIED, OWN)]
)
"""Candidates that are compared with each other, so that the network sees which ones agree: opposite
directions, and each direction with the PatchMatch fill and with the pixel as it is.
"""
NEAR = np.float32(5)
"""Grey levels at which two colours still count as nearly the same, see `agreement_of`."""
FADE = 12.0
"""Distance in pixels at which the closeness of a known pixel has fallen to 1 / e."""

FAR = 1000.0
"""Distance in pixels that counts where a direction meets no known pixel."""
SCALE = np.float32(64)
"""Grey levels that count as 1 in the differences between a candidate and the smooth fill."""
CHANNELS = 3 + 1 + 3 + 8 + 3 * (COUNT - 1) + len(DIRECTIONS) + len(PAIRS)
"""Channels of the network's input."""

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int32]
Field = npt.NDArray[np.float32]


def agreement_of(squared: Field) -> Field:
    """How alike two colours are, 1 (equal) to 0, by the mean square of their differences."""
    result: Field = (1 + squared / NEAR**2) ** np.float32(-1.5)
    return result


class Candidates(NamedTuple):
    """The candidates of the hidden pixels of some crops, in the order of `numpy.nonzero`."""

    colours: Pixels
    """uint8, pixels x COUNT x 3."""
    closeness: Field
    """How near the known pixel in each direction is, 1 (here) to 0 (none); pixels x 16."""


def _moved(index: Indices, down: int, right: int) -> Indices:
    """The planes moved by so many pixels; -1 where nothing comes from."""
    height, width = index.shape[1:]
    result = np.full_like(index, -1)
    if abs(down) < height and abs(right) < width:
        to = (slice(None), slice(max(0, down), height + min(0, down)), slice(max(0, right), width + min(0, right)))
        of = (slice(None), slice(max(0, -down), height + min(0, -down)), slice(max(0, -right), width + min(0, -right)))
        result[to] = index[of]
    return result


def nearest_along(known: npt.NDArray[np.bool_], down: int, right: int) -> Indices:
    """The nearest known pixel against a step, as its number in its plane, or -1 if there is none.

    `known` is crops x height x width; a known pixel is its own nearest one.
    """
    plane = np.arange(known[0].size, dtype=np.int32).reshape(1, *known.shape[1:])
    index = np.where(known, plane, np.int32(-1))
    for doubling in range(REACH):
        index = np.where(index < 0, _moved(index, down << doubling, right << doubling), index)
    return index


def candidates(pixels: Pixels, hole: Mask, smooth: Pixels, copied: Pixels, seen: Pixels) -> Candidates:
    """The candidates of every pixel of the hole.

    All arrays are crops x height x width, pictures uint8 with three channels, `hole` True where a
    pixel is hidden. `smooth` and `copied` are fills, `seen` is the crop as far as the network may
    see it. Where a direction meets no known pixel, the smooth fill is the candidate.
    """
    known = ~hole
    crops, height, width = hole.shape
    which, y, x = np.nonzero(hole)
    flat, fallback = pixels.reshape(crops, -1, 3), smooth[hole]

    def colour_at(index: Indices) -> Pixels:
        result: Pixels = np.where((index < 0)[:, None], fallback, flat[which, index])
        return result

    colours, deeper, closeness, distances = [], [], [], []
    for number, (down, right) in enumerate(DIRECTIONS):
        index = nearest_along(known, down, right)[hole]
        row, column = index // width, index % width
        distance = np.hypot(y - row, x - column).astype(np.float32)
        colours.append(colour_at(index))
        distances.append(np.where(index < 0, np.float32(FAR), distance))
        closeness.append(np.where(index < 0, np.float32(0), np.exp(-distance / np.float32(FADE))))
        if number < len(MAIN):
            row, column = row - DEEPER * down, column - DEEPER * right
            inside = (index >= 0) & (row >= 0) & (row < height) & (column >= 0) & (column < width)
            beyond = np.where(inside, row * width + column, index)
            usable = inside & known[which, beyond // width, beyond % width]
            deeper.append(colour_at(np.where(usable, beyond, index)))
    blends = []
    for axis in range(AXES):
        first, second = deeper[2 * axis].astype(np.float32), deeper[2 * axis + 1].astype(np.float32)
        near, far = distances[2 * axis], distances[2 * axis + 1]
        share = (near / (near + far))[:, None]
        blends.append(np.rint(first * (1 - share) + second * share).astype(np.uint8))
    own = [smooth[hole], copied[hole], seen[hole]]
    return Candidates(np.stack([*colours, *deeper, *blends, *own], axis=1), np.stack(closeness, axis=1))


def network_input(pixels: Pixels, smooth: Pixels, mask: Pixels, marks: Field, hole: Mask, found: Candidates) -> Field:
    """What the network sees, crops x height x width x CHANNELS.

    The channels are: the known picture with the smooth fill in the hole (three); the hole; the
    mask's `core`, `blend` and `confidence`; the `marks`, see `pixel_diffusion.hints` (eight); each
    candidate but the smooth fill, minus that fill; how close each is; and which pairs agree.
    Pictures are uint8, and so is `mask`, which has these three channels. `found` holds the
    candidates of the hole.
    """
    picture = np.where(hole[..., None], smooth, pixels).astype(np.float32) / np.float32(127.5) - 1
    differences = found.colours.astype(np.float32) - smooth[hole][:, None].astype(np.float32)
    others = np.delete(differences, SMOOTH, axis=1).reshape(len(differences), 3 * (COUNT - 1)) / SCALE
    values = found.colours.astype(np.float32)
    agreement = agreement_of(np.square(values[:, PAIRS[:, 0]] - values[:, PAIRS[:, 1]]).mean(axis=2))
    result = np.zeros((*hole.shape, CHANNELS), np.float32)
    result[..., :3], result[..., 3], result[..., 4:7] = picture, hole, mask.astype(np.float32) / np.float32(255)
    result[..., 7:15] = marks * hole[..., None]
    result[hole, 15:] = np.concatenate([others, found.closeness, agreement], axis=1)
    return result
