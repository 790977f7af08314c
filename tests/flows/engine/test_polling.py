"""Batches arrive in between polls, and None arrives while there is no batch."""

from __future__ import annotations

import threading
import time

import pyarrow as pa
import pytest

from flows.engine import polling
from flows.engine.polling import batches_or_none

pytestmark = pytest.mark.usefixtures("ray_here")


def slowly(batch: pa.Table) -> pa.Table:
    time.sleep(1.5)
    return batch


def never(batch: pa.Table) -> pa.Table:
    raise ValueError("never")


def test_every_batch_arrives_and_none_arrives_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.data

    monkeypatch.setattr(polling, "POLL_SECONDS", 0.2)
    dataset = ray.data.from_items([{"n": 1}, {"n": 2}]).map_batches(slowly, batch_format="pyarrow")
    arrived = list(batches_or_none(dataset))
    assert None in arrived
    assert sorted(n for batch in arrived if batch is not None for n in batch["n"].to_pylist()) == [1, 2]


def test_what_the_dataset_raises_is_raised() -> None:
    import ray.data

    with pytest.raises(ray.exceptions.RayTaskError, match="never"):
        list(batches_or_none(ray.data.from_items([1]).map_batches(never, batch_format="pyarrow")))


def test_a_caller_that_leaves_early_leaves_no_thread_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.data

    monkeypatch.setattr(polling, "POLL_SECONDS", 0.2)
    arriving = batches_or_none(ray.data.range(20, override_num_blocks=20))
    assert next(batch for batch in arriving if batch is not None).num_rows == 1
    arriving.close()  # type: ignore[attr-defined]
    deadline = time.monotonic() + 60
    while any(thread.name == "arrivals" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.1)
