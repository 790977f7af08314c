"""The batches of a dataset as they arrive, with a look round in between: a run must notice what
happens while none does.
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
    """Every batch of the dataset, and None whenever none has arrived for LOOK_ROUND_SECONDS.
    Raises what the dataset raises.

    When the caller leaves early, the dataset is given up with its next batch.
    """
    arrived: queue.Queue[tuple[str, pa.Table | Exception | None]] = queue.Queue(maxsize=1)
    left = threading.Event()

    def put(kind: str, content: pa.Table | Exception | None) -> None:
        while not left.is_set():
            try:
                arrived.put((kind, content), timeout=POLL_SECONDS)
                return
            except queue.Full:
                continue

    def take() -> None:
        try:
            for batch in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                put("batch", batch)
                if left.is_set():
                    return
            put("end", None)
        except Exception as error:
            put("error", error)

    threading.Thread(target=take, name="arrivals", daemon=True).start()
    try:
        while True:
            try:
                kind, content = arrived.get(timeout=POLL_SECONDS)
            except queue.Empty:
                yield None
                continue
            if isinstance(content, Exception):
                raise content
            if kind == "end":
                return
            yield content
    finally:
        left.set()
