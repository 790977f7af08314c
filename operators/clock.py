"""Where an image's milliseconds go: in models, in image codecs, in storage, or in the rest of an operator."""

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


_spent = _Spent()


@contextmanager
def spent_in(kind: Kind) -> Iterator[None]:
    """Count the time of the enclosed block towards `kind`, for the row that this thread is working on."""
    start = time.perf_counter()
    try:
        yield
    finally:
        elapsed = (time.perf_counter() - start) * 1000
        _spent.milliseconds[kind] = _spent.milliseconds.get(kind, 0.0) + elapsed


@contextmanager
def row_timing(operator: str) -> Iterator[dict[str, object]]:
    """Time the enclosed work on one row; the yielded dictionary is a TIMING struct once the block has ended."""
    timing: dict[str, object] = {"operator": operator}
    _spent.milliseconds = {}
    start = time.perf_counter()
    try:
        yield timing
    finally:
        timing["total"] = (time.perf_counter() - start) * 1000
        for kind in ("model", "codec", "io"):
            timing[kind] = _spent.milliseconds.get(kind, 0.0)
