"""What is told of a finished batch: metrics for Prometheus, and a line of the log for each image
that failed.
"""

from __future__ import annotations

import sys
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from flows.telemetry.log import log_failures
from flows.telemetry.metrics import count
from operators.operator import Operator


def observe_batch(operator: Operator, before: pa.Table, after: pa.Table) -> None:
    """Tell of one batch of a stage: its rows before and after the operator. Nothing where Ray
    does not run.
    """
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        return
    failed = newly_failed(before, after)
    count(operator, before, after, failed)
    if failed:
        log_failures(failed)


def newly_failed(before: pa.Table, after: pa.Table) -> list[dict[str, Any]]:
    """`image_id`, `uri` and `failure` of the rows that failed in this batch."""
    fresh = pc.and_(pc.is_null(before["failure"]), pc.is_valid(after["failure"]))
    rows: list[dict[str, Any]] = after.select(["image_id", "uri", "failure"]).filter(fresh).to_pylist()
    return rows
