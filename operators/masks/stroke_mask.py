"""From stroke probabilities to mask weights: what counts as a stroke, how it grows and fades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from operators.masks.mask import dilated, feathered
from operators.rows.arrays import Pixels, Selection

Probability = npt.NDArray[np.float32]
StrokeSource = Literal["given", "found", "polygon"]
"""Where the strokes of a mask come from, as the row's `strokes` says."""
GIVEN: StrokeSource = "given"
"""The user's own mask: its weights are used unchanged."""
FOUND: StrokeSource = "found"
"""The strokes that the stroke network found inside the polygons."""
POLYGON: StrokeSource = "polygon"
"""The filled polygons, because the network could not separate strokes from the picture."""


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
        """The core of strokes (0 or 255) of a line `height` pixels high, grown over faint edges."""
        return dilated(strokes, max(self.least_dilation, round(self.dilation * height)))

    def certainty(self, probability: Probability) -> Pixels:
        """How strongly each pixel of found strokes is replaced, 0..255, from probabilities 0..1."""
        result: Pixels = np.rint(np.clip(probability / np.float32(self.certain), 0, 1) * 255).astype(np.uint8)
        return result

    def weight(self, core: Pixels, certainty: Pixels, strokes: StrokeSource) -> Pixels:
        """The weights at paste-back of a core; all maps are uint8 height x width, 0..255.

        Found strokes fade within their core, because every pixel beyond it belongs to the
        picture. A polygon is replaced as a whole and fades outside.
        """
        return np.minimum(core, certainty) if strokes == FOUND else feathered(core, self.feather)
