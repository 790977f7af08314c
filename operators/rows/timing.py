"""Where an image's milliseconds go: in models, in image codecs, in storage, or in the rest of an
operator.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Kind = Literal["model", "codec", "io"]


class _Spent(threading.local):
    def __init__(self) -> None:
        self.milliseconds: dict[str, float] = {}
        self.elsewhere = 0.0


_spent = _Spent()


@contextmanager
def timed(kind: Kind) -> Iterator[None]:
    """Count the time of the enclosed block towards `kind`, for the row that this thread is
    working on.
    """
    start = time.perf_counter()
    try:
        yield
    finally:
        elapsed = (time.perf_counter() - start) * 1000
        _spent.milliseconds[kind] = _spent.milliseconds.get(kind, 0.0) + elapsed


def add_time(kind: Kind, milliseconds: float) -> None:
    """Count time that was spent on this thread's row before its turn, together with other rows,
    as its own.
    """
    _spent.milliseconds[kind] = _spent.milliseconds.get(kind, 0.0) + milliseconds
    _spent.elsewhere += milliseconds


@contextmanager
def row_timing(operator: str) -> Iterator[dict[str, object]]:
    """Time the enclosed work on one row; the yielded dictionary is a TIMING struct once the block
    has ended.
    """
    timing: dict[str, object] = {"operator": operator}
    _spent.milliseconds, _spent.elsewhere = {}, 0.0
    start = time.perf_counter()
    try:
        yield timing
    finally:
        timing["total"] = (time.perf_counter() - start) * 1000 + _spent.elsewhere
        for kind in ("model", "codec", "io"):
            timing[kind] = _spent.milliseconds.get(kind, 0.0)
