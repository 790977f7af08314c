"""Report a finished batch: metrics for Prometheus, and a log line for each image that failed."""

from __future__ import annotations

import sys

import pyarrow as pa
import pyarrow.compute as pc

from flows.telemetry.log import FailedRow, log_failures
from flows.telemetry.metrics import count
from operators.operator import Operator


def observe_batch(operator: Operator, before: pa.Table, after: pa.Table) -> None:
    """Report one batch of a stage, given its rows before and after the operator.

    Without a running Ray it does nothing.
    """
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    failed = newly_failed(before, after)
    count(operator, before, after, failed)
    if failed:
        log_failures(failed)


def newly_failed(before: pa.Table, after: pa.Table) -> list[FailedRow]:
    """The rows that failed in this batch."""
    is_new = pc.and_(pc.is_null(before["failure"]), pc.is_valid(after["failure"]))
    rows: list[FailedRow] = after.select(["image_id", "uri", "failure"]).filter(is_new).to_pylist()
    return rows
