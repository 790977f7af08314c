"""Whether straight edges go on through a fill: rules of tables, borders of panels, axes,
outlines.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.metrics.continuity import luma
from operators.rows.arrays import Pixels, Selection

STRONG = 24.0
"""Grey levels per pixel from which a step counts as an edge."""
STRAIGHT = 0.8
"""Coherence of the directions around a pixel, 0..1, from which its edge counts as straight."""
WIDE = 2.0
"""Sigma in pixels of the neighbourhood in which directions are compared."""
KEPT = 0.5
"""Share of the true edge's strength that the edge in a fill needs."""
TURNED = 0.9
"""Least cosine between the directions of the true edge and of the one in a fill."""


def _slopes(rgb: Pixels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    grey = luma(rgb).astype(np.float32)
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *order, ksize=3) / 8 for order in ((1, 0), (0, 1)))
    return across, down


def straight_edges(truth: Pixels) -> Selection:
    """The pixels of straight edges in a picture (uint8 height x width x 3)."""
    across, down = _slopes(truth)
    flat = (cv2.GaussianBlur(part, (0, 0), WIDE) for part in (across * across, down * down, across * down))
    xx, yy, xy = flat
    coherence = np.hypot(xx - yy, 2 * xy) / np.maximum(xx + yy, 1e-6)
    selected: Selection = (np.hypot(across, down) * 2 > STRONG) & (coherence > STRAIGHT)
    return selected


def broken_edges(result: Pixels, truth: Pixels, edited: Selection) -> float:
    """The share of the truth's straight edge pixels in the edited place where the result has no
    edge of the same direction and strength within a pixel. NaN if there is no straight edge.
    """
    wanted = straight_edges(truth) & edited
    if not wanted.any():
        return float("nan")
    across, down = _slopes(truth)
    strength = np.hypot(across, down)
    found_across, found_down = _slopes(result)
    found = np.zeros_like(wanted)
    for move in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
        near_across, near_down = (np.roll(part, move, (0, 1)) for part in (found_across, found_down))
        near = np.hypot(near_across, near_down)
        along = near_across * across + near_down * down
        found |= (along > TURNED * near * strength) & (near > KEPT * strength)
    return float((wanted & ~found).sum() / wanted.sum())
