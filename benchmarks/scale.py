"""Measures memory and time of runs of 1,000, 10,000 and 100,000 rows: neither may grow faster
than the rows.

    python -m benchmarks.scale [--rows 1000 10000 100000] [--finished 1000000]
    python -m benchmarks.scale --index 1000000

The flow reads, delivers and records tiny pictures on a local disk, so that the cost of the engine
itself shows. Each length runs in a fresh process with a fresh Ray. Slopes are least squares over
the rows after the warm-up. Last, a finished run of a million images is started again.

`--index` only measures what indexing a manifest of so many rows costs a driver: of all of them, of
one of 16 parts, and again of that part, as when it is resumed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from benchmarks.line_chart import line_chart
from cluster.profile import cores, laptop
from flows.engine.run import run
from flows.flow import Flow
from flows.telemetry.summary import Summary
from operators.compose import Compose
from operators.fetch import Fetch
from operators.ledger import index, ledger
from operators.ledger.part import WHOLE, Part
from operators.operator import Operator
from operators.rows.schema import complete_rows, ledger_rows
from operators.rows.table import map_rows

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class FindNothing(Operator):
    """Stands in for all operators that would look for text."""

    reads: ClassVar[tuple[str, ...]] = ("bytes",)
    adds: ClassVar[tuple[str, ...]] = Compose.reads

    def apply(self, batch: pa.Table) -> pa.Table:
        """Add the columns of an image without text."""
        return map_rows(batch, self.name, ("width", "height"), lambda row: {"width": 8, "height": 8})


FLOW = Flow((Fetch(), FindNothing(), Compose()))
WARM_UP = 0.3
"""Share of a run's rows after which its memory must not grow."""
SAMPLES = 200
PARTS = 16


