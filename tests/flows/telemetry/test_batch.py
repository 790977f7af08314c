"""A finished batch is reported if Ray is running, and otherwise nothing happens."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa

from flows.telemetry.batch import newly_failed
from operators.rows.schema import SCHEMA, complete_rows

FAILURE = {"operator": "detect", "code": "truncated", "message": "ends early"}


def table(*failures: dict[str, Any] | None) -> pa.Table:
    rows = [{"image_id": str(number), "uri": f"{number}.png", "failure": failure} for number, failure in enumerate(failures)]
    return complete_rows(pa.Table.from_pylist(rows, pa.schema([SCHEMA.field(name) for name in rows[0]])))


def test_only_rows_that_failed_in_this_batch_are_reported() -> None:
    before, after = table(None, FAILURE, None), table(None, FAILURE, FAILURE)
    assert newly_failed(before, after) == [{"image_id": "2", "uri": "2.png", "failure": FAILURE}]
    assert newly_failed(after, after) == []


def test_without_ray_nothing_is_reported_and_ray_is_not_loaded() -> None:
    program = """
import sys
import pyarrow as pa
from flows.telemetry.batch import observe_batch
from operators.fetch import Fetch
from operators.rows.schema import complete_rows
rows = complete_rows(pa.table({"image_id": ["1"], "uri": ["nowhere.png"], "path": ["a"], "shard": pa.array([0], pa.int32()),
                          "size": [1], "etag": ["1"]}))
result = Fetch().apply(rows)
observe_batch(Fetch(), rows, result)
print(result["failure"].to_pylist()[0]["code"], "ray" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3]
    )
    assert (done.stdout, done.stderr) == ("key_missing False\n", "")
