"""`detect`: where is the text?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.pictures.picture import Picture
from operators.rows.records import ModelRecord, RegionRecord
from operators.rows.regions import DETECTED, FOUND_COLUMNS, new_region
from operators.rows.table import Additions, Row, map_rows
from operators.vision.find_texts import find_texts
from operators.vision.text_detector import Scale, text_detector, text_detector_identity


@dataclass(frozen=True)
class Detect(Operator):
    """Find every text in the image: its polygon, its score and its probability map.

    A PP-OCR detector gives the probability that each pixel is text, and the polygons around the
    likely ones. A large JPEG is decoded at the reduced scale that the detector works at, so a
    picture without text never costs a full decode.
    """

    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256")
    adds: ClassVar[tuple[str, ...]] = DETECTED
    scale: Scale = Scale()
    least_score: float = 0.5
    """Score (0..1) below which a polygon is dropped."""
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
        picture = FRAME_CACHE.decode_at_least(row["source_sha256"], data, self.limits, self.scale.factor)
        width, height = picture.size
        return {"width": width, "height": height, "mode": picture.mode, "regions": self.regions(picture)}

    def regions(self, picture: Picture) -> list[RegionRecord]:
        """The texts of a picture, decoded in full or at a reduced scale, as REGION structs."""
        width, height = picture.size
        return [
            new_region([text.polygon], text.score, "text", text.cells, text.box)
            for text in find_texts(picture.rgb(), width, height, self.scale.factor(width, height), self.least_score)
        ]
