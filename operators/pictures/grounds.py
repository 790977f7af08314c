"""Grounds on which a transparent picture is seen: grey levels that its own colours stand out from.

Letters of a transparent picture have to be found, filled and judged as a viewer sees them, and a
viewer sees them on some ground. White letters can only be seen on a dark one.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.arrays import LUMA_WEIGHTS, Pixels

GROUNDS = (255, 0, 128, 192, 64)
"""The grey levels, in the order in which they are preferred where they serve equally well."""
LEAST_ALPHA = 16
"""Alpha, of 255, below which a pixel's colour is left out."""
CONTRAST = 40.0
"""Grey levels by which colours stand out from a ground that serves well."""
NEAR = 24
"""Distance in pixels from the nearest pixel that is not opaque, within which colours count."""
MOST_PIXELS = 250_000
"""Pixels that are looked at; of larger pictures every n-th row and column."""
HIDDEN_SHARE = 0.002
"""Share of the colours that a ground may hide before a second one is looked at as well."""
BINS = 32


def choose_grounds(colours: Pixels, alpha: Pixels) -> tuple[int, ...]:
    """The grey level that shows a picture best, and another one for colours that it hides.

    `colours` are uint8 height x width x 3 without their alpha, `alpha` is uint8 height x width.
    Rare colours count more than in proportion, because letters are small. The choice depends on
    the colours near transparent pixels alone; elsewhere the ground cannot be seen.
    """
    step = max(1, int(np.ceil((alpha.size / MOST_PIXELS) ** 0.5)))
    colours, alpha = colours[::step, ::step], alpha[::step, ::step]
    size = 2 * max(1, NEAR // step) + 1
    near = cv2.dilate((alpha < 255).astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    luma = colours[near & (alpha >= LEAST_ALPHA)].astype(np.float32) @ np.array(LUMA_WEIGHTS, np.float32)
    if not luma.size:
        return (GROUNDS[0],)
    counts = np.bincount((luma * (BINS / 256)).astype(np.int64), minlength=BINS)
    importance = np.sqrt(counts / counts.sum())
    best = _clearest(importance)
    hidden = np.abs(_levels() - best) < CONTRAST
    if counts[hidden].sum() <= HIDDEN_SHARE * counts.sum():
        return (best,)
    return best, _clearest(np.where(hidden, importance, 0))


def _clearest(importance: npt.NDArray[np.float64]) -> int:
    """The ground from which the levels stand out most, weighted by their importance."""
    levels = _levels()
    costs = [float((importance * np.exp(-(((levels - ground) / CONTRAST) ** 2))).sum()) for ground in GROUNDS]
    return GROUNDS[int(np.argmin(np.round(costs, 3)))]


def _levels() -> npt.NDArray[np.float64]:
    """The luma in the middle of each bin."""
    return (np.arange(BINS, dtype=np.float64) + 0.5) * (256 / BINS)
