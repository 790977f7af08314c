"""The batches of a dataset as they arrive, and a look round while none does."""

from __future__ import annotations

import threading
import time

import pyarrow as pa
import pytest

from cluster.profile import Profile, Stage
from flows.engine import lost_nodes, polling
from flows.engine.lost_nodes import NodeWatch
from flows.engine.polling import batches_or_none
from flows.flow import Flow
from operators.fetch import Fetch
from operators.rows.failure import RunError

pytestmark = pytest.mark.usefixtures("ray_here")


def slowly(batch: pa.Table) -> pa.Table:
    time.sleep(1.5)
    return batch


def never(batch: pa.Table) -> pa.Table:
    raise ValueError("never")


def test_every_batch_arrives_and_none_stands_for_silence(monkeypatch: pytest.MonkeyPatch) -> None:
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


def profile(cpus: float) -> Profile:
    return Profile(name="own", placement="staged", stages={"default": Stage(cpus=cpus)})


def test_nodes_that_are_too_few_are_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_nodes, "CHECK_SECONDS", 0.0)
    short = NodeWatch(Flow((Fetch(),)), profile(1000), patience=0.3)
    short.check()
    time.sleep(0.4)
    with pytest.raises(RunError, match="needs 1001 CPU") as ended:
        short.check()
    assert (ended.value.code, ended.value.exit_code) == ("nodes_lost", 3)


def test_nodes_that_are_enough_are_no_shortage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_nodes, "CHECK_SECONDS", 0.0)
    enough = NodeWatch(Flow((Fetch(),)), profile(0.25), patience=0.0)
    assert [enough.check() for _ in range(3)] == [None] * 3
