"""Compares what `cleanplate plan` predicts with what a run does, round by round on one machine.

    python -m benchmarks.planning [--images 240] [--rounds 3]
    python -m benchmarks.planning --engine STAGES

Each round measures the sample again, balances, and then runs the `laptop` profile (fused) and the
balanced `staged` one. The main figure is `ratio`: predicted images per second over images per
second done in the middle half of the run. The seconds of the whole run, including the start of
its processes, are compared too.

`--engine` measures the cost of the engine itself, the constants of `flows.planning.engine_cost`:
it runs a flow of STAGES operators that do nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import pyarrow as pa

from benchmarks.throughput import RESULTS, make_images
from cluster.profile import Profile, Stage, cores, load
from flows.engine.polling import batches_or_none
from flows.engine.run import plan, run
from flows.engine.session import connect
from flows.erase_text import erase_text
from flows.flow import Flow
from flows.planning.plan import Plan, make_plan, profile_yaml
from flows.planning.sample import draw_sample, measure_stages
from operators.fetch import Fetch
from operators.ledger import index
from operators.operator import Operator
from operators.write import Write


def plan_of(source: Path, profile: Profile, images: int) -> Plan:
    """The plan of a profile for the default flow on a source."""
    with tempfile.TemporaryDirectory() as work:
        flow = erase_text().then(Write(f"{work}/out"))
        measurements = dict(measure_stages(flow, profile, draw_sample(str(source)).rows, Path(work)))
    return make_plan(erase_text().then(Write("out")), profile, measurements, 0.0, images)


class ProcessorTimes:
    """Processor seconds of this process and of every process that its Ray started, including
    those that have ended.
    """

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}
        self.workers: set[int] = set()
        """The processes that were seen working on images."""

    def read(self) -> dict[int, float]:
        """Each process's seconds so far."""
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            try:
                taken, name = process.cpu_times(), "".join(process.cmdline()[:1])
            except psutil.Error:
                continue
            self.seconds[process.pid] = taken.user + taken.system
            if "Map" in name or "IDLE" in name:  # Ray names its processes after their work
                self.workers.add(process.pid)
        return dict(self.seconds)

    def spent(self, before: dict[int, float], after: dict[int, float], processes: set[int]) -> float:
        """Seconds that these processes took between two readings."""
        return sum(after.get(process, 0.0) - before.get(process, 0.0) for process in processes)


class Reading(NamedTuple):
    """One look at a run: images done, monotonic seconds, each process's processor seconds, and
    the machine's idle seconds.
    """

    images: int
    moment: float
    seconds: dict[int, float]
    idle: float


def run_here(source: str, dest: str, profile: str) -> dict[str, float]:
    """Run in this process, and measure from a quarter to three quarters of the images.

    Before that, processes are still starting; after it, stages run dry.
    """
    readings: list[Reading] = []
    times = ProcessorTimes()

    def watch(summary: Any) -> None:
        if summary.worked and summary.total / 4 <= summary.worked <= summary.total * 3 / 4:
            readings.append(Reading(summary.worked, time.monotonic(), times.read(), psutil.cpu_times().idle))

    start = time.monotonic()
    run(erase_text(), source, dest, load(profile), progress=watch)
    whole = time.monotonic() - start
    first, last = readings[0], readings[-1]
    wall, images = last.moment - first.moment, last.images - first.images
    in_workers = times.spent(first.seconds, last.seconds, times.workers)
    of_ray = times.spent(first.seconds, last.seconds, set(last.seconds) - times.workers)
    return {
        "images_per_second": images / wall,
        "cores_got": (in_workers + of_ray) / wall,
        "cores_idle": (last.idle - first.idle) / wall,
        "worker_seconds_per_image": in_workers / images,
        "ray_seconds_per_image": of_ray / images,
        "seconds_in_all": whole,
    }


