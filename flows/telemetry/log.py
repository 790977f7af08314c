"""What happens to single images, as lines of JSON on a worker's standard error: Ray keeps them, a
log store collects them.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

RUN_KEY = "cleanplate_run"
"""Under this name the run's id travels from the driver to its workers."""


class JsonLines(logging.Formatter):
    """One line of JSON for a record: time (UTC), level, event, and the `fields` that were given
    with it.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        return json.dumps({"time": time, "level": record.levelname, "event": record.getMessage(), **fields})


def name_run(run: str) -> None:
    """Tell the workers of this driver's datasets which run they work for."""
    from ray.data import DataContext

    DataContext.get_current().set_config(RUN_KEY, run)


def log_failures(rows: Iterable[Mapping[str, Any]]) -> None:
    """One line for each image (`image_id`, `uri`, `failure`) that an operator could not work.
    Needs a Ray worker.
    """
    import ray
    from ray.data import DataContext

    context = ray.get_runtime_context()
    where = {"job": context.get_job_id(), "node": context.get_node_id()}
    run = DataContext.get_current().get_config(RUN_KEY, "")
    for row in rows:
        fields = {"run": run, "image": row["image_id"], "uri": row["uri"], **row["failure"], **where}
        _log().warning("image_failed", extra={"fields": fields})


@cache
def _log() -> logging.Logger:
    log = logging.getLogger("cleanplate")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    log.addHandler(handler)
    log.propagate = False
    return log
