"""A flow of your own: find text, read it, and edit nothing. The ledger is the result.

cleanplate run examples/captions.py:captions photos/ found/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa

from cleanplate import Flow, Operator, Row, map_rows
from operators.detect import Detect
from operators.fetch import Fetch
from operators.read import Read


@dataclass(frozen=True)
class Captions(Operator):
    """Join what the texts of a picture say into one column, `caption`, and count its words."""

    reads: ClassVar[tuple[str, ...]] = ("regions.polygons", "regions.text")
    columns: ClassVar[Mapping[str, pa.DataType]] = {"caption": pa.string(), "words": pa.int32()}
    adds: ClassVar[tuple[str, ...]] = ("caption", "words", "encoded", "verdict", "reasons")

    def apply(self, batch: pa.Table) -> pa.Table:
        """Caption the pictures of one batch."""
        return map_rows(batch, self.name, self.adds, self._caption)

    def _caption(self, row: Row) -> dict[str, Any]:
        lines = sorted((min(y for _, y in region["polygons"][0]), region["text"] or "") for region in row.regions)
        caption = " ".join(text for _, text in lines if text)
        return {"caption": caption, "words": len(caption.split()), "verdict": "untouched", "reasons": []}


captions = Flow((Fetch(), Detect(), Read(), Captions()))
