"""Black boxes in place of fills: for those who must show that something was there.

cleanplate run examples/black_out.py:black_out photos/ redacted/
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
from PIL import Image, ImageDraw, ImageOps

from cleanplate import Flow, Operator, Row, map_rows
from operators.detect import Detect
from operators.fetch import Fetch


@dataclass(frozen=True)
class BlackOut(Operator):
    """Paint a rectangle over every text, and write the picture again in its own format."""

    reads: ClassVar[tuple[str, ...]] = ("bytes", "regions.polygons")
    adds: ClassVar[tuple[str, ...]] = ("encoded", "verdict", "reasons")
    grey: int = 0
    """The grey level of the rectangles."""
    margin: int = 2
    """Pixels around each text that are covered as well."""

    @property
    def name(self) -> str:
        """`black_out`."""
        return "black_out"

    def apply(self, batch: pa.Table) -> pa.Table:
        """Paint over the texts of one batch."""
        return map_rows(batch, self.name, self.adds, self._paint)

    def _paint(self, row: Row) -> dict[str, Any]:
        if not row.regions:
            return {"verdict": "untouched", "reasons": []}
        source = Image.open(io.BytesIO(row.data("bytes") or b""))
        picture = ImageOps.exif_transpose(source).convert("RGB")
        draw = ImageDraw.Draw(picture)
        for region in row.regions:
            for polygon in region["polygons"]:
                xs, ys = zip(*polygon, strict=True)
                box = (min(xs) - self.margin, min(ys) - self.margin, max(xs) + self.margin, max(ys) + self.margin)
                draw.rectangle(box, fill=(self.grey,) * 3)
        output = io.BytesIO()
        picture.save(output, source.format or "PNG", **({"quality": 95} if source.format == "JPEG" else {}))
        return {"encoded": output.getvalue(), "verdict": "edited", "reasons": []}


black_out = Flow((Fetch(), Detect(), BlackOut()))
