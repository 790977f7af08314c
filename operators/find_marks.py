"""`find_marks`: where does a known mark lie, and how strongly?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import pyarrow as pa

from operators.marks.colour_fit import fitted
from operators.marks.mark import LEAST_ALPHA, write_mark
from operators.marks.mark_folder import load_marks
from operators.marks.removal import Found
from operators.marks.rendering import rendered
from operators.marks.search import find_mark
from operators.masks.geometry import Polygon, rasterised, stroke_height
from operators.masks.mask import dilated
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.arrays import Pixels, Selection
from operators.rows.box import Box
from operators.rows.overlay import Overlay
from operators.rows.records import JsonObject, RegionRecord
from operators.rows.regions import FOUND_COLUMNS, new_region
from operators.rows.table import Additions, Row, map_rows

RIM = 1
"""Pixels around a mark's strokes that its mask covers too."""
SAME = 0.6
"""Share of a text's area in a mark's strokes, widened to words, from which the text is the mark."""


@dataclass(frozen=True)
class FindMarks(Operator):
    """Find the known marks of a folder in the image: place, size, turn and opacity.

    Each place becomes a region of the kind `mark`, which carries the mark's alpha and colour for
    every pixel, so that a rung can take it off instead of inventing what is below. A text that
    `detect` has found is dropped if the mark is what it says. Marks come before texts, so that a
    text across a mark is filled last.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256", "regions.polygons", "regions.kind", "regions.state")
    adds: ClassVar[tuple[str, ...]] = (
        "regions.polygons",
        "regions.kind",
        "regions.probability",
        "regions.state",
        "regions.mark",
        "regions.opacity",
        "regions.overlay",
    )
    marks: str = ""
    """A picture of a mark, or a folder of them with a `marks.yaml`: a path or an fsspec URL."""
    limits: Limits = Limits()

    @property
    def name(self) -> str:
        """`find_marks`."""
        return "find_marks"

    def check(self) -> None:
        """Raise the RunError of `load_marks`."""
        load_marks(self.marks)

    def open(self) -> None:
        """Read the marks."""
        load_marks(self.marks)

    def settings(self) -> JsonObject:
        """The fields, with what is looked for and a checksum of every mark."""
        marks = [
            {"name": mark.name, "sha256": hashlib.sha256(write_mark(mark)).hexdigest(), **vars(mark.search)}
            for mark in load_marks(self.marks)
        ]
        return {**super().settings(), "known": marks}

    def apply(self, batch: pa.Table) -> pa.Table:
        """Find marks in the images of one batch."""
        return map_rows(batch, self.name, FOUND_COLUMNS, self._find)

    def _find(self, row: Row) -> Additions | None:
        picture = FRAME_CACHE.picture(row, self.limits)
        rgb = picture.rgb()
        found = [one for mark in load_marks(self.marks) for one in find_mark(rgb, mark)]
        if not found:
            return None
        frame = Box(0, 0, *picture.size)
        places = [place for place in (self._place(rgb, one, frame) for one in found) if place is not None]
        covered = np.zeros((frame.height, frame.width), bool)
        for box, overlay, _ in places:
            covered[box.inside(frame)] |= overlay.alpha > LEAST_ALPHA
        others = [record for record in (region.record() for region in row.regions) if not _is_mark(record, covered)]
        return {
            "width": frame.width,
            "height": frame.height,
            "mode": picture.mode,
            "regions": [*(_region(*place) for place in places), *others],
        }

    def _place(self, rgb: Pixels, found: Found, frame: Box) -> tuple[Box, Overlay, Found] | None:
        """Where a mark lies within the picture, and its alpha and colour there."""
        box = _cut(found.pose.box(found.mark.alpha.shape[1], found.mark.alpha.shape[0], margin=RIM + 1), frame)
        if box is None:
            return None
        overlay = rendered(found.mark, found.pose, box, found.strength)
        if not found.mark.certain:
            overlay = fitted(rgb[box.inside(frame)], overlay)
        return (box, overlay, found) if (overlay.alpha > LEAST_ALPHA).any() else None


def _cut(box: Box, frame: Box) -> Box | None:
    left, top = max(0, box.x), max(0, box.y)
    right, bottom = min(frame.width, box.x + box.width), min(frame.height, box.y + box.height)
    return Box(left, top, right - left, bottom - top) if left < right and top < bottom else None


def _region(box: Box, overlay: Overlay, found: Found) -> RegionRecord:
    """The region of a mark: its corners, its strokes as the probability, and the mark itself."""
    strokes = dilated(np.where(overlay.alpha > LEAST_ALPHA, 255, 0).astype(np.uint8), RIM)
    corners = found.pose.corners(found.mark.alpha.shape[1], found.mark.alpha.shape[0])
    region = new_region([corners], min(1.0, found.score), "mark", strokes, box, origin="find_marks")
    opacity = float(np.percentile(overlay.alpha[overlay.alpha > LEAST_ALPHA], 98))
    return {**region, "mark": found.mark.name, "opacity": opacity, "overlay": overlay.record(box)}


def _is_mark(record: RegionRecord, covered: Selection) -> bool:
    """Whether a found text is nothing but letters of a mark, whose strokes are `covered`."""
    return record["kind"] == "text" and any(_inside(polygon, covered) for polygon in record["polygons"])


def _inside(polygon: Polygon, covered: Selection) -> bool:
    frame = Box(0, 0, covered.shape[1], covered.shape[0])
    area = rasterised([polygon], frame) > 0
    gap = max(1, round(stroke_height(polygon) / 2))
    words = cv2.morphologyEx(covered.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((2 * gap + 1, 2 * gap + 1), np.uint8)) > 0
    return bool((words & area).sum() > SAME * max(1, area.sum()))
