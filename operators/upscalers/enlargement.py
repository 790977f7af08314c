"""Enlarge a picture tile by tile.

A network works on the blocks where resampling would lose detail; the rest is resampled.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.box import Box
from operators.upscalers.catalogue import find_upscaler
from operators.upscalers.detail_guard import LUMA, Guard
from operators.upscalers.detail_loss import BLOCK, Plane, cover, denoised, in_pixels, noise_level, resampling_loss
from operators.upscalers.resample import resampled
from operators.upscalers.tiles import grid, pixels_seen, upscale_boxes
from operators.upscalers.upscaler import Colour, Upscaler

TILE = 256
"""Source pixels per side of a tile, which is processed at once; a multiple of BLOCK."""
GUARD_MARGIN = 8
"""Source pixels around a tile that the guard takes into account."""

Stored = npt.NDArray[Any]
"""A picture as stored: uint8 or uint16, height x width x channels."""


@dataclass(frozen=True)
class Layout:
    """What the channels of a picture mean."""

    colours: tuple[tuple[int, ...], ...]
    """Groups of channels; a network sees each group as one picture of red, green and blue."""
    alpha: int | None = None
    """The alpha channel."""
    inks: bool = False
    """Whether larger values are darker."""


LAYOUTS: dict[tuple[bool, int], Layout] = {
    (False, 1): Layout(((0,),)),
    (False, 2): Layout(((0,),), alpha=1),
    (False, 3): Layout(((0, 1, 2),)),
    (False, 4): Layout(((0, 1, 2),), alpha=3),
    (True, 4): Layout(((0, 1, 2), (3,)), inks=True),
}
"""The layouts by whether the channels are inks (CMYK), and by their number.

The three coloured inks go through a network together, as the picture that they would print
without black. Black goes alone, as a grey picture.
"""


@dataclass(frozen=True)
class Routing:
    """The settings for enlarging a picture."""

    model: str = "animevideov3"
    """Name of an upscaler, see `catalogue.find_upscaler`."""
    threshold: float = 2.0
    """Loss by resampling, in grey levels, above which a block goes to the network.

    A negative threshold sends all blocks there, infinity none.
    """
    least_noise: float = 1.0
    """Deviation of the noise, in grey levels, below which it is not removed."""
    guard: Guard = Guard()
    """Limits for the network's result."""


