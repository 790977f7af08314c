"""Where an image's milliseconds go: models, image codecs, storage, or the rest of an operator."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from operators.rows.records import TimingRecord

Kind = Literal["model", "codec", "io"]


class _RowTime(threading.local):
    """The time spent so far on the row that this thread processes."""

    def __init__(self) -> None:
        self.milliseconds: dict[Kind, float] = {}
        self.before_turn = 0.0


_row_time = _RowTime()


@contextmanager
def timed(kind: Kind) -> Iterator[None]:
    """Add the time of the enclosed block to `kind`, for the row that this thread processes."""
    start = time.perf_counter()
    try:
        yield
    finally:
        elapsed = (time.perf_counter() - start) * 1000
        _row_time.milliseconds[kind] = _row_time.milliseconds.get(kind, 0.0) + elapsed


def add_time(kind: Kind, milliseconds: float) -> None:
    """Add time that was spent on this thread's row before its turn, together with other rows."""
    _row_time.milliseconds[kind] = _row_time.milliseconds.get(kind, 0.0) + milliseconds
    _row_time.before_turn += milliseconds


@contextmanager
def row_timing(operator: str) -> Iterator[TimingRecord]:
    """Time the enclosed work on one row.

    The yielded record is complete once the block has ended.
    """
    timing: TimingRecord = {"operator": operator}
    _row_time.milliseconds, _row_time.before_turn = {}, 0.0
    start = time.perf_counter()
    try:
        yield timing
    finally:
        timing["total"] = (time.perf_counter() - start) * 1000 + _row_time.before_turn
        timing["model"] = _row_time.milliseconds.get("model", 0.0)
        timing["codec"] = _row_time.milliseconds.get("codec", 0.0)
        timing["io"] = _row_time.milliseconds.get("io", 0.0)
