"""Events of single images, as lines of JSON on a worker's standard error.

Ray keeps these lines, and a log store can collect them.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, TypedDict

from operators.rows.records import FailureRecord

RUN_KEY = "cleanplate_run"
"""The key of Ray's DataContext under which the run's id reaches the workers."""


class FailedRow(TypedDict):
    """The columns of a failed row that its log line reports."""

    image_id: str
    uri: str
    failure: FailureRecord


class JsonLines(logging.Formatter):
    """Formats a record as one line of JSON: time (UTC), level, event, and its extra `fields`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of JSON."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        return json.dumps({"time": time, "level": record.levelname, "event": record.getMessage(), **fields})


def name_run(run: str) -> None:
    """Set the run's id for the workers of all later datasets of this process."""
    from ray.data import DataContext

    DataContext.get_current().set_config(RUN_KEY, run)


def log_failures(rows: Iterable[FailedRow]) -> None:
    """Log one line per row. Must be called in a Ray worker."""
    import ray
    from ray.data import DataContext

    context = ray.get_runtime_context()
    worker = {"job": context.get_job_id(), "node": context.get_node_id()}
    run = DataContext.get_current().get_config(RUN_KEY, "")
    for row in rows:
        fields = {"run": run, "image": row["image_id"], "uri": row["uri"], **row["failure"], **worker}
        _log().warning("image_failed", extra={"fields": fields})


@cache
def _log() -> logging.Logger:
    logger = logging.getLogger("cleanplate")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logger.addHandler(handler)
    logger.propagate = False
    return logger
