"""`detect`: where is the text?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.masks.geometry import Polygon, bounding_box
from operators.operator import Operator
from operators.pictures.codec import FRAMES, Limits
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import (
    ModelRecord,
    RegionRecord,
)
from operators.rows.regions import DETECTED, FOUND_COLUMNS, new_region
from operators.rows.table import Additions, Row, map_rows
from operators.vision.text_detector import Probability, Scale, has_contrast, text_detector, text_detector_identity

MOST_BESIDE = 1 / 16
"""Cells of the detector's map by which the edges of a stored map's box may lie beside the cells'
own edges.
"""
MOST_GROWTH = 32
LEAST_SIDE = 8
"""Pictures with a side below this many pixels hold no legible text and are not shown to the
detector.
"""


@dataclass(frozen=True)
class Detect(Operator):
    """Find text: its polygons, its scores, and the detector's own probability map over each of
    them.

    Large JPEGs are decoded at the reduced scale that the detector looks at, so a picture without
    text never costs a full decode.
    """

    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256")
    adds: ClassVar[tuple[str, ...]] = DETECTED
    scale: Scale = Scale()
    least_score: float = 0.5
    limits: Limits = Limits()

    def models(self) -> list[ModelRecord]:
        """The text detector."""
        return [text_detector_identity()]

    def open(self) -> None:
        """Load the text detector."""
        text_detector()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Detect on the rows of one batch."""
        return map_rows(batch, self.name, FOUND_COLUMNS, self._detect)

    def _detect(self, row: Row) -> Additions:
        data = row.data("bytes") or b""
        picture = FRAMES.at_least(row["source_sha256"], data, self.limits, self.scale.factor)
        width, height = picture.size
        return {"width": width, "height": height, "mode": picture.mode, "regions": self.regions(picture)}

    def regions(self, picture: Picture) -> list[RegionRecord]:
        """The texts of a picture, which may be decoded at a reduced scale, as REGION structs."""
        width, height = picture.size
        if min(width, height) < LEAST_SIDE:
            return []
        rgb = picture.rgb()
        detector = text_detector()
        factor = self.scale.factor(width, height)
        probability = detector.probability(rgb, factor * width / rgb.shape[1])
        polygons, scores = detector.polygons(probability, width, height)
        return [
            new_region([polygon], score, "text", *own_cells(probability, polygon, width, height))
            for polygon, score in zip(polygons, scores, strict=True)
            if score >= self.least_score and _shows_anything(rgb, polygon, width)
        ]


def _shows_anything(rgb: Pixels, polygon: list[list[float]], width: int) -> bool:
    """Whether a polygon, in pixels of a picture that is `width` wide, has any contrast in it as
    the detector saw it.
    """
    scale = rgb.shape[1] / width
    box = bounding_box([[[x * scale, y * scale] for x, y in polygon]], rgb.shape[1], rgb.shape[0])
    return bool(has_contrast(np.ascontiguousarray(rgb[box.y : box.y + box.height, box.x : box.x + box.width])).any())


def own_cells(probability: Probability, polygon: Polygon, width: int, height: int) -> tuple[Pixels, Box]:
    """The detector's cells over a polygon's bounding box, none of them resampled, as uint8; and
    that box in source pixels.

    Cells and pixels share only some of their edges, so the box grows, by at most MOST_GROWTH
    pixels a side, to the nearest edges that they share to MOST_BESIDE cells; where there are
    none, to those that come closest.
    """
    box = bounding_box([polygon], width, height)
    left, right, columns = _shared_edges(box.x, box.width, probability.shape[1], width)
    top, bottom, rows = _shared_edges(box.y, box.height, probability.shape[0], height)
    cells = np.rint(probability[rows, columns] * 255)
    return np.clip(cells, 0, 255).astype(np.uint8), Box(left, top, right - left, bottom - top)


def _shared_edges(start: int, length: int, cells: int, pixels: int) -> tuple[int, int, slice]:
    """The pixel edges outside a stretch of one axis that fall on cells' edges, and the cells
    between them, at least one.
    """
    before = np.arange(start, max(-1, start - MOST_GROWTH - 1), -1)
    after = np.arange(start + length, min(pixels, start + length + MOST_GROWTH) + 1)
    first, last = (_nearest_shared(edges, cells / pixels) for edges in (before, after))
    cell = min(round(first * cells / pixels), cells - 1)
    return first, last, slice(cell, max(cell + 1, round(last * cells / pixels)))


def _nearest_shared(edges: npt.NDArray[np.int_], ratio: float) -> int:
    beside = np.abs(edges * ratio - np.rint(edges * ratio))
    shared = np.flatnonzero(beside <= MOST_BESIDE)
    return int(edges[shared[0] if len(shared) else beside.argmin()])
