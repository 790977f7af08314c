"""Limit the detail that an upscaler adds to what the source makes plausible.

The detail is compared octave by octave with the resampled source. Octaves that the source holds
completely are taken from the source, so that colours and brightness do not shift. In the source's
finest octave and in those beyond it, the energy around each pixel is limited to what the source's
spectrum predicts; louder bands are turned down. Finally each value is kept within the range of
the source around it, which prevents halos and ringing.

An isolated stroke on flat ground is the exception: if it was thinner than a source pixel, it is
paler in the source than it was, and may become darker (or lighter) again.
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
"""Sigma in pixels of the Gaussian that removes the finest octave.

It doubles with each octave, as in `operators.metrics.naturalness.octave_bands`.
"""
WINDOW = 2.0
"""Sigma, in source pixels, of the neighbourhood over which energy is averaged."""
FLOOR = (0.5 / 255) ** 2
"""Least energy that is assumed of a band: half a grey level, squared."""


@dataclass(frozen=True)
class Guard:
    """Limits on the energy of bands and on values outside the source's local range."""

    loudness: float = 4.0
    """Most energy of a band, as a multiple of the predicted energy.

    The prediction is off by a factor of two, on letters by more.
    """
    fall: float = 0.75
    """Exponent by which the spectrum is continued beyond the source.

    The next octaves are predicted to have the finest octave's energy times (finest / next
    coarser) ** `fall`.
    """
    overshoot: float = 0.0
    """How far a value may leave the source's local range, as a share of that range."""
    stroke_overshoot: float = 3.0
    """How much an isolated stroke on flat ground may gain, as a multiple of its contrast.

    A stroke a quarter of a pixel wide needs 3.
    """
    flatness: float = 10.0
    """How flat the ground must be: factor on (local deviation / local range).

    Where the product reaches 1 nothing counts as an isolated stroke.
    """
    radius: int = 1
    """Source pixels in each direction that make up the local range."""

    def limit_bands(self, result: Colour, source: Colour, scale: int, base: Colour | None = None) -> Colour:
        """`result` with its bands turned down and its values kept in range.

        `result` has values 0..1 and is `scale` times as large as `source`. `base` is the source
        resampled to the result's size; without it, it is computed.
        """
        if base is None:
            base = resampled(source, (result.shape[1], result.shape[0]))
        return self.in_range(self._turn_down(result, base, scale), source, scale)

    def _turn_down(self, result: Colour, base: Colour, scale: int) -> Colour:
        finest = round(math.log2(scale))
        base_bands = _bands(_luma(base), finest + 2)
        finest_energy, coarser_energy = (_energy(base_bands[octave], scale) for octave in (finest, finest + 1))
        fall = np.minimum(finest_energy / coarser_energy, 1.0) ** self.fall
        limited = _blurred(base, finest)
        level = result
        for octave in range(finest + 1):
            smooth = _blurred(result, octave)
            band: Colour = level - smooth
            level = smooth
            allowed = self.loudness * (finest_energy if octave == finest else finest_energy * fall)
            gain = np.sqrt(np.minimum(1.0, allowed / _energy(_luma(band), scale)))
            limited = limited + band * cv2.resize(gain, band.shape[1::-1], interpolation=cv2.INTER_LINEAR)[:, :, None]
        return limited

    def in_range(self, values: Colour, source: Colour, scale: int) -> Colour:
        """Values clipped to the range of the source around them; any number of channels."""
        size, side = (values.shape[1], values.shape[0]), 2 * self.radius + 1
        kernel = np.ones((side, side), np.uint8)
        low, high = cv2.erode(source, kernel).reshape(source.shape), cv2.dilate(source, kernel).reshape(source.shape)
        slack = self.overshoot * (high - low)
        paler, darker = self._strokes(source, high - low)
        low, high = (
            cv2.resize(edge, size, interpolation=cv2.INTER_NEAREST).reshape(values.shape)
            for edge in (low - slack - darker, high + slack + paler)
        )
        clipped: Colour = np.clip(values, np.maximum(low, 0), np.minimum(high, 1))
        return clipped

    def _strokes(self, source: Colour, local_range: Colour) -> tuple[Colour, Colour]:
        """How much paler a pale stroke and how much darker a dark one may become at each pixel.

        A stroke is what a closing or an opening with 3 x 3 pixels fills. It is isolated if the
        median deviation from the median of the 5 x 5 pixels around it is almost zero; in texture
        it is part of the local range.
        """
        planes = [np.ascontiguousarray(source[:, :, channel]) for channel in range(source.shape[2])]
        spread = [cv2.medianBlur(np.abs(plane - cv2.medianBlur(plane, 5)), 5) for plane in planes]
        deviation = np.stack(spread, axis=2)
        isolated = np.clip(1 - self.flatness * deviation / np.maximum(local_range, np.float32(1e-3)), 0, 1)
        kernel = np.ones((3, 3), np.uint8)
        pale = source - cv2.morphologyEx(source, cv2.MORPH_OPEN, kernel).reshape(source.shape)
        dark = cv2.morphologyEx(source, cv2.MORPH_CLOSE, kernel).reshape(source.shape) - source
        paler, darker = (
            self.stroke_overshoot * isolated * cv2.dilate(strokes, kernel).reshape(source.shape) for strokes in (pale, dark)
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
    """The mean squared value around each source pixel, at least FLOOR."""
    squared = np.ascontiguousarray(band.reshape(band.shape[:2]) ** 2)
    small = cv2.resize(squared, (band.shape[1] // scale, band.shape[0] // scale), interpolation=cv2.INTER_AREA)
    result: Plane = cv2.GaussianBlur(small, (0, 0), WINDOW, borderType=cv2.BORDER_REFLECT_101)
    return np.maximum(result, np.float32(FLOOR))
