"""From the stroke network's probabilities to mask weights: which strokes count, how far they
grow, how they fade.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.masks.mask import dilated, feathered
from operators.rows.arrays import Pixels, Selection

Probability = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StrokeMask:
    """How the strokes of one line of text become a mask."""

    least_probability: float = 0.6
    """Probability from which a pixel counts as touched by text."""
    dilation: float = 0.02
    """Growth of the strokes, as a share of their line's height."""
    least_dilation: int = 2
    """Smallest growth of the strokes, in pixels."""
    certain: float = 0.2
    """Probability from which the paste-back has full weight. In the dilated rim of the strokes,
    where the probability is lower, the weight falls in proportion.
    """
    feather: int = 1
    """Pixels over which the paste-back fades outside a polygon that is replaced as a whole."""

    def touched(self, probability: Probability) -> Selection:
        """The pixels that text has touched, from their probabilities (0..1)."""
        return probability >= self.least_probability

    def grown(self, strokes: Pixels, height: float) -> Pixels:
        """The core of strokes (0 or 255) of a line that is `height` pixels high: dilated over
        their faint edges.
        """
        return dilated(strokes, max(self.least_dilation, round(self.dilation * height)))

    def certainty(self, probability: Probability) -> Pixels:
        """How strongly each pixel of found strokes is replaced, 0..255, from their probabilities
        (0..1).
        """
        result: Pixels = np.rint(np.clip(probability / np.float32(self.certain), 0, 1) * 255).astype(np.uint8)
        return result

    def weight(self, core: Pixels, certainty: Pixels, strokes: str) -> Pixels:
        """The paste-back's weights of a core, all uint8 height x width, 0..255.

        Strokes that were `found` fade within their core, because every pixel beyond it belongs to
        the picture. A polygon is replaced as a whole and fades outside.
        """
        return np.minimum(core, certainty) if strokes == "found" else feathered(core, self.feather)
