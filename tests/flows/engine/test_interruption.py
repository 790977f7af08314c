"""A run that a worker's error ends reports that error in one line."""

from __future__ import annotations

import pyarrow as pa
import pytest

from flows.engine.interruption import run_error_from
from operators.rows.failure import Failure


def full(batch: pa.Table) -> pa.Table:
    raise Failure("disk_full", "/mnt/out/images/a.png")


def broken(batch: pa.Table) -> pa.Table:
    raise KeyError("colour")


@pytest.mark.usefixtures("ray_here")
@pytest.mark.parametrize(
    ("work", "code", "message"),
    [(full, "disk_full", "/mnt/out/images/a.png"), (broken, "run_interrupted", "KeyError: 'colour'")],
    ids=["a failure of the storage", "an error without a code"],
)
def test_the_error_of_a_worker_is_reported_by_its_root(work: object, code: str, message: str) -> None:
    import ray

    with pytest.raises(ray.exceptions.RayError) as raised:
        ray.data.from_items([1]).map_batches(work, batch_format="pyarrow").materialize()
    run_error = run_error_from(raised.value)
    assert (run_error.code, run_error.message, run_error.exit_code) == (code, message, 3)


def test_an_error_without_a_message_is_reported_by_its_name() -> None:
    assert run_error_from(OSError()).message == "OSError"
