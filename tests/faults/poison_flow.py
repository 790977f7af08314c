"""A flow whose decoder crashes, hangs or uses up all memory if a file's last word says so."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from flows.flow import Flow
from operators.compose import Compose
from operators.fetch import Fetch
from operators.operator import Operator
from operators.rows.table import Additions, Row, map_rows

POISONS = {b"crash": "worker_crashed", b"hang": "time_limit", b"fill": "memory_limit"}
"""Last word of a file, and the failure code that it causes."""


@dataclass(frozen=True)
class Decoder(Operator):
    """Obey the last word of the file."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = (
        "width",
        "regions.polygons",
        "regions.kind",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.transparency",
        "regions.fill",
        "regions.checks",
        "regions.state",
        "regions.reason",
    )

    def apply(self, batch: pa.Table) -> pa.Table:
        return map_rows(batch, self.name, ("width",), self._decode)

    def _decode(self, row: Row) -> Additions:
        words = bytes(row.data("bytes") or b"")
        if words.endswith(b"crash"):
            ctypes.string_at(0)
        while words.endswith(b"hang"):
            time.sleep(60)
        ballast = []
        while words.endswith(b"fill"):
            ballast.append(np.ones(2**24, np.uint8))
        return {"width": len(words)}


flow = Flow((Fetch(), Decoder(), Compose()))
