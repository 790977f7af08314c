"""`fetch`: what are the bytes?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

import pyarrow as pa

from operators.operator import Operator
from operators.pictures.codec import Limits, format_of
from operators.rows.failure import Failure
from operators.rows.schema import complete_rows
from operators.rows.table import Additions, Row, map_rows
from operators.rows.timing import timed
from operators.storage import source_image
from operators.storage.allowed import is_allowed, suggestion


@dataclass(frozen=True)
class Fetch(Operator):
    """Read the bytes of every source and compute their SHA-256.

    The row is complete from here on: every column of the schema exists, null until an operator
    fills it. An object over the byte limit is not read; its row fails with `bytes_over_limit`,
    and `write` copies the object without loading it into memory. An image inside a Parquet file
    has no file extension, so it gets the one of the format that its first bytes show.
    """

    reads: ClassVar[tuple[str, ...]] = ("uri",)
    adds: ClassVar[tuple[str, ...]] = ("bytes", "source_sha256", "size", "path")
    storage: ClassVar[bool] = True
    tells_twins: ClassVar[str | None] = "source_sha256"
    limits: Limits = Limits()
    threads: int = 8
    """Rows of one batch that are fetched at the same time."""
    allow: tuple[str, ...] = ()
    """The places from which rows may be read, see `operators.storage.allowed`; empty for any."""

    def apply(self, batch: pa.Table) -> pa.Table:
        """Fetch the rows of one batch, several at a time."""
        return map_rows(complete_rows(batch), self.name, self.adds, self._fetch, threads=self.threads)

    def _fetch(self, row: Row) -> Additions:
        if not is_allowed(row["uri"], self.allow):
            raise Failure("source_not_allowed", f"it is not in what --allow names; {suggestion(row['uri'])} would allow it")
        size = row["size"]
        if size is None:
            with timed("io"):
                size = source_image.size(row["uri"], row["etag"])
        if size > self.limits.max_bytes:
            raise Failure("bytes_over_limit", f"{size} bytes, limit {self.limits.max_bytes}")
        with timed("io"):
            data = source_image.read(row["uri"], row["etag"])
        path = row["path"]
        if source_image.is_inside(row["uri"]) and not PurePosixPath(path).suffix:
            path += _extension(data)
        return {"bytes": data, "source_sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "path": path}


def _extension(data: bytes) -> str:
    """The extension of the format whose signature the data starts with; empty if there is none."""
    format = format_of(data)
    return "" if format is None else format.extension
