"""`identify`: which pixels does the file show?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.table import Additions, Row, map_rows

FORMATS = ("JPEG", "PNG", "TIFF", "BMP")
"""The formats in which a file can get the edit of another one without loss.

A file of the others is coded as a whole, so an edit that was decoded is coded twice.
"""


@dataclass(frozen=True)
class Identify(Operator):
    """Compute a hash of the pixels, so that files that differ in their metadata share a result.

    A file that cannot be decoded has none, nor has one of several pages or frames, or of a format
    outside of FORMATS. They share results with files of the same bytes alone.
    """

    by_content: ClassVar[bool] = True
    tells_twins: ClassVar[str | None] = "pixels_sha256"
    reads: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256")
    adds: ClassVar[tuple[str, ...]] = ("pixels_sha256",)
    limits: Limits = Limits()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Identify the pictures of one batch."""
        return map_rows(batch, self.name, self.adds, self._identify)

    def _identify(self, row: Row) -> Additions:
        picture = FRAME_CACHE.picture(row, self.limits)
        return {"pixels_sha256": picture.pixels_sha256() if picture.format in FORMATS else None}
