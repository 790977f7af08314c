"""Give a file the edit of another one of the same pixels.

A file whose metadata damage an encoder may end its process. So the files are coded in a child
process, with the bounds of every image.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pyarrow as pa

from cluster.bounds import Bounds
from flows.engine.quarantine import Child, work_row
from flows.flow import Flow
from operators.compose import Compose
from operators.operator import Operator
from operators.rows.failure import Failure
from operators.rows.schema import complete_rows
from operators.rows.table import Additions, Row, map_rows


@dataclass(frozen=True)
class EditLike(Operator):
    """Gives a file the edit of another one of the same pixels, which arrives in `encoded`."""

    reads: ClassVar[tuple[str, ...]] = ("bytes", "encoded")
    adds: ClassVar[tuple[str, ...]] = ("encoded", "notes")
    compose: Compose = Compose()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Edit the files of one batch."""
        return map_rows(batch, self.name, self.adds, self._edit)

    def _edit(self, row: Row) -> Additions:
        data, edited = bytes(row.data("bytes") or b""), bytes(row.data("encoded") or b"")
        encoded, notes = self.compose.edit_like(data, edited)
        return {"encoded": encoded, "notes": notes}


@dataclass(frozen=True)
class TwinCoder:
    """A child process that codes the files of twins, because a file may end the process."""

    operator: EditLike | None
    """None if the flow's edits cannot be shared between files."""
    child: Child | None
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held while a file is coded."""

    def edit_like(self, row: Mapping[str, Any], data: bytes, edited: bytes) -> tuple[bytes, list[str]]:
        """A file with the edit of another one, and its notes. Raises Failure as the child says."""
        if self.operator is None or self.child is None:
            raise Failure("mode_unsupported", "an edit is only shared between files of one format")
        cells = {name: [row[name]] for name in ("image_id", "uri", "path", "shard")}
        table = complete_rows(pa.table({**cells, "shard": pa.array([row["shard"]], pa.int32())}))
        for name, value in (("bytes", data), ("encoded", edited)):
            table = table.set_column(table.column_names.index(name), name, pa.array([value], pa.large_binary()))
        (result,) = work_row(self.child, self.operator, table).select(["encoded", "notes", "failure"]).to_pylist()
        if result["failure"] is not None:
            raise Failure(result["failure"]["code"], result["failure"]["message"])
        return result["encoded"], result["notes"] or []


@contextmanager
def open_coder(flow: Flow, bounds: Bounds) -> Iterator[TwinCoder]:
    """The coder for the twins of a flow's images; its process starts with the first file."""
    compose = next((operator for operator in flow.operators if isinstance(operator, Compose)), None)
    if compose is None or compose.to_format is not None:
        yield TwinCoder(None, None)
        return
    operator = EditLike(compose)
    child = Child(operator, bounds)
    try:
        yield TwinCoder(operator, child)
    finally:
        child.close()
