"""A decoded source: its stored samples, how operators see them, and how edits change them.

Operators see a picture upright and in 8-bit sRGB. Edits are soft replacements of upright
rectangles, which are blended in the source's colour space and depth. A sample to which no edit
gives weight keeps its value exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from operators.pictures.colour import Samples, Space
from operators.rows.arrays import Pixels

BAND = 256
"""Rows that are converted or blended at once; it bounds the memory that floats take."""


class Turn(NamedTuple):
    """How stored pixels are viewed upright."""

    swap_axes: bool
    down: int
    """Step along the upright rows: 1, or -1 to reverse them."""
    right: int
    """Step along the upright columns: 1, or -1 to reverse them."""


TURNS = {
    1: Turn(False, 1, 1),
    2: Turn(False, 1, -1),
    3: Turn(False, -1, -1),
    4: Turn(False, -1, 1),
    5: Turn(True, 1, 1),
    6: Turn(True, 1, -1),
    7: Turn(True, -1, -1),
    8: Turn(True, -1, 1),
}
"""The turn for each EXIF orientation (EXIF 2.32, tag 0x0112)."""
Array = TypeVar("Array", bound=npt.NDArray[Any])


@dataclass(frozen=True)
class Edit:
    """A soft replacement of an upright rectangle."""

    x: int
    """Left edge of the rectangle in upright pixels."""
    y: int
    """Top edge of the rectangle in upright pixels."""
    fill: Pixels
    """uint8 sRGB, height x width x 3."""
    weight: npt.NDArray[np.float32]
    """How much of the fill replaces the source, height x width, 0..1."""


@dataclass(frozen=True)
class Indexed:
    """A palette picture as stored."""

    indices: Pixels
    """Numbers of entries, uint8, height x width."""
    entries: Pixels
    """The palette, uint8 RGBA, number of entries x 4."""


@dataclass(frozen=True)
class Picture:
    """A decoded source."""

    format: str
    """The key in `operators.pictures.codec.FORMATS`."""
    mode: str
    """Pillow's mode of the samples, or its raw mode (`RGB;16`, `L;4`) if there is no mode."""
    stored: Samples
    """Height x width x samples, interpreted by `space`, not turned, a palette looked up."""
    space: Space
    orientation: int
    """The EXIF orientation, 1..8."""
    size: tuple[int, int]
    """Upright width and height of the whole picture, even if it was decoded at reduced scale."""
    indexed: Indexed | None = None
    """The palette and its indices; None for a picture without a palette."""
    note: str | None = None
    """Why a part of the source was ignored: a broken colour profile."""

    @property
    def upright(self) -> Samples:
        """The stored samples as a viewer shows them; a view, not a copy."""
        return turned(self.stored, self.orientation)

    def rgb(self, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None) -> Pixels:
        """An upright rectangle as uint8 sRGB, height x width x 3.

        Alpha is dropped and grey is repeated. Without a width or height the rectangle extends to
        the picture's edge.
        """
        part = self.upright[y : None if height is None else y + height, x : None if width is None else x + width]
        result = np.empty((*part.shape[:2], 3), np.uint8)
        for top in range(0, part.shape[0], BAND):
            result[top : top + BAND] = self.space.to_srgb(part[top : top + BAND])
        return result

    def edited(self, edits: Sequence[Edit]) -> Edited:
        """The picture with all edits applied; alpha and samples without weight stay unchanged.

        Where edits overlap, each contributes by its weight, and the largest weight decides how
        much of the source remains; so their order does not matter. Each sample is rounded once.
        """
        stored = self.stored.copy()
        changed = np.zeros(stored.shape[:2], bool)
        upright, marked = turned(stored, self.orientation), turned(changed, self.orientation)
        ordered = sorted(edits, key=lambda edit: (edit.x, edit.y, edit.fill.tobytes(), edit.weight.tobytes()))
        for top in range(0, upright.shape[0], BAND):
            self._blend(upright[top : top + BAND], marked[top : top + BAND], ordered, top)
        return Edited(self, stored, changed)

    def _blend(self, band: Samples, marked: npt.NDArray[np.bool_], edits: Sequence[Edit], top: int) -> None:
        """Blend edits into a band of upright rows that starts at row `top`.

        Writes to `band` in place and sets `marked` for the pixels that change.
        """
        bottom = top + band.shape[0]
        touching = [edit for edit in edits if edit.y < bottom and edit.y + edit.fill.shape[0] > top]
        if not touching:
            return
        left = min(edit.x for edit in touching)
        right = min(band.shape[1], max(edit.x + edit.fill.shape[1] for edit in touching))
        total = np.zeros((band.shape[0], right - left, 1), np.float32)
        strongest = np.zeros_like(total)
        mixed = np.zeros((band.shape[0], right - left, self.space.colours), np.float32)
        for edit in touching:
            first, last = max(0, edit.y - top), min(bottom, edit.y + edit.fill.shape[0]) - top
            area = np.s_[first:last, edit.x - left : edit.x - left + edit.fill.shape[1]]
            rows = np.s_[first + top - edit.y : last + top - edit.y]
            weight = edit.weight[rows, :, None]
            source = band[first:last, edit.x : edit.x + edit.fill.shape[1]]
            mixed[area] += weight * self.space.from_srgb(edit.fill[rows], source)
            total[area] += weight
            strongest[area] = np.maximum(strongest[area], weight)
        target = band[:, left:right, : self.space.colours]
        blended = target * (1 - strongest) + strongest * mixed / np.maximum(total, 1e-6)
        result = np.clip(np.rint(blended), 0, self.space.peak).astype(band.dtype)
        marked[:, left:right] |= (result != target).any(axis=2)
        target[...] = result


@dataclass(frozen=True)
class Edited:
    """A picture after its edits."""

    picture: Picture
    """The picture before its edits."""
    stored: Samples
    """The new samples, laid out as `picture.stored`."""
    changed: npt.NDArray[np.bool_]
    """Stored pixels that differ from the source, height x width."""

    def preview(self, width: int, height: int) -> Pixels:
        """The edited picture scaled to fit width x height, uint8 sRGB, not turned.

        It is centred on black. The proportions are kept, except that a difference of up to 2% is
        stretched to fill the preview.
        """
        rows, columns = self.stored.shape[:2]
        across, down = width, height
        if abs(width * rows / (height * columns) - 1) > 0.02:
            scale = min(width / columns, height / rows)
            across, down = max(1, round(columns * scale)), max(1, round(rows * scale))
        small = cv2.resize(self.stored, (across, down), interpolation=cv2.INTER_AREA)
        canvas = np.zeros((height, width, 3), np.uint8)
        top, left = (height - down) // 2, (width - across) // 2
        canvas[top : top + down, left : left + across] = self.picture.space.to_srgb(small.reshape(down, across, -1))
        return canvas


def turned(pixels: Array, orientation: int) -> Array:
    """Stored pixels (height x width, with or without channels) viewed upright.

    The result is a view: writing to it writes to `pixels`.
    """
    turn = TURNS[orientation]
    return (pixels.swapaxes(0, 1) if turn.swap_axes else pixels)[:: turn.down, :: turn.right]  # type: ignore[return-value]


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Upright width and height of a picture whose stored size is given."""
    return (height, width) if TURNS[orientation].swap_axes else (width, height)
