"""`read`: what does each text say?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from operators.masks.geometry import straightened
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.records import ModelRecord
from operators.rows.table import Additions, Row, map_rows
from operators.vision.recogniser import recogniser, recogniser_identity


@dataclass(frozen=True)
class Read(Operator):
    """Recognise the text of every region that the detector found.

    Texts may be private: the ledger holds what this operator reads, unless `keeps_text` is false.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256", "regions.polygons")
    adds: ClassVar[tuple[str, ...]] = ("regions.text", "regions.text_confidence")
    limits: Limits = Limits()
    keeps_text: bool = True
    """Whether the ledger holds what was read, and not only how surely."""

    def models(self) -> list[ModelRecord]:
        """The recogniser."""
        return [recogniser_identity()]

    def open(self) -> None:
        """Load the recogniser."""
        recogniser()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Read the texts of one batch."""
        return map_rows(batch, self.name, self.adds, self._read)

    def _read(self, row: Row) -> Additions | None:
        if not row.regions:
            return None
        rgb = np.ascontiguousarray(FRAME_CACHE.picture(row, self.limits).rgb())
        read = [recogniser().read(straightened(rgb, region["polygons"][0])) for region in row.regions]
        return {
            "regions.text": [text if self.keeps_text else None for text, _ in read],
            "regions.text_confidence": [confidence for _, confidence in read],
        }
