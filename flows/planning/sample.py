"""A sample of a source through each stage of a flow alone: what an image costs there, and what a
process holds.

A stage is measured in processes of its own, as a run lays it out, so that their memory is the
stage's. As many of them work at once as the machine has cores, each on its part of the sample: a
core that shares caches and memory with busy neighbours is slower than one that has the machine to
itself, and a run keeps all of them busy. A stage that holds a GPU has it alone.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cluster.profile import Profile, cores
from flows.engine.blocks import LARGEST_BLOCK
from flows.flow import Flow
from operators.models.threads import use_one_thread
from operators.operator import Operator
from operators.rows.failure import RunError
from operators.rows.schema import SCHEMA, check_schema, complete
from operators.storage.listing import list_source, output_path

IMAGES = 48
LISTED = 4096
"""Images at the beginning of the listing that the sample is drawn from."""
Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Index rows of some images of a source, in random order, and the seconds a listing takes for
    one.
    """

    rows: pa.Table
    listing_seconds: float


@dataclass(frozen=True)
class Measured:
    """What a stage of a flow took for each image of a sample (seconds, in the sample's order),
    and what a process held.
    """

    seconds: Seconds
    """Of one process, waiting for storage included, waiting for a core that other processes had
    not.
    """
    cpu_seconds: Seconds
    """Of a core."""
    model_seconds: Seconds
    """In models: where they run on a GPU, the most that they can have kept it busy."""
    memory: float
    """Bytes: the largest process at its peak."""
    gpu_memory: float
    """Bytes that the process took of a GPU; 0 where there is none."""
    opened: float
    """Seconds until a process was ready."""


def sample(source: str) -> Sample:
    """Images drawn at random from the first ones of a listing. Raises RunError as the listing
    does.
    """
    start = time.perf_counter()
    listed = list(islice(list_source(source, ""), LISTED))
    seconds = (time.perf_counter() - start) / max(1, len(listed))
    if not listed:
        raise RunError("source_missing", f"there are no images under {source}")
    drawn = random.Random(0).sample(listed, min(IMAGES, len(listed)))
    values = {
        "image_id": [item.image_id for item in drawn],
        "uri": [item.uri for item in drawn],
        "path": [output_path(item.path) for item in drawn],
        "shard": [0] * len(drawn),
        "size": [item.size if item.size >= 0 else None for item in drawn],
        "etag": [item.etag for item in drawn],
    }
    return Sample(pa.table({name: pa.array(kept, SCHEMA.field(name).type) for name, kept in values.items()}), seconds)


def measure_stages(flow: Flow, profile: Profile, rows: pa.Table, work: Path) -> Iterator[tuple[str, Measured]]:
    """Every stage of a flow by its name in `Flow.lay_out`, measured on these index rows; `work`
    holds what goes between.

    Raises RunError run_interrupted if a process of a stage dies.
    """
    laid_out, names = flow.lay_out(profile)
    table = complete(rows)
    for name, (_, operator) in zip(names, flow.stages(profile), strict=True):
        stage = laid_out.stages[name]
        beside = 1 if stage.gpus else min(cores(), len(table))
        bounds = [len(table) * part // beside for part in range(beside + 1)]
        batch = stage.batch or profile.images_per_block or LARGEST_BLOCK
        for part in range(beside):
            _put(table.slice(bounds[part], bounds[part + 1] - bounds[part]), work / f"{part}.arrow")
        gpu_before = gpu_memory_used()
        context = get_context("spawn")
        with ProcessPoolExecutor(beside, context, _meet, (context.Barrier(beside),)) as pool:
            jobs = [pool.submit(_work, operator, work / f"{part}.arrow", batch, gpu_before) for part in range(beside)]
            try:
                parts = [job.result() for job in jobs]
            except BrokenProcessPool as error:
                raise RunError("run_interrupted", f"a process of {name} died on the sample", 3) from error
        table = pa.concat_tables(_get(work / f"{part}.arrow") for part in range(beside))
        yield name, _joined(parts)


def _joined(parts: list[Measured]) -> Measured:
    def all_of(name: str) -> Seconds:
        return np.concatenate([getattr(part, name) for part in parts])

    def most(name: str) -> float:
        return float(max(getattr(part, name) for part in parts))

    return Measured(
        all_of("seconds"), all_of("cpu_seconds"), all_of("model_seconds"), most("memory"), most("gpu_memory"), most("opened")
    )


_together: Any = None


def _meet(barrier: Barrier) -> None:
    global _together
    _together = barrier


def _work(operator: Operator, file: Path, batch: int, gpu_before: float) -> Measured:
    """One part of the sample through one stage, in a process of its own; the result takes the
    part's place.
    """
    start = time.perf_counter()
    use_one_thread()
    operator.open()
    table = _get(file)
    operator.apply(table.slice(0, 1))  # what is loaded with the first image is no cost of every image
    opened = time.perf_counter() - start
    _together.wait()
    done, seconds, cpu_seconds, model_seconds = [], [], [], []
    for first in range(0, len(table), batch):
        rows = table.slice(first, batch)
        wall, cpu, queue = time.perf_counter(), time.process_time(), _queued()
        result = operator.apply(rows)
        wall, cpu, queue = time.perf_counter() - wall, time.process_time() - cpu, _queued() - queue
        wall -= queue
        check_schema(result, operator.name)
        spent, in_models = (_milliseconds(result, kind) - _milliseconds(rows, kind) for kind in ("total", "model"))
        shares = spent / spent.sum() if spent.sum() else np.full(len(rows), 1 / len(rows))
        seconds.append(wall * shares)
        cpu_seconds.append(cpu * shares)
        model_seconds.append(wall * shares * np.divide(in_models, spent, out=np.zeros(len(rows)), where=spent > 0))
        done.append(result)
    gpu_memory = max(0.0, gpu_memory_used() - gpu_before)
    _put(pa.concat_tables(done), file)
    whole, core, models = (np.concatenate(figures) for figures in (seconds, cpu_seconds, model_seconds))
    return Measured(whole, core, models, _peak_memory(), gpu_memory, opened)


def _milliseconds(table: pa.Table, kind: str) -> Seconds:
    """What the operators so far have noted for each row."""
    timings = table["timings"].to_pylist()
    return np.array([sum(timing[kind] for timing in row or ()) for row in timings], np.float64)


def _put(table: pa.Table, file: Path) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _get(file: Path) -> pa.Table:
    with pa.OSFile(str(file), "rb") as source:
        return pa.ipc.open_file(source).read_all()


def _queued() -> float:
    """Seconds that this thread has been ready to work while other processes had the cores; 0
    where Linux does not count.
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _peak_memory() -> float:
    """Bytes that this process has held at most. `getrusage` would count what its parent held
    before it was spawned.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def gpu_memory_used() -> float:
    """Bytes in use on the first GPU, by whatever process; 0 without one.

    The whole GPU is asked, not the process: inside a container the driver cannot tell processes
    apart, and only so is what every library and the context take counted. Frameworks keep what
    they have held, so it still shows afterwards.
    """
    return _gpu("memory.used")


def gpu_memory() -> float:
    """Bytes that the first GPU has; 0 without one."""
    return _gpu("memory.total")


def _gpu(figure: str) -> float:
    command = ["nvidia-smi", "--id=0", f"--query-gpu={figure}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return float(answer.stdout) * 1024**2
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0.0