def run_apart(source: Path, profile: str) -> dict[str, float]:
    """Run in a fresh process with a fresh Ray."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder, tempfile.TemporaryDirectory() as dest:
        command = [sys.executable, "-m", "benchmarks.planning", "--run", str(source), dest, profile]
        answer = subprocess.run(command, env=os.environ | {"RAY_TMPDIR": folder}, capture_output=True, text=True, check=True)
        figures: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
        return figures


def plan_and_run(source: Path, name: str, images: int) -> dict[str, float]:
    """Plan and run one profile: the predictions beside the measurements."""
    predicted = plan_of(source, load(name), images)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(profile_yaml(predicted))
        file.flush()
        done = run_apart(source, file.name if name == "staged" else name)
    return {
        "foretold": predicted.best.rate,
        "foretold_worker_seconds_per_image": sum(load.cpu_seconds for load in predicted.loads.values()),
        "foretold_seconds_in_all": 3600 * predicted.hours(images),
        **done,
        "ratio": predicted.best.rate / done["images_per_second"],
        "load_average": os.getloadavg()[0],
    }


@dataclass(frozen=True)
class Nothing(Operator):
    """An operator that only pauses, for `pause` seconds per row: the rest of a task's cost is the
    engine's.
    """

    pause: float = 0.0

    def apply(self, batch: pa.Table) -> pa.Table:
        """The batch, unchanged."""
        time.sleep(self.pause * len(batch))
        return batch


@dataclass(frozen=True)
class Spent:
    """Processor seconds of a part of a run by process, the part's length in seconds, and its
    tasks.
    """

    driver: float
    services: float
    workers: float
    wall: float
    tasks: int
    processes: int
    """The number of workers."""


def run_engine(source: Path, stages: int, blocks: int, pause: float) -> Spent:
    """Run blocks of one real image through stages that do nothing, every other stage a pool;
    measure after the first quarter.
    """
    kinds = {
        f"nothing ({kind})": Stage(cpus=0.1, pool=(1, 1) if kind % 2 else None, tasks=None if kind % 2 else 1)
        for kind in range(1, stages)
    }
    others = {"default": Stage(cpus=0.1, tasks=1)}
    profile = Profile(name="engine", placement="staged", local_cpus=4, images_per_block=1, stages={**kinds, **others})
    flow = Flow((Fetch(), *[Nothing()] * (stages - 2), Nothing(pause)))
    connect(flow, profile)
    times = ProcessorTimes()
    with tempfile.TemporaryDirectory() as dest:
        sizes = index.build(str(source), dest, blocks, lambda count: None)
        dataset = plan(flow, dest, profile, sizes)
        readings: list[tuple[float, dict[int, float]]] = []
        for done, _ in enumerate(batches_or_none(dataset)):
            if done >= blocks // 4:
                readings.append((time.monotonic(), times.read()))
    (start, before), (end, after) = readings[0], readings[-1]
    driver = {os.getpid()}
    return Spent(
        times.spent(before, after, driver),
        times.spent(before, after, set(after) - times.workers - driver),
        times.spent(before, after, times.workers),
        end - start,
        (len(readings) - 1) * stages,
        len(times.workers),
    )


def measure_engine(source: Path, stages: int) -> dict[str, float]:
    """The constants of `flows.planning.engine_cost`, from a run without pauses and one that waits
    a second per image.
    """
    fast, slow = run_engine(source, stages, 240, 0.0), run_engine(source, stages, 60, 1.0)

    def solve(process: str) -> tuple[float, float]:
        """Processor seconds per task and per second of the run, from two equations."""
        tasks, seconds = np.linalg.solve(
            [[fast.tasks, fast.wall], [slow.tasks, slow.wall]], [getattr(fast, process), getattr(slow, process)]
        )
        return float(tasks), float(seconds)

    (driver, driver_idle), (services, services_idle), (workers, workers_idle) = map(solve, ("driver", "services", "workers"))
    return {
        "DRIVER_SECONDS": driver,
        "SERVICE_SECONDS": services,
        "WORKER_SECONDS": workers,
        "IDLE_CORES": driver_idle + services_idle,
        "IDLE_WORKER_CORES": workers_idle / slow.processes,
    }


def main() -> None:
    """Print the figures and save them as JSON in `results`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", type=int, metavar="STAGES", help="measure the engine with this many stages, 3 or more")
    parser.add_argument("--run", nargs=3, metavar=("SOURCE", "DEST", "PROFILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        with tempfile.TemporaryDirectory(prefix="cleanplate-bench-") as work:
            make_images(Path(work) / "source", 240, 512)
            print(json.dumps(measure_engine(Path(work) / "source", arguments.engine), indent=1))
        return
    if arguments.run:
        print(json.dumps(run_here(*arguments.run)))
        return
    rounds: dict[str, list[dict[str, float]]] = {"laptop": [], "staged": []}
    with tempfile.TemporaryDirectory(prefix="cleanplate-bench-") as work:
        make_images(Path(work) / "source", arguments.images, 512)
        for _ in range(arguments.rounds):
            for name, runs in rounds.items():
                runs.append(plan_and_run(Path(work) / "source", name, arguments.images))
                print(name, json.dumps(runs[-1]), flush=True)
            save(arguments.images, rounds)


def save(images: int, rounds: dict[str, list[dict[str, float]]]) -> None:
    """Print the medians of the rounds so far and save all figures as JSON."""
    figures: dict[str, Any] = {"images": images, "cores": cores(), "rounds": rounds}
    for name, runs in rounds.items():
        figures[f"{name}_ratio_median"] = statistics.median(figure["ratio"] for figure in runs)
        figures[f"{name}_seconds_ratio_median"] = statistics.median(
            figure["foretold_seconds_in_all"] / figure["seconds_in_all"] for figure in runs
        )
        print(
            f"{name}: images per second predicted over done, median {figures[f'{name}_ratio_median']:.2f}; "
            f"seconds of the whole run {figures[f'{name}_seconds_ratio_median']:.2f}"
        )
    (RESULTS / "planning.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
