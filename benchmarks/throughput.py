"""Measures the cost of the engine: the fused flow against plain loops over the same operators,
the split of the time, and memory.

    python -m benchmarks.throughput [--images 100] [--memory-images 1000]

Both ways process the same pictures with the same operators, one worker per core and one computing
thread per worker; start-up is excluded from both. The plain loops are one process per core, each
over its share of the pictures.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import shutil
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
from PIL import Image

from cluster.profile import cores, laptop
from flows.demo import pictures
from flows.engine.run import plan
from flows.engine.session import connect
from flows.erase_text import erase_text
from flows.evaluation.draw_text import draw_all
from flows.flow import Flow
from flows.ladder import Fills, Rung
from operators.ledger import index, ledger
from operators.models.threads import use_one_thread
from operators.operator import Chain
from operators.rows.schema import complete_rows
from operators.write import Write

RESULTS = Path(__file__).parent / "results"


def make_images(folder: Path, count: int, side: int) -> None:
    """Write `count` captioned pictures of at most `side` pixels, each slightly different."""
    folder.mkdir(parents=True)
    sources = list(pictures())
    for number in range(count):
        name, clean, captions = sources[number % len(sources)]
        picture = Image.fromarray(np.roll(draw_all(clean, captions)[0], 7 * (number // len(sources)), axis=1))
        picture.thumbnail((side, side))
        picture.save(folder / f"{number:05d}-{name}", quality=90)


def _run_loop(flow: Flow, rows: pa.Table, ready: Any, go: Any, finished: Any) -> None:
    use_one_thread()
    chain = Chain(flow.operators)
    chain.open()
    ready.put(None)
    go.wait()
    for position in range(len(rows)):
        chain.apply(complete_rows(rows.slice(position, 1)))
    finished.put(time.perf_counter())


def run_plain_loops(source: Path, work: Path, workers: int) -> float:
    """Seconds that independent processes take for all pictures, without their start-up."""
    dest = str(work / "plain")
    sizes = index.build(str(source), dest)
    table = pa.concat_tables([index.read_shard(dest, shard) for shard in sorted(sizes)])
    context = multiprocessing.get_context("spawn")
    ready, finished, go = context.Queue(), context.Queue(), context.Event()
    flow = erase_text().then(Write(dest))
    shares = [table.take(pa.array(range(worker, len(table), workers))) for worker in range(workers)]
    processes = [context.Process(target=_run_loop, args=(flow, share, ready, go, finished)) for share in shares]
    for process in processes:
        process.start()
    for _ in processes:
        ready.get()
    start = time.perf_counter()
    go.set()
    finish = max(finished.get() for _ in processes)
    for process in processes:
        process.join()
    return finish - start


def run_fused(source: Path, work: Path, workers: int) -> tuple[float, float]:
    """Seconds that the fused flow takes for all pictures without its start-up, and the start-up.

    The start-up ends when the first block begins: at its arrival less the milliseconds that its
    images report.
    """
    dest = str(work / "fused")
    profile = laptop().with_workers(workers)
    flow = erase_text().then(Write(dest))
    connect(flow, profile)
    sizes = index.build(str(source), dest)
    begin = None
    request = time.perf_counter()
    for batch in plan(flow, dest, profile, sizes).iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        if begin is None:
            spent = sum(timing["total"] for timings in batch["timings"].to_pylist() for timing in timings) / 1000
            begin = max(request, time.perf_counter() - spent)
    return time.perf_counter() - (begin or request), (begin or request) - request


def split_time(dest: str, seconds: float, workers: int) -> dict[str, float]:
    """Shares of the workers' time: models, codecs, storage, other operator work, and Ray."""
    spent: Counter[str] = Counter()
    for timings in ledger.read(dest)["timings"].to_pylist():
        for timing in timings:
            named = {kind: timing[kind] for kind in ("model", "codec", "io")}
            spent.update({**named, "operators": timing["total"] - sum(named.values())})
    everything = seconds * 1000 * workers
    shares = {name: value / everything for name, value in spent.items()}
    return {**shares, "ray_and_waiting": 1 - sum(shares.values())}


def memory_slope(work: Path, count: int) -> tuple[float, list[tuple[int, float]]]:
    """MB of resident memory that driver and workers together gain per 100 images after the first
    third, and the curve of images and memory.
    """
    source, dest = work / "many", str(work / "many-out")
    make_images(source, count, 192)
    profile = laptop()
    flow = erase_text(Fills((Rung("telea"),))).then(Write(dest))
    connect(flow, profile)
    sizes = index.build(str(source), dest)
    done, curve = 0, []
    for batch in plan(flow, dest, profile, sizes).iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        done += len(batch)
        if not curve or done - curve[-1][0] >= 20:
            curve.append((done, _resident_megabytes()))
    late = [(images, memory) for images, memory in curve if images >= count / 3]
    slope = np.polyfit([images for images, _ in late], [memory for _, memory in late], 1)[0]
    return float(slope * 100), curve


def _resident_megabytes() -> float:
    """Private resident memory of this process and of all Ray workers, without the object store's
    shared pages.
    """
    total = 0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            if process.pid == psutil.Process().pid or "MapWorker" in " ".join(process.cmdline()):
                memory = process.memory_info()
                total += memory.rss - memory.shared
        except psutil.Error:
            continue
    return total / 1e6


def main() -> None:
    """Print the figures and save them as JSON in `results`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--memory-images", type=int, default=1000)
    arguments = parser.parse_args()
    work, workers = Path(tempfile.mkdtemp(prefix="cleanplate-bench-")), cores()
    try:
        make_images(work / "source", arguments.images, 512)
        plain_seconds = run_plain_loops(work / "source", work, workers)
        fused_seconds, start_up = run_fused(work / "source", work, workers)
        slope, curve = memory_slope(work, arguments.memory_images)
        figures = {
            "images": arguments.images,
            "workers": workers,
            "plain_images_per_second": arguments.images / plain_seconds,
            "fused_images_per_second": arguments.images / fused_seconds,
            "fused_over_plain": plain_seconds / fused_seconds,
            "fused_start_up_seconds": start_up,
            "time_split": split_time(str(work / "fused"), fused_seconds, workers),
            "memory_megabytes_per_100_images": slope,
            "memory_curve": curve,
        }
    finally:
        shutil.rmtree(work, ignore_errors=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "throughput.json").write_text(json.dumps(figures, indent=1))
    for name, value in figures.items():
        if name != "memory_curve":
            print(f"{name}: {json.dumps(value)}")


if __name__ == "__main__":
    main()
