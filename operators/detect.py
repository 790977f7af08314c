"""`detect`: where is the text?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import pyarrow as pa

from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels
from operators.rows.records import ModelRecord, RegionRecord
from operators.rows.regions import DETECTED, FOUND_COLUMNS, new_region
from operators.rows.table import Additions, Row, map_rows
from operators.vision.find_texts import SAME, FoundText, covers, find_texts
from operators.vision.recogniser import recogniser, recogniser_identity
from operators.vision.text_confirmation import Confirmation, Verdict
from operators.vision.text_detector import Scale, text_detector, text_detector_identity


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
    """The bounds of a text's size, and the second look at it."""
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
        seen: list[Seen] = []
        for rgb in picture.views():
            seen = _joined(seen, self._look(rgb, *picture.size))
        return [new_region([text.polygon], text.score, "text", text.cells, text.box, verdict.reason) for text, verdict in seen]

    def _look(self, rgb: Pixels, width: int, height: int) -> list[Seen]:
        texts = find_texts(rgb, width, height, self.scale.factor(width, height), self.least_score)
        verdicts = self.confirmation.verdicts(rgb, [(text.polygon, text.score) for text in texts], width, height)
        return [Seen(text, verdict) for text, verdict in zip(texts, verdicts, strict=True)]


class Seen(NamedTuple):
    """A text, and whether it is text that may be erased."""

    text: FoundText
    verdict: Verdict


def _joined(known: list[Seen], new: list[Seen]) -> list[Seen]:
    """Texts seen on one ground, and those that only another ground shows or confirms."""
    for one in new:
        same = [
            other
            for other in known
            if covers(other.text.polygon, one.text.polygon, SAME) or covers(one.text.polygon, other.text.polygon, SAME)
        ]
        if not same:
            known = [*known, one]
        elif one.verdict.confirmed and not any(other.verdict.confirmed for other in same):
            known = [*(other for other in known if not any(other is twin for twin in same)), one]
    return known
