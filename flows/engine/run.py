"""A run: a flow over every image of a source into a destination, resumable at any point."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from cluster.profile import Profile
from flows.engine.blocks import images_per_block, pack_blocks
from flows.engine.few_images import suits, work_few
from flows.engine.fill_column import FILLS, select_columns
from flows.engine.forecast import LONG_RUN, Forecast, forecast
from flows.engine.interruption import run_error_from
from flows.engine.lost_nodes import NodeWatch
from flows.engine.packing import check_collection, pack
from flows.engine.places import check_allowed, check_places
from flows.engine.polling import batches_or_none
from flows.engine.session import check_address, connect
from flows.engine.settings import (
    Options,
    calls_of,
    check_settings,
    keep_calls,
    note_calls,
    note_left_out,
    record,
    restricted,
    run_id,
)
from flows.engine.sharing import WAITING, Sharing, discard, ids_by_shard, part_waiting, prepare
from flows.engine.stages import stream
from flows.engine.twins import deliver_here, delivery
from flows.flow import Flow
from flows.reports.parts import finish, unfinish
from flows.telemetry.gauges import Gauges
from flows.telemetry.log import name_run
from flows.telemetry.progress import StageCounts
from flows.telemetry.summary import Summary
from operators.ledger import index, ledger
from operators.ledger.counts import add_texts, count_finished
from operators.ledger.lease import Lease
from operators.ledger.part import FOLDER, WHOLE, Part, hold
from operators.rows.counted import counted
from operators.rows.failure import CODES, Failure, RunError
from operators.selection.zone_notes import has_zone_outside
from operators.storage import files as storage
from operators.storage.listing import list_source, output_path, require_images
from operators.write import Write

if TYPE_CHECKING:
    from ray.data import Dataset

WRONG_USE = 2
"""The exit code of a run that is refused."""
OUTAGE_AFTER = 32
"""This many images in a row with transient failures mean an outage, not bad images."""
FIRST_IMAGES = 1000
"""This many images are checked for what the flow needs before the run starts."""
MOST_READ_HERE = 16 * 1024
"""The driver reads the index of so many pending images itself; of more, a process reads it."""
LARGEST_READ_HERE = 32 * 1024 * 1024
"""Bytes of the index that the driver reads itself, at most."""
SHARDS = pa.schema([("shard", pa.int64()), ("files", pa.list_(pa.string())), ("only", pa.list_(pa.string()))])
"""What `read_pending` gets."""
OUTCOME = ("image_id", "shard", "size", "width", "height", "verdict", "failure", "texts", "notes", "timings", FILLS)
"""The columns that the driver needs of a committed image.

