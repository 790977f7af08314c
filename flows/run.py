"""A run: a flow over every image of a source into a destination, resumable at any point."""

from __future__ import annotations

import json
import logging
import math
import os
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from cluster.profile import Profile
from flows.flow import Flow
from operators import index, ledger, storage
from operators.failure import CODES, Failure, RunError
from operators.image_encoder import image_encoder_identity
from operators.inpaint import Inpaint
from operators.registry import identity
from operators.stroke_network import stroke_network_identity
from operators.text_detector import text_detector_identity
from operators.write import Write

if TYPE_CHECKING:
    from ray.data import Dataset

VERSIONS_RECORDED = ("numpy", "onnxruntime", "opencv-python-headless", "pillow", "pyarrow", "pypatchmatch", "rapidocr", "ray")
OUTAGE_AFTER = 32
"""This many images in a row with transient failures are an outage, not bad images."""
LARGEST_BLOCK = 16
BLOCKS_PER_WORKER = 16
LARGEST_OBJECT_STORE = 2 * 1024**3


@dataclass
class Summary:
    """What a run did: images by verdict, failures by code, and its pace."""

    total: int = 0
    before: int = 0
    """Images that an earlier run had finished."""
    verdicts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    report: str = ""

    @property
    def worked(self) -> int:
        """Images worked by this run."""
        return sum(self.verdicts.values())

    @property
    def transient(self) -> int:
        """Images that a later run should try again."""
        return sum(count for code, count in self.failures.items() if CODES[code].transient)

    def line(self) -> str:
        """The one line that ends a run."""
        parts = [f"{self.total} images"]
        if self.before:
            parts.append(f"{self.before} done before")
        parts += [f"{self.verdicts[name]} {name.replace('_', ' ')}" for name in VERDICTS if self.verdicts[name]]
        codes = ", ".join(f"{code} {count}" for code, count in sorted(self.failures.items()))
        pace = f"{self.worked / self.seconds:.2f} images/s" if self.seconds and self.worked else ""
        return " | ".join(part for part in (", ".join(parts), codes, pace, self.report) if part)


VERDICTS = ("edited", "untouched", "rolled_back", "skipped", "failed")


@dataclass(frozen=True)
class Options:
    """What a run is told beside its flow: the run's seed and source filter, and whether to start over."""

    seed: int = 0
    limit: int | None = None
    fresh: bool = False


def run(
    flow: Flow,
    source: str,
    dest: str,
    profile: Profile,
    options: Options = Options(),
    progress: Callable[[Summary], None] = lambda summary: None,
) -> Summary:
    """Work every image of `source` that `dest` has no final ledger row for.

    Calls `progress` after every block. Raises RunError: exit code 2 for what the user must mend, 3 for a run that ended
    early and is taken up again by the same command.
    """
    for fill in _fills(flow):
        fill.check()
    try:
        with ledger.Lease(dest).held() as lease:
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
    lease: ledger.Lease,
) -> Summary:
    recorded = _check_settings(flow, source, dest, options)
    sizes = index.build(source, dest, options.limit)
    if not recorded:
        _record(flow, source, dest, profile, options)
    pending = _pending_by_shard(dest, sizes)
    summary = Summary(total=sum(sizes.values()), before=sum(sizes.values()) - sum(pending.values()))
    progress(summary)
    if sum(pending.values()):
        _work(flow, dest, profile, pending, sizes, summary, progress, lease)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda shard: ledger.compact(dest, shard, sizes[shard]), sorted(pending)))
    from flows.report import write_report

    summary.report = write_report(dest)
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


def read_pending(dest: str, items: pa.Table) -> Iterator[pa.Table]:
    """The index rows of the shards in `items` that have no final ledger row."""
    for shard in items["shard"].to_pylist():
        rows = index.read_shard(dest, shard)
        done = ledger.done_ids(dest, shard)
        yield rows.filter(pa.array([image_id not in done for image_id in rows["image_id"].to_pylist()], pa.bool_()))


