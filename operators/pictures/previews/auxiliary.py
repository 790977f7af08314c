"""Pictures that accompany the first one and are no copies of it: gain maps and other views.

A map (the gain map of an HDR photograph, a depth map) is filled from its surroundings where the
picture was edited. Another view of the same scene (a stereo pair, a copy before an effect) gets
the edit at the place where it shows what was edited. In both, only the blocks that this touches
are coded again.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from operators.pictures.colour import Samples
from operators.pictures.formats import jpeg
from operators.pictures.picture import Edited
from operators.rows.arrays import Pixels

Mask = npt.NDArray[np.bool_]
MAP_MARGIN = 2
"""Pixels of a map beside the edit that are filled too; a map is blurred by its smaller size."""
MARGIN = 8
"""Pixels around an edit by which its place in another view is found."""
SHIFT = (0.02, 0.1)
"""How far, as shares of height and width, an edit may be from its place in the first picture."""
LEAST_LIKENESS = 0.8
"""Correlation above which a place in another view shows what was edited."""
LEAST_CONTRAST = 2.0
"""Standard deviation in grey levels below which a place cannot be found."""


def map_filled(old: bytes, edited: Edited) -> bytes:
    """A map (JPEG) without a trace of what was erased.

    Raises Failure, OSError or ValueError for one that cannot be read or written.
    """
    picture = jpeg.decode(jpeg.header(old), old)
    height, width = picture.stored.shape[:2]
    hole = _scaled(edited.changed, width, height, MAP_MARGIN)
    if not hole.any():
        return old
    stored = picture.stored.copy()
    if hole.all():
        stored[...] = np.median(stored, axis=(0, 1))
    else:
        for channel in range(stored.shape[2]):
            plane = np.ascontiguousarray(stored[:, :, channel])
            stored[:, :, channel] = cv2.inpaint(plane, hole.view(np.uint8), 3, cv2.INPAINT_TELEA)
    return jpeg.rewritten_within(old, stored, hole, len(old))


def view_edited(old: bytes, edited: Edited) -> bytes | None:
    """Another view (JPEG) with the same edit; None if it does not show what was edited.

    Raises Failure, OSError or ValueError for one that cannot be read or written.
    """
    picture = jpeg.decode(jpeg.header(old), old)
    height, width = picture.stored.shape[:2]
    rows, columns = edited.stored.shape[:2]
    if picture.stored.shape[2] != 3 or abs(width * rows / (height * columns) - 1) > 0.02:
        return None
    space = edited.picture.space
    before, after = (
        space.to_srgb(_resized(stored, width, height).reshape(height, width, -1))
        for stored in (edited.picture.stored, edited.stored)
    )
    changed = _scaled(edited.changed, width, height, 1)
    stored, touched = picture.stored.copy(), np.zeros((height, width), bool)
    for part in _parts(changed):
        place = _find(before[part], picture.stored, part)
        if place is None:
            return None
        # The view's own brightness: the median difference where nothing was edited.
        hole, kept = changed[part], ~changed[part]
        offset = np.zeros(3)
        if kept.any():
            offset = np.median(picture.stored[place][kept].astype(np.int16) - before[part][kept], axis=0)
        stored[place][hole] = np.clip(after[part][hole] + offset, 0, 255).astype(np.uint8)
        touched[place] |= hole
    return jpeg.rewritten_within(old, stored, touched, len(old))


def _resized(stored: Samples, width: int, height: int) -> Samples:
    shrinks = width < stored.shape[1]
    resized: Samples = cv2.resize(stored, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return resized


def _scaled(changed: Mask, width: int, height: int, margin: int) -> Mask:
    """A mask at another size, grown by a margin in pixels."""
    small = _resized(changed.astype(np.float32), width, height) > 0
    size = 2 * margin + 1
    grown: Mask = cv2.dilate(small.astype(np.uint8), np.ones((size, size), np.uint8)).view(np.bool_)
    return grown


def _parts(changed: Mask) -> Iterator[tuple[slice, slice]]:
    """Rectangles around the connected parts of an edit, with MARGIN; near ones are one part."""
    near = cv2.dilate(changed.astype(np.uint8), np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8))
    count, _, boxes, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    for left, top, width, height, _ in boxes[1:count].tolist():
        yield slice(top, top + height), slice(left, left + width)


def _find(patch: Pixels, view: Pixels, part: tuple[slice, slice]) -> tuple[slice, slice] | None:
    """Where a view shows a part of the first picture as it was; None if nowhere near."""
    down, across = (round(share * side) for share, side in zip(SHIFT, view.shape[:2], strict=True))
    top, left = max(0, part[0].start - down), max(0, part[1].start - across)
    grey = [cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY) for pixels in (patch, view)]
    if grey[0].std() < LEAST_CONTRAST:
        return None
    area = grey[1][top : part[0].stop + down, left : part[1].stop + across]
    _, likeness, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(area, grey[0], cv2.TM_CCOEFF_NORMED))
    if likeness < LEAST_LIKENESS:
        return None
    return slice(top + y, top + y + patch.shape[0]), slice(left + x, left + x + patch.shape[1])