class Enlargement:
    """One picture and the size to which it is enlarged.

    `tiles` yields the result piece by piece, so that no whole picture is in memory as floats.
    """

    def __init__(self, stored: Stored, inks: bool, size: tuple[int, int], routing: Routing = Routing()) -> None:
        self._stored, self._layout, self._routing = stored, LAYOUTS[inks, stored.shape[2]], routing
        self._top = np.float32(np.iinfo(stored.dtype).max)
        self.height, self.width = stored.shape[:2]
        self.size = size
        self.upscaler: Upscaler = find_upscaler(routing.model, max(size[0] / self.width, size[1] / self.height))

    def _grey(self, group: tuple[int, ...]) -> Plane:
        """A colour group's luma in grey levels 0..255."""
        weights = (LUMA[0] if len(group) == 3 else np.ones(1, np.float32)) * np.float32(255 / self._top)
        total = np.zeros((self.height, self.width), np.float32)
        for channel, weight in zip(group, weights, strict=True):
            total += self._stored[:, :, channel] * weight
        return total

    @cached_property
    def _noise_and_loss(self) -> tuple[float, Plane]:
        greys = [self._grey(group) for group in self._layout.colours]
        noise = noise_level(greys[0])
        noise = noise if noise >= self._routing.least_noise else 0.0
        loss: Plane = np.max([resampling_loss(grey, noise) for grey in greys], axis=0)
        return noise, loss

    @cached_property
    def _channel_noise(self) -> Plane:
        """The noise of each channel, in units of the values."""
        levels = [noise_level(self._grey((channel,))) for channel in range(self._stored.shape[2])]
        return np.array(levels, np.float32) / np.float32(255)

    @property
    def noise(self) -> float:
        """The measured deviation of the noise in grey levels; 0 if below `least_noise`."""
        return self._noise_and_loss[0]

    @property
    def loss(self) -> Plane:
        """The detail that resampling would lose in each block, in grey levels.

        A block is BLOCK x BLOCK source pixels.
        """
        return self._noise_and_loss[1]

    @property
    def routed(self) -> npt.NDArray[np.bool_]:
        """The blocks that go to the network."""
        chosen: npt.NDArray[np.bool_] = self.loss > self._routing.threshold
        return chosen if self.upscaler.weights else np.zeros_like(chosen)

    def network_pixels(self) -> int:
        """The cost of the routing: source pixels that the network processes.

        Pixels that it sees twice count twice.
        """
        reaches = (self._reach(tile)[0] for tile in grid(self.width, self.height, TILE))
        boxes = [box for reach in reaches for box in self._boxes(reach)]
        return len(self._layout.colours) * pixels_seen(self.upscaler, boxes, self.width, self.height)

    def tiles(self) -> Iterator[tuple[int, int, Stored]]:
        """Left, top and pixels of every part of the result, row by row.

        The pixels have the source's type and channels.
        """
        right, down = self.size[0] / self.width, self.size[1] / self.height
        for tile in grid(self.width, self.height, TILE):
            left, top = round(tile.x * right), round(tile.y * down)
            last_x, last_y = round((tile.x + tile.width) * right), round((tile.y + tile.height) * down)
            if last_x > left and last_y > top:
                yield left, top, self._enlarge_tile(tile, Box(left, top, last_x - left, last_y - top))

    def _reach(self, tile: Box) -> tuple[Box, Box]:
        """The source pixels that the guard uses for a tile, and those that the network sees."""
        reach = tile.grown(GUARD_MARGIN, self.width, self.height)
        return reach, reach.grown(self.upscaler.overlap, self.width, self.height)

    def _boxes(self, reach: Box) -> list[Box]:
        """The parts of the reach that go to the network, in source pixels."""
        last_x, last_y = -(-(reach.x + reach.width) // BLOCK), -(-(reach.y + reach.height) // BLOCK)
        chosen = np.zeros_like(self.routed)
        area = np.s_[reach.y // BLOCK : last_y, reach.x // BLOCK : last_x]
        chosen[area] = self.routed[area]
        boxes = in_pixels(cover(chosen, self.upscaler.overlap), self.width, self.height)
        return [_intersection(box, reach) for box in boxes]

    def _enlarge_tile(self, tile: Box, out: Box) -> Stored:
        reach, outer = self._reach(tile)
        scale = self.upscaler.scale
        part = self._stored[outer.y : outer.y + outer.height, outer.x : outer.x + outer.width].astype(np.float32) / self._top
        part = 1 - part if self._layout.inks else part
        boxes = [Box(box.x - outer.x, box.y - outer.y, box.width, box.height) for box in self._boxes(reach)]
        enlarged = np.empty((outer.height * scale, outer.width * scale, part.shape[2]), np.float32)
        colours = part
        if self._layout.alpha is not None:
            alpha = part[:, :, self._layout.alpha :]
            enlarged[:, :, self._layout.alpha :] = self._resample_in_range(alpha)
            colours = _without_hidden(part[:, :, : self._layout.alpha], alpha)
        for group in self._layout.colours:
            values = colours[:, :, list(group)]
            values = denoised(values, self._channel_noise[list(group)]) if self.noise else values
            enlarged[:, :, list(group)] = self._enlarge_group(values, boxes)
        fitted = self._fit(enlarged, outer, out, scale)
        fitted = 1 - fitted if self._layout.inks else fitted
        pixels: Stored = np.rint(np.clip(fitted, 0, 1) * self._top).astype(self._stored.dtype)
        return pixels

    def _enlarge_group(self, values: Colour, boxes: list[Box]) -> Colour:
        """One colour group of a part: the boxes by the network, the rest resampled, all guarded."""
        if not boxes:
            return self._resample_in_range(values)
        source: Colour = np.repeat(values, 3, axis=2) if values.shape[2] == 1 else np.ascontiguousarray(values)
        base = self._resample(source)
        network, weight = upscale_boxes(self.upscaler, source, boxes)
        result = self._routing.guard.limit_bands(base + weight * (network - base), source, self.upscaler.scale, base)
        return result if values.shape[2] == 3 else result.mean(axis=2, keepdims=True)

    def _resample_in_range(self, values: Colour) -> Colour:
        """The values resampled and kept within the source's local range."""
        return self._routing.guard.in_range(self._resample(values), np.ascontiguousarray(values), self.upscaler.scale)

    def _resample(self, values: Colour) -> Colour:
        return resampled(values, (values.shape[1] * self.upscaler.scale, values.shape[0] * self.upscaler.scale))

    def _fit(self, enlarged: Colour, outer: Box, out: Box, scale: int) -> Colour:
        """The part of the enlarged `outer` that shows `out`, at the result's size."""
        right, down = self.width * scale / self.size[0], self.height * scale / self.size[1]
        left, top = out.x * right - outer.x * scale, out.y * down - outer.y * scale
        if right == down == 1:
            return enlarged[round(top) : round(top) + out.height, round(left) : round(left) + out.width]
        fitted = resampled(enlarged, (out.width, out.height), (left, top, left + out.width * right, top + out.height * down))
        return np.clip(fitted, 0, 1)


def _intersection(box: Box, frame: Box) -> Box:
    x, y = max(box.x, frame.x), max(box.y, frame.y)
    right, bottom = min(box.x + box.width, frame.x + frame.width), min(box.y + box.height, frame.y + frame.height)
    return Box(x, y, right - x, bottom - y)


def _without_hidden(colours: Colour, alpha: Colour) -> Colour:
    """The colours, with those under full transparency replaced by visible ones beside them.

    Otherwise hidden colours would show at the edges.
    """
    if alpha.min() > 0:
        return colours
    visible = np.ascontiguousarray(alpha)
    weight = cv2.blur(visible, (9, 9), borderType=cv2.BORDER_REPLICATE).reshape(alpha.shape)
    near = cv2.blur(np.ascontiguousarray(colours * visible), (9, 9), borderType=cv2.BORDER_REPLICATE).reshape(colours.shape)
    return np.where((alpha > 0) | (weight < 1e-4), colours, near / np.maximum(weight, np.float32(1e-6))).astype(np.float32)
