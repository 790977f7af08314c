"""Operators of known cost for tests, in a file that other processes can import."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa

from operators.operator import Operator
from operators.rows.table import Additions, Row, map_rows

HELD: list[bytearray] = []


@dataclass(frozen=True)
class Busy(Operator):
    """Computes and waits for a time at every image, and holds some memory; changes nothing."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = ()
    seconds: float = 0.0
    waits: float = 0.0
    megabytes: int = 0

    def open(self) -> None:
        HELD.append(bytearray(b"1") * (self.megabytes * 10**6))

    def apply(self, batch: pa.Table) -> pa.Table:
        return map_rows(batch, self.name, (), self._work)

    def _work(self, row: Row) -> Additions:
        end = time.process_time() + self.seconds
        while time.process_time() < end:
            pass
        time.sleep(self.waits)
        return {}


@dataclass(frozen=True)
class Noting(Operator):
    """Takes half a second for a batch; writes its start, end and process into `folder`."""

    reads: ClassVar[tuple[str, ...]] = ("uri",)
    adds: ClassVar[tuple[str, ...]] = ()
    folder: str = ""

    def apply(self, batch: pa.Table) -> pa.Table:
        start = time.monotonic()
        time.sleep(0.5)
        (Path(self.folder) / batch["image_id"][0].as_py()).write_text(f"{start} {time.monotonic()} {os.getpid()}")
        return batch
