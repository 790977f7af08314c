"""`detect`: where is the text?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.pictures.picture import Picture
from operators.rows.arrays import Pixels
from operators.rows.records import ModelRecord, RegionRecord
from operators.rows.regions import DETECTED, FOUND_COLUMNS, new_region
from operators.rows.table import Additions, Row, map_rows
from operators.vision.close_look import FoundText
from operators.vision.find_texts import find_texts
from operators.vision.first_look import View, first_look, first_look_identity
from operators.vision.line_network import line_network, line_network_identity
from operators.vision.recogniser import recogniser, recogniser_identity
from operators.vision.seen import Seen, joined, judged
from operators.vision.text_confirmation import Confirmation
from operators.vision.text_detector import check_detector, text_detector, text_detector_identity
from operators.vision.texts_of_frames import texts_of_frames


@dataclass(frozen=True)
class Detect(Operator):
    """Find every text in the image: its polygon, its score and its probability map.

    A small network sees the whole picture and says where text may be. Only there a PP-OCR detector
    gives the probability that each pixel is text, and the polygons around the likely ones. A
    detection that is not confirmed is kept in the picture, with the reason: see `Confirmation`. A
    large JPEG is decoded at the reduced scale of the first look, so a picture without text never
    costs a full decode.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256")
    adds: ClassVar[tuple[str, ...]] = DETECTED
    view: View = View()
    """The size of the picture at the first look."""
    detector: str = ""
    """Path or URL of the text detector, an ONNX file; the packaged one if empty."""
    least_score: float = 0.5
    """Score (0..1) below which a polygon is dropped."""
    confirmation: Confirmation = Confirmation()
    """The bounds of a text's size, and the second look at it."""
    limits: Limits = Limits()

    def check(self) -> None:
        """Raise RunError unless the user's detector can be loaded."""
        if self.detector:
            check_detector(self.detector)

    def models(self) -> list[ModelRecord]:
        """The first look, the text detector, the line network and the recogniser."""
        return [
            first_look_identity(),
            text_detector_identity(self.detector),
            line_network_identity(),
            recogniser_identity(),
        ]

    def open(self) -> None:
        """Load the first look, the text detector, the line network and the recogniser."""
        first_look()
        text_detector(self.detector)
        line_network()
        recogniser()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Detect on the rows of one batch."""
        return map_rows(batch, self.name, FOUND_COLUMNS, self._detect)

    def _detect(self, row: Row) -> Additions:
        data = row.data("bytes") or b""
        picture = FRAME_CACHE.decode_at_least(row["source_sha256"], data, self.limits, self.view.factor)
        width, height = picture.size
        return {"width": width, "height": height, "mode": picture.mode, "regions": self.regions(picture)}

    def regions(self, picture: Picture) -> list[RegionRecord]:
        """The texts of a picture, decoded in full or at a reduced scale, as REGION structs."""
        return [
            new_region([text.polygon], text.score, "text", text.cells, text.box, verdict.reason, self.name)
            for text, verdict in self.see(picture)
        ]

    def see(self, picture: Picture) -> list[Seen]:
        """The texts of a picture on every ground that it may be laid on, with their verdicts."""
        seen: list[Seen] = []
        for rgb in picture.views():
            seen = joined(seen, self._look(picture, rgb))
        return seen

    def _look(self, picture: Picture, rgb: Pixels) -> list[Seen]:
        if picture.frames:
            return texts_of_frames(picture, rgb, self._find, self.confirmation)
        width, height = picture.size
        texts = self._find(rgb, width, height, self.view.factor(width, height))
        return judged(self.confirmation, rgb, texts, width, height)

    def _find(self, rgb: Pixels, width: int, height: int, factor: float | None = None) -> list[FoundText]:
        factor = self.view.factor(width, height) if factor is None else factor
        return find_texts(rgb, width, height, factor, self.least_score, self.detector)
