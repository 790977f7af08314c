"""A flow that mirrors pictures, and counts how often each content is worked."""

from __future__ import annotations

import ctypes
import hashlib
import io
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
from PIL import Image, ImageOps

from flows.flow import Flow
from operators.fetch import Fetch
from operators.operator import Operator
from operators.rows.failure import Failure
from operators.rows.table import Additions, Row, map_rows

COUNTS = "CLEANPLATE_COUNTS"
"""Names the folder in which each worked image leaves a line."""
SECONDS = "CLEANPLATE_SECONDS"
"""How long each image takes, if it is set."""


def mirrored(data: bytes) -> bytes:
    """A picture mirrored, as PNG."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        ImageOps.mirror(picture.convert("RGB")).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Mirror(Operator):
    """Mirrors each picture; the last word of a file says what goes wrong with it."""

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = ("encoded", "verdict", "reasons", "mirrored")
    columns: ClassVar[dict[str, pa.DataType]] = {"mirrored": pa.bool_()}
    counts: str = ""
    """The folder of the counts, if the environment names none."""

    def apply(self, batch: pa.Table) -> pa.Table:
        return map_rows(batch, self.name, self.adds, self._mirror)

    def _mirror(self, row: Row) -> Additions:
        data = bytes(row.data("bytes") or b"")
        folder, content = Path(os.environ.get(COUNTS) or self.counts), hashlib.sha256(data).hexdigest()
        is_first = not worked(folder)[content]
        with (folder / str(os.getpid())).open("a") as file:
            file.write(f"{content} {row['path']}\n")
        time.sleep(float(os.environ.get(SECONDS, "0")))
        if data.endswith(b"crash"):
            ctypes.string_at(0)
        if data.endswith(b"corrupt"):
            raise Failure("corrupt", "it says so")
        if data.endswith(b"denied") and is_first:
            raise Failure("access_denied", "it was the first of these bytes")
        return {"encoded": mirrored(data), "verdict": "edited", "reasons": [], "mirrored": True}


@dataclass(frozen=True)
class Undeclared(Mirror):
    """Does not say on what it depends."""


def flow(counts: Path | str = "") -> Flow:
    """The flow, which counts in this folder."""
    return Flow((Fetch(), Mirror(str(counts))))


def worked(folder: Path) -> Counter[str]:
    """How often each content has been worked, by its SHA-256."""
    return Counter(line.split()[0] for file in folder.iterdir() for line in file.read_text().splitlines())


mirror = flow()
