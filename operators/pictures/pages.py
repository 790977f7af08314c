"""The pages of a file as one tall picture, and what stands still from one page to another.

Pages are the pages of a TIFF, or the frames of an animation as a viewer shows them. Operators see
them one below the other, so each is found, filled and judged as any other part of a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from operators.rows.box import Box

GAP, GRID = 32, 64
"""The least rows between two pages, and the rows of which the place of a page is a multiple."""
STILL, GRAIN, AROUND = 5.0, 64, 7
"""What may differ where a page stands still, in levels of 255: the mean of the AROUND x AROUND
pixels around a pixel by STILL, and the pixel itself by GRAIN.

Dithering and lossy coding repeat with so much noise what stands still.
"""
WHOLLY, MOSTLY = 0.98, 0.9
"""Shares of an edit's pixels that stand still where a page repeats another one, and where it gets
the edit of another one, having none.
"""
NEAR = 4
"""Changed pixels that are at most twice this far apart are one edit."""

Samples = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Page:
    """Where one page of a file is in the picture of all its pages, in stored pixels.

    Pages lie one below the other, at the left edge. What is beside and between them belongs to no
    page, and no edit changes it.
    """

    top: int
    height: int
    width: int

    @property
    def area(self) -> tuple[slice, slice]:
        """Its rows and columns."""
        return slice(self.top, self.top + self.height), slice(0, self.width)


def stacked(sizes: Sequence[tuple[int, int]]) -> tuple[Page, ...]:
    """Where pages of these heights and widths are in the picture of all."""
    result: list[Page] = []
    top = 0
    for height, width in sizes:
        result.append(Page(top, height, width))
        top = -(-(top + height + GAP) // GRID) * GRID
    return tuple(result)


def extend_edges(stored: Samples, pages: Sequence[Page]) -> None:
    """Fill the rows between pages of one width with the nearest row of a page, in place.

    So what fills a hole at the edge of a frame sees the frame's colours, and no white.
    """
    for page, after in pairwise(pages):
        end = page.top + page.height
        middle = (end + after.top) // 2
        stored[end:middle], stored[middle : after.top] = stored[end - 1], stored[after.top]


def stands_still(stored: Samples, peak: int, one: Page, other: Page, box: Box) -> bool:
    """Whether two pages of one size show the same in a box, which is in pixels of a page."""
    place = np.s_[max(0, box.y) : max(0, box.y + box.height), max(0, box.x) : max(0, box.x + box.width)]
    still = unchanged(stored[one.area], stored[other.area], peak, place)
    return bool(still.mean() >= WHOLLY) if still.size else True


def unchanged(one: Samples, other: Samples, peak: int, place: tuple[slice, slice]) -> Mask:
    """Which pixels of a place of two pages show the same, see STILL."""
    if np.array_equal(one[place], other[place]):
        return np.ones(one[place].shape[:2], bool)
    rows, columns = place
    top, left = min(rows.start, AROUND), min(columns.start, AROUND)
    wide = np.s_[rows.start - top : rows.stop + AROUND, columns.start - left : columns.stop + AROUND]
    off = (one[wide].astype(np.float32) - other[wide]) * (255 / peak)
    mean = cv2.blur(off, (AROUND, AROUND)).reshape(off.shape)
    same = ((np.abs(mean) <= STILL) & (np.abs(off) <= GRAIN)).all(axis=2)
    height, width = one[place].shape[:2]
    result: Mask = same[top : top + height, left : left + width]
    return result


def settle(source: Samples, stored: Samples, changed: Mask, pages: Sequence[Page], peak: int) -> None:
    """Make an edit alike on every page on which its ground stands still.

    `source` are the samples before the edit. `stored` and `changed` are written to in place.

    Of the edits of pages that show the same there, the first one counts, so that nothing
    flickers. A page without an edit gets it if MOSTLY of its pixels stand still, and only there.
    """
    done = [np.zeros((page.height, page.width), bool) for page in pages]
    for number, page in enumerate(pages):
        own = changed[page.area] & ~done[number]
        if not own.any():
            continue
        labels = _edits(own)
        for label, (left, top, width, height, _) in enumerate(labels[1]):
            if label == 0:
                continue
            place = np.s_[top : top + height, left : left + width]
            mask = own[place] & (labels[0][place] == label)
            if mask.any():
                _repeat(source, stored, changed, pages, number, place, mask, done, peak)


def _edits(mask: Mask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """The number of the edit that each pixel belongs to, and the boxes of the edits."""
    wide = cv2.dilate(mask.astype(np.uint8), np.ones((2 * NEAR + 1, 2 * NEAR + 1), np.uint8))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(wide)
    return labels, boxes


def _repeat(
    source: Samples,
    stored: Samples,
    changed: Mask,
    pages: Sequence[Page],
    first: int,
    place: tuple[slice, slice],
    mask: Mask,
    done: list[Mask],
    peak: int,
) -> None:
    """Give an edit of the page `first` to the later and earlier pages that stand still there."""
    before, after = source[pages[first].area], stored[pages[first].area][place]
    for number, page in enumerate(pages):
        if number == first:
            continue
        there, own = source[page.area], changed[page.area][place] & mask
        still = unchanged(before, there, peak, place) & mask
        if still.sum() >= WHOLLY * mask.sum():
            still = mask
        elif own.any() or still.sum() < MOSTLY * mask.sum():
            continue
        if number < first and own.any():
            continue
        stored[page.area][place][still] = after[still]
        changed[page.area][place][still] = (stored[page.area][place] != there[place]).any(axis=2)[still]
        done[number][place] |= still
