"""`detect`: where is the text?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.masks.geometry import Polygon, bounding_box
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import ModelRecord, RegionRecord
from operators.rows.regions import DETECTED, FOUND_COLUMNS, new_region
from operators.rows.table import Additions, Row, map_rows
from operators.vision.recogniser import recogniser, recogniser_identity
from operators.vision.text_confirmation import Confirmation
from operators.vision.text_detector import Probability, Scale, has_contrast, text_detector, text_detector_identity

MOST_BESIDE = 1 / 16
"""Largest distance, in cells of the detector's map, between an edge of a stored map's box and the
nearest cell edge.
"""
MOST_GROWTH = 32
"""Largest growth of a stored map's box, in pixels a side, in search of an edge that pixels and
cells share.
"""
LEAST_SIDE = 8
"""Shortest side, in pixels, of a picture that the detector looks at; smaller ones hold no legible
text.
"""


@dataclass(frozen=True)
class Detect(Operator):
    """Find every text in the image: its polygon, its score and its probability map.

    A PP-OCR detector gives the probability that each pixel is text, and the polygons around the
    likely ones. A detection that a second look does not confirm is kept in the picture, with the
    reason: see `Confirmation`. A large JPEG is decoded at the reduced scale that the detector
    works at, so a picture without text never costs a full decode.
    """

    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256")
    adds: ClassVar[tuple[str, ...]] = DETECTED
    scale: Scale = Scale()
    least_score: float = 0.5
    """Score (0..1) below which a polygon is dropped."""
    confirmation: Confirmation = Confirmation()
    """The bounds of a text's size, and when the recogniser is asked."""
    limits: Limits = Limits()

    def models(self) -> list[ModelRecord]:
        """The text detector and the recogniser."""
        return [text_detector_identity(), recogniser_identity()]

    def open(self) -> None:
        """Load the text detector and the recogniser."""
        text_detector()
        recogniser()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Detect on the rows of one batch."""
        return map_rows(batch, self.name, FOUND_COLUMNS, self._detect)

    def _detect(self, row: Row) -> Additions:
        data = row.data("bytes") or b""
        picture = FRAME_CACHE.decode_at_least(row["source_sha256"], data, self.limits, self.scale.factor)
        width, height = picture.size
        return {"width": width, "height": height, "mode": picture.mode, "regions": self.regions(picture)}

    def regions(self, picture: Picture) -> list[RegionRecord]:
        """The texts of a picture, decoded in full or at a reduced scale, as REGION structs."""
        width, height = picture.size
        if min(width, height) < LEAST_SIDE:
            return []
        rgb = picture.rgb()
        detector = text_detector()
        factor = self.scale.factor(width, height)
        probability = detector.probability(rgb, factor * width / rgb.shape[1])
        polygons, scores = detector.polygons(probability, width, height)
        found = [
            (polygon, score)
            for polygon, score in zip(polygons, scores, strict=True)
            if score >= self.least_score and _has_contrast(rgb, polygon, width)
        ]
        verdicts = self.confirmation.verdicts(rgb, found, width, height)
        return [
            new_region([polygon], score, "text", *own_cells(probability, polygon, width, height), verdict.reason)
            for (polygon, score), verdict in zip(found, verdicts, strict=True)
        ]


def _has_contrast(rgb: Pixels, polygon: list[list[float]], width: int) -> bool:
    """Whether the picture has any contrast in the bounding box of a polygon.

    `rgb` is the picture as decoded, perhaps reduced; the polygon is in pixels of the whole
    picture, which is `width` pixels wide.
    """
    scale = rgb.shape[1] / width
    box = bounding_box([[[x * scale, y * scale] for x, y in polygon]], rgb.shape[1], rgb.shape[0])
    return bool(has_contrast(np.ascontiguousarray(rgb[box.y : box.y + box.height, box.x : box.x + box.width])).any())


def own_cells(probability: Probability, polygon: Polygon, width: int, height: int) -> tuple[Pixels, Box]:
    """The cells of the detector's map over a polygon, as uint8, and the box that they span.

    The cells are not resampled; the box is in source pixels and holds the polygon's bounding box.
    Cells and pixels share only some of their edges. The box therefore grows, by at most
    MOST_GROWTH pixels a side, to the nearest edges that match to within MOST_BESIDE cells. If
    there are none, it grows to the edges that match best.
    """
    box = bounding_box([polygon], width, height)
    left, right, columns = _shared_edges(box.x, box.width, probability.shape[1], width)
    top, bottom, rows = _shared_edges(box.y, box.height, probability.shape[0], height)
    cells = np.rint(probability[rows, columns] * 255)
    return np.clip(cells, 0, 255).astype(np.uint8), Box(left, top, right - left, bottom - top)


def _shared_edges(start: int, length: int, cells: int, pixels: int) -> tuple[int, int, slice]:
    """Along one axis, the pixel edges around a span that fall on cell edges, and the cells between.

    There is at least one cell.
    """
    before = np.arange(start, max(-1, start - MOST_GROWTH - 1), -1)
    after = np.arange(start + length, min(pixels, start + length + MOST_GROWTH) + 1)
    first, last = (_nearest_shared(edges, cells / pixels) for edges in (before, after))
    cell = min(round(first * cells / pixels), cells - 1)
    return first, last, slice(cell, max(cell + 1, round(last * cells / pixels)))


def _nearest_shared(edges: npt.NDArray[np.int_], ratio: float) -> int:
    """The first of the pixel edges that falls on a cell edge, or the one that comes closest.

    `ratio` is cells per pixel.
    """
    beside = np.abs(edges * ratio - np.rint(edges * ratio))
    shared = np.flatnonzero(beside <= MOST_BESIDE)
    return int(edges[shared[0] if len(shared) else beside.argmin()])
