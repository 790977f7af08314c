"""The alpha of a fill: it continues the alpha around the hole, as the fill continues the colours.

A generator fills what is seen on a ground. To put the fill into a transparent picture, its alpha
must be known too. Near the hole, alpha is a linear function of what is seen on the ground
wherever few materials meet, each opaque or of one colour (Levin, Lischinski and Weiss, "A Closed
Form Solution to Natural Image Matting", 2008). That function is fitted to the known pixels and
applied to the fill, so that an edge of the alpha runs where the fill has drawn it. A smooth field
carries into the hole what the function does not explain.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.mask import BLEND, hole_of, pasted
from operators.masks.membrane import membrane
from operators.rows.arrays import Pixels
from operators.rows.transparency import Transparency, lay, lay_again, lift

NEAR = 16
"""Distance in pixels from the hole within which the known alpha counts."""
RIDGE = 64.0
"""Variance in squared grey levels below which colours do not explain the alpha."""
SAME = 8
"""Difference of alpha that is no more than an error of the fit."""
MOST = 0.5
"""Share of the known alpha that has one value if the fill has this value too."""
JUDGED_GROUNDS = (0, 128, 255)
"""Plain grounds on which a fill is judged; between them the picture changes linearly."""
CHECKER_SIDE = 8
"""Side in pixels of the squares of the chequered ground."""
CHECKER_LEVELS = (153, 102)
"""Grey levels of the squares."""

Plane = npt.NDArray[np.float32]


def lift_fill(pixels: Pixels, fill: Pixels, mask: Pixels, seen: Transparency) -> tuple[Pixels, Pixels]:
    """The colours (uint8 height x width x 3) and the alpha (uint8 height x width) of a fill.

    `pixels` and `fill` lie on the ground of `seen`, which has the alpha of `pixels`.
    """
    alpha = fill_alpha(pixels, fill, seen.alpha, hole_of(mask) > 0)
    return lift(fill, Transparency(alpha, seen.ground)), alpha


def fill_alpha(pixels: Pixels, fill: Pixels, alpha: Pixels, hole: npt.NDArray[np.bool_]) -> Pixels:
    """The alpha with its hole filled; outside the hole it is unchanged.

    `pixels` and `fill` (uint8 height x width x 3) lie on the same ground. Where the known alpha
    near the hole has one value, the hole has exactly this value. Where the alpha runs smoothly
    through the hole, the text does not show in it, and it stays as it is.
    """
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)
    known = ~hole & (distance <= NEAR)
    if not known.any() or not hole.any():
        return alpha
    values = alpha[known]
    result = alpha.copy()
    least, largest = int(values.min()), int(values.max())
    if least == largest:
        result[hole] = least
        return result
    if np.abs(alpha - _continued(alpha.astype(np.float32), known))[hole].max() <= SAME:
        return result
    fit = _LinearFit.of(pixels[known], values)
    residual = np.where(known, alpha - fit.alpha(pixels), 0).astype(np.float32)
    field = _continued(residual, known)
    filled = np.clip(np.rint(fit.alpha(fill) + field), least, largest)
    counts = np.bincount(values, minlength=256)
    common = int(counts.argmax())
    if counts[common] >= MOST * values.size:
        filled[np.abs(filled - common) <= SAME] = common
    result[hole] = filled[hole].astype(np.uint8)
    return result


def _continued(values: Plane, known: npt.NDArray[np.bool_]) -> Plane:
    """The smoothest plane through the known values."""
    return membrane(np.repeat(values[:, :, None], 3, axis=2), known.astype(np.float32), known)[:, :, 0]


@dataclass(frozen=True)
class _LinearFit:
    """The alpha as a linear function of the colours that are seen."""

    slope: npt.NDArray[np.float64]
    """Alpha per grey level of red, green and blue."""
    level: float
    """The alpha of black."""

    @classmethod
    def of(cls, colours: Pixels, alpha: Pixels) -> _LinearFit:
        """The ridge regression of alpha (uint8, number) on colours (uint8, number x 3)."""
        middle, level = colours.mean(axis=0), alpha.mean()
        centred = colours - middle
        covariance = centred.T @ centred / len(alpha) + RIDGE * np.eye(3)
        slope = np.linalg.solve(covariance, centred.T @ (alpha - level) / len(alpha))
        return cls(slope, float(level - middle @ slope))

    def alpha(self, pixels: Pixels) -> Plane:
        """The alpha of pixels (uint8 height x width x 3), not clipped to 0..255."""
        return (pixels @ self.slope + self.level).astype(np.float32)


def paste_on_grounds(pixels: Pixels, fill: Pixels, mask: Pixels, seen: Transparency) -> list[Pixels]:
    """A transparent crop with its fill, as it will be seen on several grounds.

    The first is the ground of `seen`, on which `pixels` and `fill` lie; then follow
    JUDGED_GROUNDS and a chequered ground.
    """
    colours, alpha = lift_fill(pixels, fill, mask, seen)
    grounds: list[int | Pixels] = [seen.ground, *(ground for ground in JUDGED_GROUNDS if ground != seen.ground)]
    grounds.append(_checkered(alpha.shape[0], alpha.shape[1]))
    return [pasted(lay_again(pixels, seen, ground), lay(colours, alpha, ground), mask[:, :, BLEND]) for ground in grounds]


def _checkered(height: int, width: int) -> Pixels:
    """A chequered ground, uint8 height x width x 1."""
    down, across = np.arange(height)[:, None] // CHECKER_SIDE, np.arange(width)[None] // CHECKER_SIDE
    return np.where((down + across) % 2, *CHECKER_LEVELS).astype(np.uint8)[:, :, None]