They are small enough for Ray to return them inside the reply of the task.
"""


@dataclass(frozen=True)
class _Run:
    """One attempt at a run: its inputs, its lease of the destination, and its summary so far."""

    flow: Flow
    """The flow, whose last operator commits rows to the ledger."""
    source: str
    dest: str
    profile: Profile
    options: Options
    lease: Lease
    progress: Callable[[Summary], None]
    say_forecast: Callable[[Forecast], None] | None = None
    summary: Summary = field(default_factory=Summary)

    def report_progress(self) -> None:
        """Pass the summary to the caller of the run."""
        self.progress(self.summary)


def run(
    flow: Flow,
    source: str,
    dest: str,
    profile: Profile,
    options: Options = Options(),
    progress: Callable[[Summary], None] = lambda summary: None,
    say_forecast: Callable[[Forecast], None] | None = None,
) -> Summary:
    """Process every image of `source` that has no final ledger row in `dest`.

    The flow's images are delivered by `Write`, unless the flow ends with an operator that commits
    rows itself.

    Of a run in parts, `options.part` is worked; `flows.engine.merge` makes the report of all.

    A manifest as `source` may name only what `options.allow` does; see `operators.storage.allowed`.

    Calls `progress` after every block, and `say_forecast` before a long run on this machine starts.
    Raises RunError: with exit code 2 for what the user must correct, with 3 for a run that ended
    early and that the same command resumes. It also raises
    one with exit code 1, fills_failed, at the end of a run in which every fill of a rung ended
    with an error: its images are delivered and final, but the model does not work.
    """
    check_address()
    check_places(source, dest)
    dest = storage.absolute(dest)
    flow = keep_calls(restricted(flow, source, options.allow), dest)
    ended = flow if flow.ends else flow.then(Write(dest))
    for operator in flow.operators:
        operator.check()
    try:
        storage.check_reachable(dest)
        require_images(source, dest)
        if options.to is not None:
            check_collection(options.to, source, ended)
        check_allowed(flow, source)
        for operator in flow.operators:
            operator.check_images(partial(_list_first_paths, source, dest, options))
        with _leave_no_trace(dest, options.part), hold(dest, options.part) as lease:
            return _run(_Run(ended, source, dest, profile, options, lease, progress, say_forecast))
    except Failure as failure:
        raise RunError(failure.code, failure.message, exit_code=3) from failure


@contextmanager
def _leave_no_trace(dest: str, part: Part) -> Iterator[None]:
    """Remove what a run has written if it is refused and there was no run in `dest` before."""
    was_there, had_folder = storage.exists(storage.join(dest, "run.json")), storage.exists(dest)
    try:
        yield
    except RunError as error:
        if error.exit_code == WRONG_USE and not was_there:
            for shard in index.shards(dest, part):
                storage.remove(index.shard_uri(dest, shard))
            # Other parts may have started meanwhile.
            if not storage.list_paths(storage.join(dest, FOLDER)) and not index.shards(dest):
                storage.remove(storage.join(dest, "run.json"))
            if not had_folder:
                storage.remove_empty_folders(dest)
        raise


def _list_first_paths(source: str, dest: str, options: Options) -> Iterator[str]:
    """The relative paths of the first images of a run. Raises RunError as `list_source` does."""
    most = FIRST_IMAGES if options.limit is None else min(options.limit, FIRST_IMAGES)
    return (output_path(image.path) for image in islice(options.intake.of(list_source(source, dest)), most))


def _run(run: _Run) -> Summary:
    from flows.reports.run_report import report_uri, write_report

    summary, dest = run.summary, run.dest
    summary.part = "" if run.options.part == WHOLE else str(run.options.part)
    if run.options.fresh:
        # A source that is missing must not cost the earlier run.
        next(_list_first_paths(run.source, dest, run.options), None)
    part = run.options.part
    # First of all, so that no part starts with other settings or another number of parts.
    recorded = check_settings(run.flow, run.source, dest, run.options)
    if not recorded and not record(run.flow, run.source, dest, run.profile, run.options):
        check_settings(run.flow, run.source, dest, run.options)

    def report_listed(count: int) -> None:
        summary.listed = count
        run.report_progress()

    sizes = index.build(run.source, dest, run.options.limit, report_listed, run.options.intake, summary.left_out, part)
    left_out_changed = part == WHOLE and note_left_out(dest, summary.left_out)
    pending = _count_pending(dest, sizes)
    summary.total, summary.before = sum(sizes.values()), sum(sizes.values()) - sum(pending.values())
    summary.counts_before = count_finished(dest, sizes)
    run.report_progress()
    if pending:
        # If this run dies, a later one must not keep the report of the state before it.
        storage.remove(report_uri(dest))
        unfinish(dest, part)
    if sum(pending.values()):
        _work(run, pending, sizes)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda shard: ledger.compact(dest, shard, sizes[shard]), sorted(pending)))
    summary.calls = calls_of(run.flow, dest)
    if part == WHOLE:
        note_calls(dest, summary.calls)
        report_is_current = not pending and not left_out_changed and storage.exists(report_uri(dest))
        summary.report = report_uri(dest) if report_is_current else write_report(dest)
    if summary.transient:
        codes = ", ".join(sorted(code for code in summary.failures if CODES[code].transient))
        raise RunError("incomplete", f"{summary.line()} | run again to retry: {codes}", exit_code=3)
    if part == WHOLE and run.options.to is not None:
        pack(dest, run.options.to, run.source)
    if part != WHOLE:
        finish(dest, part, summary.total, summary.left_out, {each.alias: each.record() for each in summary.calls})
    if summary.fills.broken_rungs():
        raise RunError("fills_failed", f"{summary.line()} | mend the model, then start over with --fresh", exit_code=1)
    return summary


def _count_pending(dest: str, sizes: dict[int, int]) -> dict[int, int]:
    """Count the images without a final ledger row in each shard that is not one file yet.

    The count is 0 for a shard that only has to be compacted. A complete shard is compacted again if
    a worker outlived its driver and has committed a part late.
    """
    files = ledger.files_by_shard(dest)
    open_shards = [shard for shard in sizes if files.get(shard) != [ledger.COMPLETE]]

    def count_missing(shard: int) -> int:
        return sizes[shard] - (len(ledger.done_ids(dest, shard)) if shard in files else 0)

    with ThreadPoolExecutor(16) as pool:
        return dict(zip(open_shards, pool.map(count_missing, open_shards), strict=True))


def read_pending(dest: str, images: int, items: pa.Table) -> Iterator[pa.Table]:
    """Read the pending index rows of some shards, in blocks of at most `images` rows.

    Each item is a `shard`, the names of its ledger `files`, and the ids of the images that are
    `only` to be read, null for all. A row is pending if these files hold no final row for its
    image. Files committed later do not count: when a node dies, the engine reads lost blocks again
    by their position, so the same blocks must come out.
    """
    for shard, files, only in zip(*(items[name].to_pylist() for name in ("shard", "files", "only")), strict=True):
        rows = index.read_shard(dest, shard)
        if only is not None:
            rows = rows.filter(pc.is_in(rows["image_id"], value_set=pa.array(only, pa.string())))
        done = ledger.done_ids_in(ledger.read_shard(dest, shard, files))
        pending = rows.filter(pa.array([image_id not in done for image_id in rows["image_id"].to_pylist()], pa.bool_()))
        if len(pending):
            yield pack_blocks(pending, images)


def plan(
    flow: Flow,
    dest: str,
    profile: Profile,
    pending: Mapping[int, int],
    sharing: Sharing | None = None,
    only: Mapping[int, Sequence[str]] | None = None,
) -> Dataset:
    """The lazy Ray Dataset of a run, which yields the OUTCOME columns of every pending image.

    It reads the shards, cuts their pending rows into small blocks and passes these through the
    stages of the flow. `pending` counts the pending images by shard, and `only` names them if not
    all are to be processed.
    """
    import ray.data

    from flows.engine.backpressure import bound_waiting_blocks

    bound_waiting_blocks()
    files = ledger.files_by_shard(dest)
    numbers = [shard for shard in sorted(pending) if pending[shard]]
    shards = [{"shard": shard, "files": files.get(shard, []), "only": only and list(only[shard])} for shard in numbers]
    images = sum(pending.values())
    read = partial(read_pending, dest, images_per_block(flow.lay_out(profile)[0], images))
    if images <= MOST_READ_HERE and (blocks := _read_here(read, shards)) is not None:
        dataset: Dataset = ray.data.from_blocks(blocks)
    else:
        items = ray.data.from_items(shards, override_num_blocks=len(shards))
        dataset = items.map_batches(read, batch_format="pyarrow", batch_size=None).repartition(target_num_rows_per_block=1)
    return stream(flow, dataset, profile, OUTCOME, sharing)


def _read_here(read: Callable[[pa.Table], Iterable[pa.Table]], shards: Sequence[Mapping[str, object]]) -> list[pa.Table] | None:
    """The pending blocks of some shards, one by one; None if they take more than LARGEST_READ_HERE.

    A driver that reads them itself needs no process for it, which would take longer to start than
    to read.
    """
    blocks: list[pa.Table] = []
    size = 0
    for table in read(pa.Table.from_pylist(list(shards), schema=SHARDS)):
        size += table.nbytes
        if size > LARGEST_READ_HERE:
            return None
        blocks += [table.slice(row, 1) for row in range(len(table))]
    return blocks


@dataclass(frozen=True)
class _Engine:
    """How the images of a run are processed: with Ray, or without it."""

    work: Callable[[Mapping[int, int], Sharing | None, Mapping[int, Sequence[str]] | None], Iterable[pa.Table | None]]
    """Takes the pending images by shard, how they share results, and which of them only."""
    deliver: Callable[[Sequence[bytes]], Iterable[pa.Table | None]]
    """Takes the images that wait."""
    observe: Callable[[Summary], None] = lambda summary: None
    wait: Callable[[], None] = lambda: None


def _work(run: _Run, pending: dict[int, int], sizes: dict[int, int]) -> None:
    """Process the pending images and compact every shard that becomes complete.

    Raises RunError with exit code 3 when the run cannot go on, and profile_does_not_fit.
    """
    if suits(run.profile, sum(pending.values())):
        run.summary.pace.watch(run.flow, run.profile)
        run.report_progress()
        few = _Engine(
            partial(work_few, run.flow, run.dest, run.profile),
            lambda twins: deliver_here(run.flow, run.profile.image, twins, OUTCOME),
        )
        _work_all(run, pending, sizes, few)
        return
    if run.say_forecast is not None and sum(pending.values()) >= LONG_RUN and not os.environ.get("RAY_ADDRESS"):
        predicted = forecast(run.flow, run.dest, run.profile, pending)
        if predicted is not None:
            run.say_forecast(predicted)
    run = replace(run, profile=connect(run.flow, run.profile))
    name_run(run_id(run.dest))
    import ray

    from flows.engine.ray_internals import mute_ray, stage_counts

    mute_ray()
    stages = len(run.flow.stages(run.profile))
    current: list[Dataset] = []

    def work(
        pending: Mapping[int, int], sharing: Sharing | None, only: Mapping[int, Sequence[str]] | None
    ) -> Iterator[pa.Table | None]:
        current[:] = [plan(run.flow, run.dest, run.profile, pending, sharing, only)]
        return batches_or_none(current[0])

    try:
        run.summary.pace.watch(
            run.flow, run.profile, lambda: stage_counts(current[0], stages) if current else [StageCounts()] * stages
        )
        gauges, node_watch = Gauges(), NodeWatch(run.flow, run.profile)
        gauges.set(run.summary)
        run.report_progress()
        with_ray = _Engine(
            work,
            lambda twins: batches_or_none(delivery(run.flow, run.profile.image, twins, OUTCOME)),
            gauges.set,
            node_watch.check,
        )
        _work_all(run, pending, sizes, with_ray)
    except (ray.exceptions.RayError, OSError) as error:
        raise run_error_from(error) from error


def _work_all(run: _Run, pending: Mapping[int, int], sizes: Mapping[int, int], engine: _Engine) -> None:
    """Process the pending images, each content once, and deliver the results for its twins.

    Twins for which there is no result that can be shared are processed in the end, each by itself.
    """
    remaining = dict(pending)
    discard(run.dest, run.options.part)
    sharing = prepare(run.flow, run.dest, pending, run.options.part)
    twins = _collect(run, engine.work(pending, sharing, None), remaining, sizes, engine)
    if sharing is not None:
        discard(run.dest, run.options.part)
    left = len(twins) + 1
    # An image may wait for one that waits itself.
    while twins and len(twins) < left:
        left, twins = len(twins), _collect(run, engine.deliver(twins), remaining, sizes, engine)
    if twins:
        only = ids_by_shard(twins)
        _collect(run, engine.work({shard: len(ids) for shard, ids in only.items()}, None, only), remaining, sizes, engine)


def _collect(
    run: _Run, batches: Iterable[pa.Table | None], remaining: dict[int, int], sizes: Mapping[int, int], engine: _Engine
) -> list[bytes]:
    """Count the finished rows as they arrive, and compact every shard that becomes complete.

    The number of images that `remaining` has for each shard falls as they arrive. Returns the
    images that wait for the result of another one. None stands for a moment without rows, in
    which the engine's `wait` is called; `observe` gets the summary after every batch. Raises
    RunError with exit code 3 when the run cannot go on.
    """
    summary, transient_in_a_row, start = run.summary, 0, time.monotonic() - run.summary.seconds
    twins: list[bytes] = []
    for arrived in batches:
        if run.lease.lost.is_set():
            raise RunError("destination_in_use", "another run took this destination", 3)
        if arrived is None:
            engine.wait()
            continue
        rows, waiting = part_waiting(arrived)
        if waiting is not None:
            twins += waiting[WAITING].to_pylist()
        if not len(rows):
            continue
        batch = rows if FILLS in rows.column_names else select_columns(rows, OUTCOME)
        summary.pace.add_block(batch)
        add_texts(summary.texts, batch["texts"].to_pylist())
        summary.zones_outside += sum(has_zone_outside(notes) for notes in batch["notes"].to_pylist())
        for fills in batch[FILLS].to_pylist():
            for counts in fills or []:
                summary.fills.add(**counts)
        for shard, verdict, failure in zip(
            batch["shard"].to_pylist(), batch["verdict"].to_pylist(), batch["failure"].to_pylist(), strict=True
        ):
            summary.verdicts[verdict] += 1
            remaining[shard] -= 1
            transient_in_a_row = transient_in_a_row + 1 if failure and CODES[failure["code"]].transient else 0
            if failure:
                summary.failures[failure["code"]] += 1
            if remaining[shard] == 0:
                ledger.compact(run.dest, shard, sizes[shard])
        summary.seconds = time.monotonic() - start
        engine.observe(summary)
        run.report_progress()
        if transient_in_a_row >= OUTAGE_AFTER:
            code = next(iter(failure["code"] for failure in reversed(batch["failure"].to_pylist()) if failure))
            raise RunError("outage", f"{counted(transient_in_a_row, 'image')} in a row failed with {code}; run again later", 3)
    if missing := sum(remaining.values()) - len(twins):
        raise RunError("incomplete", f"{counted(missing, 'image')} did not arrive; run again", 3)
    return twins
