"""A run over a few images without Ray, which takes longer to start than they take to work.

Each worker is a child process as in `flows.engine.quarantine`, so an image that crashes, hangs or
takes all memory has the same end as in a run with Ray. The operators that read and write storage
work in the driver.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from queue import SimpleQueue

import pyarrow as pa

from cluster.profile import LAPTOP, Profile, cores
from flows.engine.quarantine import Child, work_row
from flows.engine.sharing import Sharing
from flows.flow import Flow
from operators.ledger import index, ledger
from operators.operator import Operator
from operators.rows.schema import add_columns, check_schema, complete_rows

MOST_IMAGES = 16
"""A run over more images starts Ray."""


def suits(profile: Profile, images: int) -> bool:
    """Whether a run over so many images does without Ray.

    A run on a cluster or beside a Ray that runs already uses it, and so does one with a profile
    that the user has chosen.
    """
    ray = sys.modules.get("ray")
    runs_already = os.environ.get("RAY_ADDRESS") or (ray is not None and ray.is_initialized())
    return images <= MOST_IMAGES and profile.name == LAPTOP and not runs_already


def work_few(
    flow: Flow,
    dest: str,
    profile: Profile,
    pending: Mapping[int, int],
    sharing: Sharing | None = None,
    only: Mapping[int, Sequence[str]] | None = None,
) -> Iterator[pa.Table]:
    """Process the pending images of some shards, and yield each finished row as a table.

    `only` names the images of each shard to process. A row that waits for the result of another
    image is yielded as a table of WAITING. Raises what an operator raises for a whole batch.
    """
    rows = [row for shard in sorted(pending) if pending[shard] for row in _pending_rows(dest, shard)]
    if only is not None:
        rows = [row for row in rows if row["image_id"][0].as_py() in only[row["shard"][0].as_py()]]
    stages = [phase for _, operator in flow.stages(profile) for phase in operator.phases]
    pool = profile.stage("worker").pool
    workers = min(len(rows), pool[1] if pool else cores())
    teams = [
        {number: Child(stage, profile.image) for number, stage in enumerate(stages) if not stage.storage}
        for _ in range(workers)
    ]
    idle: SimpleQueue[dict[int, Child]] = SimpleQueue()
    for team in teams:
        idle.put(team)

    def work(row: pa.Table) -> pa.Table:
        team = idle.get()
        try:
            for number, stage in enumerate(stages):
                row = work_row(team[number], stage, row) if number in team else _apply(stage, row)
                if sharing is not None and stage.tells_twins is not None:
                    row, waiting = sharing.claim(row, stage.tells_twins)
                    if waiting is not None:
                        return waiting
            return row
        finally:
            idle.put(team)

    with ThreadPoolExecutor(workers) as threads:
        try:
            for done in as_completed([threads.submit(partial(work, row)) for row in rows]):
                yield done.result()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            for child in [child for team in teams for child in team.values()]:
                child.close()


def _pending_rows(dest: str, shard: int) -> list[pa.Table]:
    rows = complete_rows(index.read_shard(dest, shard))
    done = ledger.done_ids(dest, shard)
    return [rows.slice(number, 1) for number, image in enumerate(rows["image_id"].to_pylist()) if image not in done]


def _apply(operator: Operator, row: pa.Table) -> pa.Table:
    result = operator.apply(add_columns(row, operator.columns, operator.name))
    check_schema(result, operator.name)
    return result
