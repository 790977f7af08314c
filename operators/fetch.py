"""`fetch`: what are the bytes?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from operators import storage as store
from operators.clock import spent_in
from operators.failure import Failure
from operators.image import Limits
from operators.operator import Operator
from operators.row import complete
from operators.table import Additions, Row, map_rows


@dataclass(frozen=True)
class Fetch(Operator):
    """Read every source's bytes; the row is complete from here on.

    An object over the byte limit is not read: it is skipped, and delivered by a copy that never holds it in memory.
    """

    reads: ClassVar[tuple[str, ...]] = ("uri",)
    adds: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256", "size")
    storage: ClassVar[bool] = True
    limits: Limits = Limits()
    threads: int = 8

    def apply(self, batch: pa.Table) -> pa.Table:
        """Fetch the rows of one batch, several at a time."""
        return map_rows(complete(batch), self.name, self.adds, self._fetch, threads=self.threads)

    def _fetch(self, row: Row) -> Additions:
        size = row["size"]
        with spent_in("io"):
            size = store.size(row["uri"]) if size is None else size
        if size > self.limits.max_bytes:
            raise Failure("bytes_over_limit", f"{size} bytes, limit {self.limits.max_bytes}")
        with spent_in("io"):
            data = store.read(row["uri"])
        return {"bytes": data, "source_sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
