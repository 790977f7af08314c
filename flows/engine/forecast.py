"""What a long run will cost, from a few of its images that are worked before it starts."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from cluster.profile import Profile, cores
from flows.engine.quarantine import Child, work_row
from flows.flow import Flow
from operators.fetch import Fetch
from operators.ledger import index
from operators.operator import Chain
from operators.rows.schema import complete_rows

LONG_RUN = 200
"""A run over fewer images is not forecast."""
SAMPLED = 6
"""Images that are worked for a forecast."""
MOST_SECONDS = 60.0
"""No further image of the sample begins after this time."""


@dataclass(frozen=True)
class Forecast:
    """The cost of a run, as a sample predicts it."""

    sampled: int
    """Images in the sample."""
    seconds_per_image: float
    """Mean seconds of one core."""
    images: int
    workers: int

    @property
    def seconds(self) -> float:
        """How long all images take on all workers."""
        return self.images * self.seconds_per_image / self.workers

    def figures(self) -> dict[str, Any]:
        """The fields and the seconds of the run, as JSON has them."""
        return {**asdict(self), "seconds": self.seconds}


def forecast(flow: Flow, dest: str, profile: Profile, pending: Mapping[int, int]) -> Forecast | None:
    """Work some pending images as a run would, deliver nothing, and predict the run.

    None if no image of the sample could be worked.
    """
    rows = complete_rows(index.read_shard(dest, min(shard for shard in pending if pending[shard])))
    chosen = random.Random(0).sample(range(len(rows)), min(SAMPLED, len(rows)))
    chain = Chain(tuple(operator for operator in flow.operators if not operator.storage))
    fetch = next((operator for operator in flow.operators if isinstance(operator, Fetch)), Fetch())
    workers = min(cores(), len(chosen))
    started, seconds = time.monotonic(), list[float]()

    def work(positions: list[int]) -> None:
        child = Child(chain, profile.image)
        try:
            for position in positions:
                if time.monotonic() - started > MOST_SECONDS:
                    return
                row = work_row(child, chain, fetch.apply(rows.slice(position, 1)))
                seconds.append(_seconds(row))
        finally:
            child.close()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, [chosen[first::workers] for first in range(workers)]))
    if not seconds:
        return None
    pool_size = profile.stage("worker").pool if profile.placement == "fused" else None
    return Forecast(len(seconds), sum(seconds) / len(seconds), sum(pending.values()), pool_size[1] if pool_size else cores())


def _seconds(row: pa.Table) -> float:
    (timings,) = row["timings"].to_pylist()
    return float(sum(timing["total"] for timing in timings)) / 1000
