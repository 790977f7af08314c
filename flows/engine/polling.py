"""Read the batches of a dataset and return to the caller regularly while none arrives.

A run must notice events, such as a lost node, while it waits for a batch.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from ray.data import Dataset

POLL_SECONDS = 2.0


def batches_or_none(dataset: Dataset) -> Iterator[pa.Table | None]:
    """Every batch of the dataset, and None each time POLL_SECONDS pass without one.

    Raises what the dataset raises. If the caller stops early, the dataset is abandoned when its
    next batch arrives.
    """
    arrivals: queue.Queue[tuple[str, pa.Table | Exception | None]] = queue.Queue(maxsize=1)
    abandoned = threading.Event()

    def put(kind: str, content: pa.Table | Exception | None) -> None:
        while not abandoned.is_set():
            try:
                arrivals.put((kind, content), timeout=POLL_SECONDS)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                put("batch", batch)
                if abandoned.is_set():
                    return
            put("end", None)
        except Exception as error:
            put("error", error)

    threading.Thread(target=read, name="arrivals", daemon=True).start()
    try:
        while True:
            try:
                kind, content = arrivals.get(timeout=POLL_SECONDS)
            except queue.Empty:
                yield None
                continue
            if isinstance(content, Exception):
                raise content
            if kind == "end":
                return
            yield content
    finally:
        abandoned.set()
