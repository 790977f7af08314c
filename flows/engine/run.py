"""A run: a flow over every image of a source into a destination, resumable at any point."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from cluster.profile import Profile
from flows.engine.blocks import images_per_block, pack_blocks
from flows.engine.interruption import run_error_from
from flows.engine.lost_nodes import NodeWatch
from flows.engine.polling import batches_or_none
from flows.engine.session import connect
from flows.engine.settings import Options, check_settings, record, run_id
from flows.engine.stages import stream
from flows.flow import Flow
from flows.telemetry.gauges import Gauges
from flows.telemetry.log import name_run
from flows.telemetry.summary import Summary
from operators.ledger import index, ledger
from operators.ledger.counts import count_finished
from operators.ledger.lease import Lease
from operators.rows.failure import CODES, Failure, RunError
from operators.storage import files as storage
from operators.write import Write

if TYPE_CHECKING:
    from ray.data import Dataset

OUTAGE_AFTER = 32
"""This many images in a row with transient failures are an outage, not bad images."""
OUTCOME = ("image_id", "shard", "size", "width", "height", "verdict", "failure", "timings")
"""What the driver needs to know of an image that is committed: so little that it travels with the
task's end.
"""


def run(
    flow: Flow,
    source: str,
    dest: str,
    profile: Profile,
    options: Options = Options(),
    progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Work every image of `source` that `dest` has no final ledger row for.

    Calls `progress` after every block. Raises RunError: exit code 2 for what the user must mend,
    3 for a run that ended early and is taken up again by the same command.
    """
    for operator in flow.operators:
        operator.check()
    try:
        storage.reach(dest)
        with Lease(dest).hold() as lease:
            return _run(flow.then(Write(dest)), source, dest, profile, options, progress, lease)
    except Failure as failure:
        raise RunError(failure.code, failure.message, exit_code=3) from failure


def _run(
    flow: Flow,
    source: str,
    dest: str,
    profile: Profile,
    options: Options,
    progress: Callable[[Summary], None],
    lease: Lease,
) -> Summary:
    from flows.reports.run_report import report_uri, write_report

    recorded = check_settings(flow, source, dest, options)
    summary = Summary()

    def listed(count: int) -> None:
        summary.listed = count
        progress(summary)

    sizes = index.build(source, dest, options.limit, listed)
    if not recorded:
        record(flow, source, dest, profile, options)
    pending = _pending_by_shard(dest, sizes)
    summary.total, summary.before = sum(sizes.values()), sum(sizes.values()) - sum(pending.values())
    summary.verdicts_before, summary.failures_before = count_finished(dest, sizes)
    progress(summary)
    if pending:
        storage.remove(report_uri(dest))  # if this run dies, no later one is to take it for its own
    if sum(pending.values()):
        _work(flow, dest, profile, pending, sizes, summary, progress, lease)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda shard: ledger.compact(dest, shard, sizes[shard]), sorted(pending)))
    told = not pending and storage.exists(report_uri(dest))
    summary.report = report_uri(dest) if told else write_report(dest)
    if summary.transient:
        codes = ", ".join(sorted(code for code in summary.failures if CODES[code].transient))
        raise RunError("incomplete", f"{summary.line()} | run again to retry: {codes}", exit_code=3)
    return summary


def _pending_by_shard(dest: str, sizes: dict[int, int]) -> dict[int, int]:
    """Images without a final ledger row, for every shard that has some."""
    files = ledger.files_by_shard(dest)
    open_shards = [shard for shard in sizes if ledger.COMPLETE not in files.get(shard, [])]

    def missing(shard: int) -> int:
        return sizes[shard] - (len(ledger.done_ids(dest, shard)) if shard in files else 0)

    with ThreadPoolExecutor(16) as pool:
        counts = dict(zip(open_shards, pool.map(missing, open_shards), strict=True))
    return {shard: count for shard, count in counts.items() if count} | {shard: 0 for shard in counts if not counts[shard]}


def read_pending(dest: str, images: int, items: pa.Table) -> Iterator[pa.Table]:
    """The index rows of the shards in `items` that no done row of their ledger `files` stands
    for, in blocks of `images`.

    Only those files count, whatever has been committed since: when a node dies, the engine reads
    again what it has lost, by its place among the blocks, so the same blocks must come out.
    """
    for shard, files in zip(items["shard"].to_pylist(), items["files"].to_pylist(), strict=True):
        rows = index.read_shard(dest, shard)
        done = ledger.done_in(ledger.read_shard(dest, shard, files))
        pending = rows.filter(pa.array([image_id not in done for image_id in rows["image_id"].to_pylist()], pa.bool_()))
        if len(pending):
            yield pack_blocks(pending, images)


def plan(flow: Flow, dest: str, profile: Profile, pending: dict[int, int]) -> Dataset:
    """The lazy Ray Dataset of a run: shards, their pending rows in small blocks, the flow's
    stages; OUTCOME of each image.
    """
    import ray.data

    from flows.engine.backpressure import bound_waiting_blocks

    bound_waiting_blocks()
    files = ledger.files_by_shard(dest)
    shards = [{"shard": shard, "files": files.get(shard, [])} for shard in sorted(pending) if pending[shard]]
    block = images_per_block(flow.lay_out(profile)[0], sum(pending.values()))
    read = ray.data.from_items(shards, override_num_blocks=len(shards)).map_batches(
        partial(read_pending, dest, block), batch_format="pyarrow", batch_size=None
    )
    return stream(flow, read.repartition(target_num_rows_per_block=1), profile, OUTCOME)


def _work(
    flow: Flow,
    dest: str,
    profile: Profile,
    pending: dict[int, int],
    sizes: dict[int, int],
    summary: Summary,
    progress: Callable[[Summary], None],
    lease: Lease,
) -> None:
    connect(flow, profile)
    name_run(run_id(dest))
    import ray

    from flows.engine.ray_internals import mute_ray, stage_counts

    mute_ray()

    remaining, transient_in_a_row = dict(pending), 0
    start = time.monotonic()
    try:
        dataset = plan(flow, dest, profile, pending)
        summary.pace.watch(flow, profile, lambda: stage_counts(dataset, len(flow.stages(profile))))
        gauges, node_watch = Gauges(), NodeWatch(flow, profile)
        gauges.set(summary)
        for batch in batches_or_none(dataset):
            if lease.lost.is_set():
                raise RunError("destination_in_use", "another run took this destination", 3)
            if batch is None:
                node_watch.check()
                continue
            summary.pace.saw(batch)
            for shard, verdict, failure in zip(
                batch["shard"].to_pylist(), batch["verdict"].to_pylist(), batch["failure"].to_pylist(), strict=True
            ):
                summary.verdicts[verdict] += 1
                remaining[shard] -= 1
                transient_in_a_row = transient_in_a_row + 1 if failure and CODES[failure["code"]].transient else 0
                if failure:
                    summary.failures[failure["code"]] += 1
                if remaining[shard] == 0:
                    ledger.compact(dest, shard, sizes[shard])
            summary.seconds = time.monotonic() - start
            gauges.set(summary)
            progress(summary)
            if transient_in_a_row >= OUTAGE_AFTER:
                code = next(iter(failure["code"] for failure in reversed(batch["failure"].to_pylist()) if failure))
                raise RunError("outage", f"{transient_in_a_row} images in a row failed with {code}; run again later", 3)
    except (ray.exceptions.RayError, OSError) as error:
        raise run_error_from(error) from error
    if missing := sum(remaining.values()):
        raise RunError("incomplete", f"{missing} images were lost on the way; run again", 3)
