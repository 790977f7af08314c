"""Whitening of edges, so that those of pictures are like noise.

The edges of pictures recur nearby: along a trunk, or on every leaf of a tree. A plain correlation
of two fields of edges is therefore large at many places by chance. Each frequency is divided by the
power that it has in the edges of photographs. What is left is nearly independent from pixel to
pixel.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from operators.rows.overlay import Plane

FALL = 0.2
"""Frequency in cycles per pixel at which edges lose power, because pictures are smoothed first."""
LOWEST, HIGHEST = 0.01, 0.3
"""Frequencies between which edges are whitened. The highest ones change with parts of a pixel."""


@lru_cache(maxsize=16)
def whitening(size: tuple[int, int]) -> Plane:
    """The weight of each frequency: one over its power in the edges of photographs.

    The power falls with one over the frequency, and by the smoothing of the copy.
    """
    down, across = np.fft.fftfreq(size[0]), np.fft.rfftfreq(size[1])
    frequency = np.clip(np.hypot(down[:, None], across[None]), LOWEST, HIGHEST)
    weights: Plane = (frequency * np.exp((frequency / FALL) ** 2)).astype(np.float32)
    return weights / np.float32(weights.max())
