"""Measure the cost of a sample of a source in each stage of a flow.

Each stage runs in separate processes, as in a run, so the memory of these processes is that of the
stage. One process per core works on its part of the sample at the same time, because a run keeps
all cores busy and a core is slower when busy neighbours share its caches and memory. A stage that
holds a GPU runs as a single process.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cluster.profile import Profile, cores
from flows.engine.blocks import LARGEST_BLOCK
from flows.flow import Flow
from operators.models.threads import use_one_thread
from operators.operator import Operator
from operators.rows.failure import RunError
from operators.rows.schema import SCHEMA, add_columns, check_schema, complete_rows
from operators.storage.left_out import LeftOut
from operators.storage.listing import list_source, no_images, output_path

IMAGES = 48
"""Images of a sample at most."""
LISTED = 4096
"""The sample is drawn from this many images at the beginning of the listing."""
Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Index rows of some images of a source in random order, and the listing seconds per image."""

    rows: pa.Table
    listing_seconds: float


@dataclass(frozen=True)
class Measured:
    """Seconds that a stage took for each image, in the order of the sample, and its memory."""

    seconds: Seconds
    """Of one process. Includes waiting for storage but not waiting for a core."""
    cpu_seconds: Seconds
    """Of a core."""
    model_seconds: Seconds
    """In models. If they run on a GPU, an upper bound of the time that they keep it busy."""
    memory: float
    """Peak bytes of the largest process."""
    gpu_memory: float
    """Bytes of GPU memory that the process allocated; 0 without a GPU."""
    opened: float
    """Seconds until a process was ready."""


def draw_sample(source: str) -> Sample:
    """Draw random images from the beginning of a listing; the same ones every time.

    Raises RunError no_images without images, and as the listing does.
    """
    start = time.perf_counter()
    left_out = LeftOut()
    listed = list(islice(list_source(source, left_out=left_out), LISTED))
    seconds = (time.perf_counter() - start) / max(1, len(listed))
    if not listed:
        raise no_images(source, left_out)
    images = random.Random(0).sample(listed, min(IMAGES, len(listed)))
    columns = {
        "image_id": [image.image_id for image in images],
        "uri": [image.uri for image in images],
        "path": [output_path(image.path) for image in images],
        "shard": [0] * len(images),
        "size": [image.size if image.size >= 0 else None for image in images],
        "etag": [image.etag for image in images],
    }
    return Sample(pa.table({name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()}), seconds)


