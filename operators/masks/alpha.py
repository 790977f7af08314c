"""The alpha of a fill: it continues the alpha around the hole, as the fill continues the colours.

A generator fills what is seen on a ground. To put the fill into a transparent picture, its alpha
must be known too. Near the hole, alpha is a linear function of what is seen on the ground
wherever few materials meet, each opaque or of one colour (Levin, Lischinski and Weiss, "A Closed
Form Solution to Natural Image Matting", 2008). That function is fitted to the known pixels and
applied to the fill, so that an edge of the alpha runs where the fill has drawn it. A smooth field
carries into the hole what the function does not explain.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.mask import BLEND, hole_of, pasted
from operators.masks.membrane import membrane
from operators.rows.arrays import Pixels, Selection
from operators.rows.transparency import Transparency, lay, lay_again, lift

NEAR = 16
"""Distance in pixels from the hole within which the known alpha counts."""
RIDGE = 64.0
"""Variance in squared grey levels below which colours do not explain the alpha."""
WINDOW = 8.0
"""Standard deviation in pixels of the window in which the alpha follows the colours."""
LEAST_KNOWN = 1e-4
"""Share of a window that is known, below which the whole crop counts more than the window."""
PAIRS = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
"""The pairs of channels of a covariance."""
SAME = 8
"""Difference of alpha that is no more than an error of the fit."""
MOST = 0.5
"""Share of the known alpha that has one value if the fill has this value too."""
JUDGED_GROUNDS = (0, 128, 255)
"""GroundCache on which a fill is judged.

Between them the picture changes linearly, and each square of a chequered ground is one of those
between. A chequered ground itself would add edges of its own, which look like strokes.
"""
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
    seen = np.where(hole[:, :, None], fill, pixels)
    fit = _fit_alpha(pixels, alpha, known, known | hole, seen)
    residual = np.where(known, alpha - fit, 0).astype(np.float32)
    field = _continued(residual, known)
    filled = np.clip(np.rint(fit + field), *_range_around(alpha, known))
    counts = np.bincount(values, minlength=256)
    common = int(counts.argmax())
    if counts[common] >= MOST * values.size:
        filled[np.abs(filled - common) <= SAME] = common
    result[hole] = filled[hole].astype(np.uint8)
    return result


def _continued(values: Plane, known: Selection) -> Plane:
    """The smoothest plane through the known values."""
    return membrane(np.repeat(values[:, :, None], 3, axis=2), known.astype(np.float32), known)[:, :, 0]


def _range_around(alpha: Pixels, known: Selection) -> tuple[Pixels, Pixels]:
    """The least and the largest known alpha within NEAR pixels, or of all where none is known."""
    square = np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8)
    least = cv2.erode(np.where(known, alpha, 255).astype(np.uint8), square)
    largest = cv2.dilate(np.where(known, alpha, 0).astype(np.uint8), square)
    far = cv2.dilate(known.astype(np.uint8), square) == 0
    least[far], largest[far] = alpha[known].min(), alpha[known].max()
    return least, largest


def _fit_alpha(pixels: Pixels, alpha: Pixels, known: Selection, places: Selection, fill: Pixels) -> Plane:
    """The alpha of a fill in some places, from a linear fit to the known pixels around each.

    The fit is the guided filter's (He, Sun and Tang, "Guided Image Filtering", 2013), with a
    Gaussian window that skips unknown pixels. Far from them it is the fit to all known pixels.
    """
    weight = known.astype(np.float64)
    colours, values = pixels.astype(np.float64), alpha.astype(np.float64)
    products = [colours[:, :, first] * colours[:, :, second] for first, second in PAIRS]
    with_alpha = [colours[:, :, channel] * values for channel in range(3)]
    moments = np.stack([*colours.transpose(2, 0, 1), values, *products, *with_alpha], axis=2)
    whole = moments[known].mean(axis=0)
    local = [cv2.GaussianBlur(moments[:, :, number] * weight, (0, 0), WINDOW) for number in range(moments.shape[2])]
    around = cv2.GaussianBlur(weight, (0, 0), WINDOW)[places][:, None]
    mean = (np.stack([plane[places] for plane in local], axis=1) + LEAST_KNOWN * whole) / (around + LEAST_KNOWN)
    middle, level = mean[:, :3], mean[:, 3]
    covariance = np.zeros((len(mean), 3, 3))
    for number, (first, second) in enumerate(PAIRS):
        covariance[:, first, second] = covariance[:, second, first] = mean[:, 4 + number] - middle[:, first] * middle[:, second]
    slope = np.linalg.solve(covariance + RIDGE * np.eye(3), (mean[:, 10:] - middle * level[:, None])[:, :, None])[:, :, 0]
    result = np.zeros(known.shape, np.float32)
    result[places] = level + ((fill[places] - middle) * slope).sum(axis=1)
    return result


def paste_on_grounds(pixels: Pixels, fill: Pixels, mask: Pixels, seen: Transparency) -> list[Pixels]:
    """A transparent crop with its fill, as it will be seen on several grounds.

    The first is the ground of `seen`, on which `pixels` and `fill` lie; the others of
    JUDGED_GROUNDS follow.
    """
    colours, alpha = lift_fill(pixels, fill, mask, seen)
    grounds = (seen.ground, *(ground for ground in JUDGED_GROUNDS if ground != seen.ground))
    return [pasted(lay_again(pixels, seen, ground), lay(colours, alpha, ground), mask[:, :, BLEND]) for ground in grounds]
