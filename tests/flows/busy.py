"""An operator of known cost, for tests of planning; in a file of its own, since other processes import it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from operators.operator import Operator
from operators.table import Additions, Row, map_rows

HELD: list[bytearray] = []


@dataclass(frozen=True)
class Busy(Operator):
    """Computes and waits for a while with every image, and holds some memory; changes nothing."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = ()
    seconds: float = 0.0
    waits: float = 0.0
    megabytes: int = 0

    def open(self) -> None:
        HELD.append(bytearray(b"1") * (self.megabytes * 10**6))

    def apply(self, batch: pa.Table) -> pa.Table:
        return map_rows(batch, self.name, (), self._worked)

    def _worked(self, row: Row) -> Additions:
        until = time.process_time() + self.seconds
        while time.process_time() < until:
            pass
        time.sleep(self.waits)
        return {}