def measure_stages(flow: Flow, profile: Profile, rows: pa.Table, work: Path) -> Iterator[tuple[str, Measured]]:
    """Measure each stage of a flow on these index rows, and yield it with its name in `lay_out`.

    The folder `work` holds the rows between stages. Raises RunError run_interrupted if a process
    of a stage dies.
    """
    laid_out, names = flow.lay_out(profile)
    table = complete_rows(rows)
    for name, (_, operator) in zip(names, flow.stages(profile), strict=True):
        stage = laid_out.stages[name]
        processes = 1 if stage.gpus else min(cores(), len(table))
        bounds = [len(table) * part // processes for part in range(processes + 1)]
        batch = stage.batch or profile.images_per_block or LARGEST_BLOCK
        for part in range(processes):
            _write_table(table.slice(bounds[part], bounds[part + 1] - bounds[part]), work / f"{part}.arrow")
        gpu_before = gpu_memory_used()
        context = get_context("spawn")
        with ProcessPoolExecutor(processes, context, _set_barrier, (context.Barrier(processes),)) as pool:
            jobs = [
                pool.submit(_measure_part, operator, work / f"{part}.arrow", batch, gpu_before) for part in range(processes)
            ]
            try:
                parts = [job.result() for job in jobs]
            except BrokenProcessPool as error:
                raise RunError("run_interrupted", f"a process of {name} died on the sample", 3) from error
        table = pa.concat_tables(_read_table(work / f"{part}.arrow") for part in range(processes))
        yield name, _join(parts)


def _join(parts: list[Measured]) -> Measured:
    return Measured(
        seconds=np.concatenate([part.seconds for part in parts]),
        cpu_seconds=np.concatenate([part.cpu_seconds for part in parts]),
        model_seconds=np.concatenate([part.model_seconds for part in parts]),
        memory=float(max(part.memory for part in parts)),
        gpu_memory=float(max(part.gpu_memory for part in parts)),
        opened=float(max(part.opened for part in parts)),
    )


_all_ready: Barrier | None = None
"""Set in each process of a stage: they start to work together when all have opened the stage."""


def _set_barrier(barrier: Barrier) -> None:
    global _all_ready
    _all_ready = barrier


def _measure_part(operator: Operator, file: Path, batch: int, gpu_before: float) -> Measured:
    """Run one part of the sample through a stage, in a process of the stage.

    Replaces the rows in `file` with the result.
    """
    start = time.perf_counter()
    use_one_thread()
    operator.open()
    table = _read_table(file)
    operator.apply(table.slice(0, 1))  # the first image also pays for what is loaded lazily
    opened = time.perf_counter() - start
    assert _all_ready is not None
    _all_ready.wait()
    results, seconds, cpu_seconds, model_seconds = [], [], [], []
    for first in range(0, len(table), batch):
        rows = table.slice(first, batch)
        result, wall, cpu = rows, 0.0, 0.0
        for phase in operator.phases:
            started, cpu_before, queue = time.perf_counter(), time.process_time(), _queue_seconds()
            result = phase.apply(add_columns(result, phase.columns, phase.name))
            check_schema(result, phase.name)
            spent_cpu = time.process_time() - cpu_before
            cpu += spent_cpu
            # A worker reads and writes other blocks while it computes, so it does not wait.
            overlaps = phase.storage and len(operator.phases) > 1
            wall += spent_cpu if overlaps else time.perf_counter() - started - (_queue_seconds() - queue)
        spent, in_models = (_milliseconds(result, kind) - _milliseconds(rows, kind) for kind in ("total", "model"))
        shares = spent / spent.sum() if spent.sum() else np.full(len(rows), 1 / len(rows))
        seconds.append(wall * shares)
        cpu_seconds.append(cpu * shares)
        model_seconds.append(wall * shares * np.divide(in_models, spent, out=np.zeros(len(rows)), where=spent > 0))
        results.append(result)
    gpu_memory = max(0.0, gpu_memory_used() - gpu_before)
    _write_table(pa.concat_tables(results), file)
    return Measured(
        np.concatenate(seconds),
        np.concatenate(cpu_seconds),
        np.concatenate(model_seconds),
        _peak_memory(),
        gpu_memory,
        opened,
    )


def _milliseconds(table: pa.Table, kind: str) -> Seconds:
    """The milliseconds that operators have recorded so far for each row."""
    timings = table["timings"].to_pylist()
    return np.array([sum(timing[kind] for timing in row or ()) for row in timings], np.float64)


def _write_table(table: pa.Table, file: Path) -> None:
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)


def _read_table(file: Path) -> pa.Table:
    with pa.OSFile(str(file), "rb") as source:
        return pa.ipc.open_file(source).read_all()


def _queue_seconds() -> float:
    """Seconds that this thread has waited for a core; 0 if the kernel does not count them."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9
    except OSError:
        return 0.0


def _peak_memory() -> float:
    """Peak bytes of this process.

    `getrusage`, the fallback, would count the parent's memory before the spawn.
    """
    if sys.platform != "linux":
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)  # macOS counts bytes
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def gpu_memory_used() -> float:
    """Bytes in use on the first GPU by all processes; 0 without a GPU.

    Queries the whole GPU, because the driver cannot tell processes apart inside a container, and
    because this includes the memory of the context and of every library. Frameworks keep memory
    that they have allocated, so the figure is valid after the work.
    """
    return _query_gpu("memory.used")


def gpu_memory() -> float:
    """Bytes of memory of the first GPU; 0 without a GPU."""
    return _query_gpu("memory.total")


def _query_gpu(figure: str) -> float:
    command = ["nvidia-smi", "--id=0", f"--query-gpu={figure}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
        return float(answer.stdout) * 1024**2
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0.0