def plan(flow: Flow, dest: str, profile: Profile, pending: dict[int, int]) -> Dataset:
    """The lazy Ray Dataset of a run: shards, their pending rows in small blocks, the flow's stages."""
    import ray.data

    shards = [{"shard": shard} for shard in sorted(pending) if pending[shard]]
    workers = sum(stage.pool[1] for stage in profile.stages.values() if stage.pool) or 1
    block = profile.images_per_block or max(1, min(LARGEST_BLOCK, sum(pending.values()) // (BLOCKS_PER_WORKER * workers)))
    read = ray.data.from_items(shards, override_num_blocks=len(shards)).map_batches(
        partial(read_pending, dest), batch_format="pyarrow", batch_size=None
    )
    return flow.stream(read.repartition(target_num_rows_per_block=block), profile)


def _work(
    flow: Flow,
    dest: str,
    profile: Profile,
    pending: dict[int, int],
    sizes: dict[int, int],
    summary: Summary,
    progress: Callable[[Summary], None],
    lease: ledger.Lease,
) -> None:
    connect(flow, profile)
    import ray

    remaining, transient_in_a_row = dict(pending), 0
    start = time.monotonic()
    try:
        for batch in plan(flow, dest, profile, pending).iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        ):
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
            progress(summary)
            if transient_in_a_row >= OUTAGE_AFTER:
                code = next(iter(failure["code"] for failure in reversed(batch["failure"].to_pylist()) if failure))
                raise RunError("outage", f"{transient_in_a_row} images in a row failed with {code}; run again later", 3)
            if lease.lost.is_set():
                raise RunError("destination_in_use", "another run took this destination", 3)
    except (ray.exceptions.RayError, OSError) as error:
        raise RunError("run_interrupted", _last_line(error), 3) from error


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]


def connect(flow: Flow, profile: Profile) -> None:
    """Connect to the Ray cluster named by RAY_ADDRESS, or start one on this machine, without its chatter.

    Raises RunError profile_does_not_fit, before anything starts where this machine alone decides it.
    """
    local_cpus = profile.local_cpus or flow.demand(profile)["CPU"]
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    from ray.data import DataContext

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if not ray.is_initialized() and not os.environ.get("RAY_ADDRESS"):
        _refuse_unless_fits(flow, profile, {"CPU": local_cpus, "GPU": math.inf})
    if not ray.is_initialized():
        settings: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if not os.environ.get("RAY_ADDRESS"):
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            settings |= {
                "num_cpus": math.ceil(local_cpus),
                "include_dashboard": False,
                "object_store_memory": min(LARGEST_OBJECT_STORE, memory // 5),
            }
        with _silenced():
            ray.init(**settings)
    _refuse_unless_fits(flow, profile, ray.cluster_resources())
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.max_consecutive_actor_init_deaths = 8


def _refuse_unless_fits(flow: Flow, profile: Profile, cluster: Mapping[str, float]) -> None:
    refusal = flow.refusal(profile, cluster)
    if refusal:
        raise RunError("profile_does_not_fit", refusal)


@contextmanager
def _silenced() -> Iterator[None]:
    """Nothing reaches standard error meanwhile: Ray's native code greets there whatever its log level."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _check_settings(flow: Flow, source: str, dest: str, options: Options) -> bool:
    """Whether run.json stands already; raises RunError settings_changed if it tells of another run than this one."""
    uri = storage.joined(dest, "run.json")
    if options.fresh:
        for part in ("ledger", "index", "run.json", "report.html"):
            storage.remove(storage.joined(dest, part))
        return False
    if not storage.exists(uri):
        return False
    earlier = json.loads(storage.read(uri))
    settings = json.loads(json.dumps([operator.settings() for operator in flow.operators]))
    if earlier["settings"] != settings:
        changed = dict.fromkeys(new["operator"] for new in settings if new not in earlier["settings"]) or ["its operators"]
        raise RunError(
            "settings_changed",
            f"{dest} holds a run with other settings ({', '.join(changed)}); use another DEST, or --fresh to start over",
        )
    if earlier["source"] != source:
        raise RunError("settings_changed", f"{dest} holds a run over {earlier['source']}; use another DEST, or --fresh")
    return True


def _fills(flow: Flow) -> list[Inpaint]:
    """One operator for each model that fills."""
    return list({operator.model.alias: operator for operator in flow.operators if isinstance(operator, Inpaint)}.values())


def _record(flow: Flow, source: str, dest: str, profile: Profile, options: Options) -> None:
    """Write run.json: what a later run must have in common with this one, and what it was made by."""
    content = {
        "source": source,
        "seed": options.seed,
        "settings": [operator.settings() for operator in flow.operators],
        "models": [
            text_detector_identity(),
            stroke_network_identity(),
            image_encoder_identity(),
            *(identity(fill.model) for fill in _fills(flow)),
        ],
        "profile": profile.model_dump(mode="json"),
        "versions": {name: version(name) for name in (*VERSIONS_RECORDED, "cleanplate")},
        "machine": {"processor": platform.machine(), "system": platform.system(), "python": platform.python_version()},
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
    storage.write(storage.joined(dest, "run.json"), json.dumps(content, indent=2).encode())
