"""A decoded source: its samples as the file stores them, what operators see of it, and what edits
make of it.

Operators see a picture upright and in 8-bit sRGB; edits come back as soft replacements of upright
rectangles and are blended in the source's own space and depth. What no edit weighs keeps its
value exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from operators.pictures.colour import Samples, Space
from operators.rows.arrays import Pixels

BAND = 256
"""Rows that are converted or blended at once, so that floats never take more than a few of them.
"""
TURNS: dict[int, tuple[bool, int, int]] = {
    1: (False, 1, 1),
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
"""EXIF orientation to (axes swapped, step down, step right): how stored pixels are viewed upright
(EXIF 2.32, tag 0x0112).
"""
Array = TypeVar("Array", bound=npt.NDArray[Any])


@dataclass(frozen=True)
class Edit:
    """A soft replacement: `fill` (uint8 sRGB height x width x 3) with `weight` (0..1) at the
    upright corner (x, y).
    """

    x: int
    y: int
    fill: Pixels
    weight: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Indexed:
    """A palette picture as stored: `indices` (uint8 height x width) into `entries` (uint8 RGBA,
    number x 4).
    """

    indices: Pixels
    entries: Pixels


@dataclass(frozen=True)
class Picture:
    """A decoded source. `stored` is height x width x samples in the meaning of `space`, a palette
    looked up, unturned.
    """

    format: str
    mode: str
    """The pixel format in Pillow's naming: of the modes and, for what has no mode, of the raw
    modes (`RGB;16`, `L;4`).
    """
    stored: Samples
    space: Space
    orientation: int
    size: tuple[int, int]
    """Upright width and height of the whole picture, also where it was decoded at a reduced
    scale.
    """
    indexed: Indexed | None = None
    note: str | None = None
    """What of the source could not be followed: a broken colour profile."""

    @property
    def upright(self) -> Samples:
        """The stored samples as a viewer shows them; a view, not a copy."""
        return turned(self.stored, self.orientation)

    def rgb(self, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None) -> Pixels:
        """An upright rectangle as uint8 sRGB height x width x 3; alpha is dropped, grey is
        repeated.
        """
        part = self.upright[y : None if height is None else y + height, x : None if width is None else x + width]
        result = np.empty((*part.shape[:2], 3), np.uint8)
        for top in range(0, part.shape[0], BAND):
            result[top : top + BAND] = self.space.shown(part[top : top + BAND])
        return result

    def edited(self, edits: Sequence[Edit]) -> Edited:
        """The picture with all edits applied; alpha and whatever no edit weighs stay as they are.

        Where edits overlap, each counts by its weight and the strongest weight decides how much
        of the source remains, so their order does not matter. Each sample is rounded once.
        """
        stored = self.stored.copy()
        changed = np.zeros(stored.shape[:2], bool)
        upright, marked = turned(stored, self.orientation), turned(changed, self.orientation)
        ordered = sorted(edits, key=lambda edit: (edit.x, edit.y, edit.fill.tobytes(), edit.weight.tobytes()))
        for top in range(0, upright.shape[0], BAND):
            self._blend(upright[top : top + BAND], marked[top : top + BAND], ordered, top)
        return Edited(self, stored, changed)

    def _blend(self, band: Samples, marked: npt.NDArray[np.bool_], edits: Sequence[Edit], top: int) -> None:
        """Blend the edits into the rows of the upright picture from `top` on, in place, and mark
        what they changed.
        """
        bottom = top + band.shape[0]
        here = [edit for edit in edits if edit.y < bottom and edit.y + edit.fill.shape[0] > top]
        if not here:
            return
        left = min(edit.x for edit in here)
        right = min(band.shape[1], max(edit.x + edit.fill.shape[1] for edit in here))
        total = np.zeros((band.shape[0], right - left, 1), np.float32)
        strongest = np.zeros_like(total)
        mixed = np.zeros((band.shape[0], right - left, self.space.colours), np.float32)
        for edit in here:
            first, last = max(0, edit.y - top), min(bottom, edit.y + edit.fill.shape[0]) - top
            area = np.s_[first:last, edit.x - left : edit.x - left + edit.fill.shape[1]]
            rows = np.s_[first + top - edit.y : last + top - edit.y]
            weight = edit.weight[rows, :, None]
            source = band[first:last, edit.x : edit.x + edit.fill.shape[1]]
            mixed[area] += weight * self.space.stored(edit.fill[rows], source)
            total[area] += weight
            strongest[area] = np.maximum(strongest[area], weight)
        target = band[:, left:right, : self.space.colours]
        blended = target * (1 - strongest) + strongest * mixed / np.maximum(total, 1e-6)
        result = np.clip(np.rint(blended), 0, self.space.peak).astype(band.dtype)
        marked[:, left:right] |= (result != target).any(axis=2)
        target[...] = result


@dataclass(frozen=True)
class Edited:
    """A picture after its edits: samples as stored, and which pixels (bool height x width) differ
    from the source's.
    """

    picture: Picture
    stored: Samples
    changed: npt.NDArray[np.bool_]

    def preview(self, width: int, height: int) -> Pixels:
        """The edited picture as stored (not turned), in sRGB, scaled into width x height on
        black, its shape kept.
        """
        rows, columns = self.stored.shape[:2]
        across, down = width, height
        if abs(width * rows / (height * columns) - 1) > 0.02:
            scale = min(width / columns, height / rows)
            across, down = max(1, round(columns * scale)), max(1, round(rows * scale))
        small = cv2.resize(self.stored, (across, down), interpolation=cv2.INTER_AREA)
        shown = np.zeros((height, width, 3), np.uint8)
        top, left = (height - down) // 2, (width - across) // 2
        shown[top : top + down, left : left + across] = self.picture.space.shown(small.reshape(down, across, -1))
        return shown


def turned(pixels: Array, orientation: int) -> Array:
    """Stored pixels (height x width, channels or none) viewed upright; writing to the view writes
    to `pixels`.
    """
    swapped, down, right = TURNS[orientation]
    return (pixels.swapaxes(0, 1) if swapped else pixels)[::down, ::right]  # type: ignore[return-value]


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height of a picture once it is turned."""
    return (height, width) if TURNS[orientation][0] else (width, height)