def make_images(folder: Path, count: int) -> None:
    """Write `count` pictures of 8 x 8 pixels, each in another colour, a thousand per folder."""
    buffer = io.BytesIO()
    for number in range(count):
        if number % 1000 == 0:
            (folder / f"{number // 1000:03d}").mkdir(parents=True)
        pixels = np.full((8, 8, 3), [number % 256, number // 256 % 256, number // 65536], np.uint8)
        buffer.seek(0)
        buffer.truncate()
        Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
        (folder / f"{number // 1000:03d}" / f"{number:06d}.png").write_bytes(buffer.getvalue())


def memory() -> dict[str, float]:
    """Private resident memory in MB of this driver and of its Ray workers by kind, without shared
    pages.
    """
    driver = psutil.Process()
    taken = {"driver": driver.memory_info().rss - driver.memory_info().shared}
    for process in driver.children(recursive=True):
        try:
            name = process.cmdline()[0] if process.cmdline() else ""
            if name.startswith("ray::"):
                kind = "workers" if "MapWorker" in name else "tasks"
                info = process.memory_info()
                taken[kind] = taken.get(kind, 0) + info.rss - info.shared
        except psutil.Error:
            continue
    return {kind: value / 1e6 for kind, value in taken.items()}


def measure_run(rows: int, work: Path) -> dict[str, Any]:
    """Run over `rows` pictures: the seconds, the slopes, and the curve of rows, seconds and
    memory.
    """
    source, dest = work / "in", work / "out"
    make_images(source, rows)
    curve: list[dict[str, float]] = []
    first_start = 0.0

    def look(summary: Summary) -> None:
        nonlocal first_start
        if summary.worked and not first_start:
            first_start = time.perf_counter() - summary.seconds
        if summary.worked and summary.worked >= len(curve) * rows / SAMPLES:
            curve.append({"rows": summary.worked, "seconds": time.perf_counter() - first_start, **memory()})

    start = time.perf_counter()
    run(FLOW, str(source), str(dest), laptop(), progress=look)
    whole = time.perf_counter() - start
    start = time.perf_counter()
    second = run(FLOW, str(source), str(dest), laptop())
    again = time.perf_counter() - start
    table = ledger.read(str(dest))
    assert second.before == table.num_rows == len(set(table["image_id"].to_pylist())) == rows
    first, last = curve[0], curve[-1]
    return {
        "rows": rows,
        "seconds": whole,
        "seconds_per_1000_rows": 1000 * (last["seconds"] - first["seconds"]) / (last["rows"] - first["rows"]),
        "seconds_of_a_finished_run": again,
        "peak_megabytes": {kind: max(point.get(kind, 0) for point in curve) for kind in ("driver", "workers", "tasks")},
        "megabytes_per_1000_rows": {kind: slope(curve, kind) for kind in ("driver", "workers", "tasks")},
        "processor_seconds_of_driver": sum(os.times()[:2]),
        "curve": curve,
    }


def write_manifest(folder: Path, rows: int) -> Path:
    """A list of `rows` images that do not exist."""
    uris = [f"s3://bucket/{number // 1000:04d}/{number:07d}.jpg" for number in range(rows)]
    table = pa.table({"uri": uris, "etag": [f"{number:032x}" for number in range(rows)]})
    pq.write_table(table, folder / "manifest.parquet")
    return folder / "manifest.parquet"


def measure_index(rows: int, work: Path) -> dict[str, float]:
    """Seconds that a driver needs to index a manifest: all, one of PARTS parts, and that again."""
    manifest = str(write_manifest(work, rows))
    figures: dict[str, float] = {"rows": rows, "parts": PARTS}
    for name, part in (("whole", WHOLE), ("part", Part(1, PARTS)), ("part_again", Part(1, PARTS))):
        start = time.process_time()
        sizes = index.build(manifest, str(work / name.partition("_")[0]), part=part)
        figures |= {f"{name}_processor_seconds": time.process_time() - start, f"{name}_rows": sum(sizes.values())}
    return figures


def measure_finished(rows: int, work: Path) -> dict[str, float]:
    """Seconds and peak memory of `cleanplate erase` on a manifest of `rows` images that are all
    in the ledger.

    The index and the ledger are real; only the work on the images is left out. The first of the
    two runs writes the report, which the second finds.
    """
    manifest, dest = write_manifest(work, rows), work / "out"
    figures: dict[str, float] = {"rows": rows}
    command = [sys.executable, "-m", "flows.cli", "erase", str(manifest), str(dest), "--allow", "s3://bucket"]
    start = time.perf_counter()
    sizes = index.build(str(manifest), str(dest))
    figures["seconds_to_index"] = time.perf_counter() - start
    for shard, size in sizes.items():
        done = complete_rows(index.read_shard(str(dest), shard))
        verdicts = pa.array(["untouched"] * size, pa.string())
        done = done.set_column(done.schema.names.index("verdict"), "verdict", verdicts)
        ledger.commit(str(dest), ledger_rows(done))
        ledger.compact(str(dest), shard, size)
    for name in ("seconds_with_report", "seconds"):
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            line = process.stdout.read()
            _, code, usage = os.wait4(process.pid, 0)
        figures[name] = time.perf_counter() - start
        figures["peak_megabytes"] = usage.ru_maxrss / 1000
        assert code == 0 and f"{rows} done before" in line, line
    return figures


def slope(curve: list[dict[str, float]], kind: str) -> float:
    """MB per 1,000 rows after the warm-up."""
    late = [point for point in curve if point["rows"] >= WARM_UP * curve[-1]["rows"]]
    return float(np.polyfit([point["rows"] / 1000 for point in late], [point.get(kind, 0) for point in late], 1)[0])


def charts(results: list[dict[str, Any]]) -> str:
    """Both plots as one HTML page."""
    longest = results[-1]["curve"]
    kinds = {kind: [(p["rows"], p.get(kind, 0)) for p in longest] for kind in ("driver", "workers", "tasks")}
    times = {f"{result['rows']:,} rows": [(p["rows"], p["seconds"]) for p in result["curve"]] for result in results}
    plots = [line_chart("Private memory (MB) over rows done", kinds), line_chart("Seconds over rows done", times)]
    return f"<!doctype html><meta charset=utf-8><title>Scale</title><body style='max-width:720px'>{''.join(plots)}</body>\n"


def main() -> None:
    """Print the figures and save them as JSON and as plots in `results`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--finished", type=int, default=1_000_000, help="rows of the run that has nothing left to do")
    parser.add_argument("--index", type=int, metavar="ROWS", help="measure only the index of so many rows")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="cleanplate-scale-"))
    try:
        if arguments.index:
            print(json.dumps(measure_index(arguments.index, work)))
            return
        if arguments.one:
            print(json.dumps(measure_run(arguments.rows[0], work)))
            return
    finally:
        shutil.rmtree(work, ignore_errors=True)
    results = []
    for rows in arguments.rows:
        command = [sys.executable, "-m", "benchmarks.scale", "--one", "--rows", str(rows)]
        completed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        results.append(json.loads(completed.stdout.splitlines()[-1]))
        print(json.dumps({name: value for name, value in results[-1].items() if name != "curve"}), flush=True)
    with tempfile.TemporaryDirectory(prefix="cleanplate-scale-") as folder:
        nothing_to_do = measure_finished(arguments.finished, Path(folder))
    print(json.dumps(nothing_to_do), flush=True)
    RESULTS.mkdir(exist_ok=True)
    content = {"workers": cores(), "runs": results, "finished": nothing_to_do}
    (RESULTS / "scale.json").write_text(json.dumps(content, indent=1))
    (RESULTS / "scale.html").write_text(charts(results))


if __name__ == "__main__":
    main()
