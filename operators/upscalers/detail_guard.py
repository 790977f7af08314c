"""The guard that every upscaler's result passes: no band louder than the source predicts, no
value beyond its neighbourhood.

What a network adds is judged octave by octave against the source resampled. Octaves that the
source holds completely are taken from the source, so that nothing shifts in colour or brightness.
In its finest octave and in those beyond, which the source cannot hold, the energy round each
pixel may reach what the source's own spectrum leads to expect there, and what is louder is turned
down. Last, each value is kept within the range that the source has round it: no halo, no ringing.
A stroke that stands alone on flat ground is the exception: thinner than a source pixel, it is
paler there than it was, and may get its ink back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import LUMA_WEIGHTS
from operators.upscalers.resample import resampled
from operators.upscalers.upscaler import Colour

Plane = npt.NDArray[np.float32]

LUMA = np.array([LUMA_WEIGHTS], np.float32)
"""Rec. 601 luma."""
FINEST_SIGMA = 0.8
"""Sigma of the Gaussian that leaves out the finest octave; it doubles with each octave (as
`octave_bands`).
"""
WINDOW = 2.0
"""Sigma, in source pixels, of the neighbourhood over which energy is averaged."""
FLOOR = (0.5 / 255) ** 2
"""Energy below which a band is not looked at: half a grey level."""


@dataclass(frozen=True)
class Guard:
    """How much louder than predicted a band may be, and how far a value may leave the source's
    local range.
    """

    loudness: float = 4.0
    """Times the predicted energy that a band may have. The prediction is off by a factor of two,
    on letters by more.
    """
    fall: float = 0.75
    """How the spectrum goes on: the next octaves have the finest one's energy times (finest /
    next coarser) to this power.
    """
    overshoot: float = 0.0
    """How far a value may leave the range that the source has round it, as a share of that range.
    """
    stroke_overshoot: float = 3.0
    """By how many times what it stands out a stroke alone on flat ground may do so more: one a
    quarter of a pixel wide by 3.
    """
    flatness: float = 10.0
    """How flat: times the local deviation over the local range, from which on nothing counts as a
    stroke.
    """
    radius: int = 1
    """Source pixels each way that make up that range."""

    def limit_bands(self, result: Colour, source: Colour, scale: int, base: Colour | None = None) -> Colour:
        """`result` (`scale` times `source` in size, values 0..1) with its bands turned down and
        its values kept in range.

        `base` is the source resampled to the result's size, if it is at hand.
        """
        if base is None:
            base = resampled(source, (result.shape[1], result.shape[0]))
        return self.in_range(self._turned_down(result, base, scale), source, scale)

    def _turned_down(self, result: Colour, base: Colour, scale: int) -> Colour:
        finest = round(math.log2(scale))
        known = _bands(_luma(base), finest + 2)
        own, coarser = (_energy(known[octave], scale) for octave in (finest, finest + 1))
        fall = np.minimum(own / coarser, 1.0) ** self.fall
        kept = _blurred(base, finest)
        level = result
        for octave in range(finest + 1):
            smooth = _blurred(result, octave)
            band: Colour = level - smooth
            level = smooth
            allowed = self.loudness * (own if octave == finest else own * fall)
            gain = np.sqrt(np.minimum(1.0, allowed / _energy(_luma(band), scale)))
            kept = kept + band * cv2.resize(gain, band.shape[1::-1], interpolation=cv2.INTER_LINEAR)[:, :, None]
        return kept

    def in_range(self, values: Colour, source: Colour, scale: int) -> Colour:
        """Values kept within the range that the source has round them; any number of channels."""
        size, side = (values.shape[1], values.shape[0]), 2 * self.radius + 1
        kernel = np.ones((side, side), np.uint8)
        low, high = cv2.erode(source, kernel).reshape(source.shape), cv2.dilate(source, kernel).reshape(source.shape)
        slack = self.overshoot * (high - low)
        paler, darker = self._strokes(source, high - low)
        low, high = (
            cv2.resize(edge, size, interpolation=cv2.INTER_NEAREST).reshape(values.shape)
            for edge in (low - slack - darker, high + slack + paler)
        )
        kept: Colour = np.clip(values, np.maximum(low, 0), np.minimum(high, 1))
        return kept

    def _strokes(self, source: Colour, local_range: Colour) -> tuple[Colour, Colour]:
        """By how much a pale stroke may become paler and a dark one darker, round each source
        pixel.

        A stroke is what a closing or an opening of 3 x 3 pixels fills. It is alone where the
        median deviation from the median of the 5 x 5 pixels round it is next to nothing; in
        texture it is a part of the local range.
        """
        planes = [np.ascontiguousarray(source[:, :, channel]) for channel in range(source.shape[2])]
        spread = [cv2.medianBlur(np.abs(plane - cv2.medianBlur(plane, 5)), 5) for plane in planes]
        deviation = np.stack(spread, axis=2)
        alone = np.clip(1 - self.flatness * deviation / np.maximum(local_range, np.float32(1e-3)), 0, 1)
        kernel = np.ones((3, 3), np.uint8)
        filled = source - cv2.morphologyEx(source, cv2.MORPH_OPEN, kernel).reshape(source.shape)
        cleared = cv2.morphologyEx(source, cv2.MORPH_CLOSE, kernel).reshape(source.shape) - source
        paler, darker = (
            self.stroke_overshoot * alone * cv2.dilate(found, kernel).reshape(source.shape) for found in (filled, cleared)
        )
        return paler, darker


def _luma(values: Colour) -> Plane:
    result: Plane = values @ LUMA.T
    return result


def _blurred(values: Colour, octave: int) -> Colour:
    result: Colour = cv2.GaussianBlur(values, (0, 0), FINEST_SIGMA * 2**octave, borderType=cv2.BORDER_REFLECT_101)
    return result.reshape(values.shape)


def _bands(luma: Plane, count: int) -> list[Plane]:
    bands, level = [], luma
    for octave in range(count):
        smooth = _blurred(luma, octave)
        bands.append(level - smooth)
        level = smooth
    return bands


def _energy(band: Plane, scale: int) -> Plane:
    """Mean squared value round each source pixel, never below the floor; at the source's
    resolution.
    """
    squared = np.ascontiguousarray(band.reshape(band.shape[:2]) ** 2)
    small = cv2.resize(squared, (band.shape[1] // scale, band.shape[0] // scale), interpolation=cv2.INTER_AREA)
    result: Plane = cv2.GaussianBlur(small, (0, 0), WINDOW, borderType=cv2.BORDER_REFLECT_101)
    return np.maximum(result, np.float32(FLOOR))
