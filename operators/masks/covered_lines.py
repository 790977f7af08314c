"""The rules of a page that are seen between large letters, which cover them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from operators.masks.ink import SAME_COLOUR, has_colour
from operators.masks.mask import dilated
from operators.masks.straight_lines import LEAST_EDGE
from operators.rows.arrays import Pixels, Selection

LEAST_PIECES = 16
"""Pixels of a line that are seen at least, in all gaps together."""
ASIDE = 6
"""Distance in pixels above and below a line at which the ground beside it is measured."""
LETTER_RIM = 2
"""Pixels beside ink that are mixed with what the letter covers."""
LEAST_COVERED = 0.15
"""Share of a line's length that letters cover at least, if they cover it."""
LEAST_GAPS = 3
"""Places between letters at which a line that they cover is seen at least."""


def covered_lines(rgb: Pixels, thin: Selection, ink: npt.NDArray[np.float64], least_length: float) -> Selection:
    """The pieces of level and upright lines that are seen in every gap of the letters which cover
    them.

    Such a line is thin, of one colour that is not the ink's, and along it there is nothing but its
    own colour and ink. Bars of letters end where their letter ends, and what strikes letters out
    lies over their ink. `rgb` is uint8 height x width x 3, `thin` says which of its pixels are as
    thin as a line, `ink` is the colour of the letters, and `least_length` is in pixels.
    """
    inked = has_colour(rgb, ink, SAME_COLOUR)
    level = _level_lines(rgb, thin, inked, least_length)
    return level | _level_lines(rgb.swapaxes(0, 1), thin.T, inked.T, least_length).T


def _level_lines(rgb: Pixels, thin: Selection, inked: Selection, least_length: float) -> Selection:
    """The pieces of level lines; `inked` are the pixels of the ink's colour."""
    # The rims of letters are mixed with what they cover.
    covering = dilated(np.ascontiguousarray(inked, np.uint8), LETTER_RIM) > 0
    result = np.zeros_like(thin)
    for row in np.flatnonzero(_may_be_covered(thin, inked, covering, least_length)):
        pieces = np.flatnonzero(thin[row] & ~covering[row])
        colour = np.median(rgb[row, pieces], axis=0)
        sides = (
            np.median(rgb[place][pieces], axis=0) for place in (max(0, int(row) - ASIDE), min(len(rgb) - 1, int(row) + ASIDE))
        )
        step = min(float(np.abs(colour - side).max()) for side in sides)
        if step < LEAST_EDGE:
            continue
        own = has_colour(rgb[row : row + 1], colour, step / 2)[0]
        for first, last in _runs(own | covering[row]):
            if last - first <= least_length:
                continue
            seen = np.flatnonzero(own[first:last] & thin[row, first:last]) + first
            if not len(seen) or seen[-1] - seen[0] < least_length:
                continue
            place = slice(int(seen[0]), int(seen[-1]) + 1)
            gaps = len(_runs(~covering[row, place]))
            if inked[row, place].mean() >= LEAST_COVERED and gaps >= LEAST_GAPS:
                result[row, place] |= own[place] & ~covering[row, place]
    return result


def _may_be_covered(thin: Selection, inked: Selection, covering: Selection, least_length: float) -> Selection:
    """The rows in which a line may be that letters cover, from their counts of pixels alone."""
    seen = (thin & ~covering).sum(axis=1) >= LEAST_PIECES
    covered = inked.sum(axis=1) >= LEAST_COVERED * least_length
    gaps = (~covering[:, 1:] & covering[:, :-1]).sum(axis=1) + 1 >= LEAST_GAPS
    result: Selection = seen & covered & gaps
    return result


def _runs(chosen: Selection) -> list[tuple[int, int]]:
    """The first place of each run of chosen ones in a row, and the first one after it."""
    borders = np.flatnonzero(np.diff(np.concatenate([[0], chosen.astype(np.int8), [0]])))
    return [(int(first), int(last)) for first, last in zip(borders[::2], borders[1::2], strict=True)]
