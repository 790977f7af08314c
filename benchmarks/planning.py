"""What `cleanplate plan` foretells against what a run does, round by round on one machine.

    python -m benchmarks.planning [--images 240] [--rounds 3]
    python -m benchmarks.planning --engine STAGES

Each round measures the sample anew, balances, and then runs: the `laptop` profile (fused) and the
balanced `staged` one. What counts is `ratio`, images a second foretold by images a second done in
the middle half of the run. The seconds of the whole run, with the start of its processes, are
compared beside it.

`--engine` prints what the engine itself costs, as `flows.planning.engine_cost` has it: a flow of
so many operators that do nothing.
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
from typing import Any

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
from flows.planning.sample import measure_stages, sample
from operators.fetch import Fetch
from operators.ledger import index
from operators.operator import Operator
from operators.write import Write


def plan_of(source: Path, profile: Profile, images: int) -> Plan:
    """The plan of a profile for the default flow on a source."""
    with tempfile.TemporaryDirectory() as work:
        flow = erase_text().then(Write(f"{work}/out"))
        found = dict(measure_stages(flow, profile, sample(str(source)).rows, Path(work)))
    return make_plan(erase_text().then(Write("out")), profile, found, 0.0, images)


class Accounts:
    """Processor seconds of this process and of every one that its Ray has started, also of those
    that have ended since.
    """

    def __init__(self) -> None:
        self.seconds: dict[int, float] = {}
        self.workers: set[int] = set()
        """Those that were seen at work on images."""

    def look(self) -> dict[int, float]:
        """What each process has taken so far."""
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            try:
                times, name = process.cpu_times(), "".join(process.cmdline()[:1])
            except psutil.Error:
                continue
            self.seconds[process.pid] = times.user + times.system
            if "Map" in name or "IDLE" in name:  # Ray calls its processes by what they do
                self.workers.add(process.pid)
        return dict(self.seconds)

    def spent(self, before: dict[int, float], after: dict[int, float], processes: set[int]) -> float:
        """Seconds that these processes took between two looks."""
        return sum(after.get(process, 0.0) - before.get(process, 0.0) for process in processes)


def run_here(source: str, dest: str, profile: str) -> dict[str, float]:
    """One run in this process, watched from its first quarter to its third: before processes
    start, after stages run dry.
    """
    seen: list[tuple[int, float, dict[int, float], float]] = []
    accounts = Accounts()

    def watch(summary: Any) -> None:
        if summary.worked and summary.total / 4 <= summary.worked <= summary.total * 3 / 4:
            seen.append((summary.worked, time.monotonic(), accounts.look(), psutil.cpu_times().idle))

    begun_all = time.monotonic()
    run(erase_text(), source, dest, load(profile), progress=watch)
    whole = time.monotonic() - begun_all
    (first, begun, before, idle_before), (last, ended, after, idle_after) = seen[0], seen[-1]
    wall, images = ended - begun, last - first
    in_workers = accounts.spent(before, after, accounts.workers)
    of_ray = accounts.spent(before, after, set(after) - accounts.workers)
    return {
        "images_per_second": images / wall,
        "cores_got": (in_workers + of_ray) / wall,
        "cores_idle": (idle_after - idle_before) / wall,
        "worker_seconds_per_image": in_workers / images,
        "ray_seconds_per_image": of_ray / images,
        "seconds_in_all": whole,
    }


def run_apart(source: Path, profile: str) -> dict[str, float]:
    """One run in a process and a Ray of its own."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder, tempfile.TemporaryDirectory() as dest:
        command = [sys.executable, "-m", "benchmarks.planning", "--run", str(source), dest, profile]
        answer = subprocess.run(command, env=os.environ | {"RAY_TMPDIR": folder}, capture_output=True, text=True, check=True)
        figures: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
        return figures


def round_of(source: Path, name: str, images: int) -> dict[str, float]:
    """One profile planned and run: what was foretold for the whole machine and for the cores got,
    and what was done.
    """
    foretold = plan_of(source, load(name), images)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(profile_yaml(foretold))
        file.flush()
        done = run_apart(source, file.name if name == "staged" else name)
    return {
        "foretold": foretold.best.rate,
        "foretold_worker_seconds_per_image": sum(load.cpu_seconds for load in foretold.loads.values()),
        "foretold_seconds_in_all": 3600 * foretold.hours(images),
        **done,
        "ratio": foretold.best.rate / done["images_per_second"],
        "load_average": os.getloadavg()[0],
    }


@dataclass(frozen=True)
class Nothing(Operator):
    """An operator that hands its rows on, after a pause in seconds for each: what is left of a
    task is the engine.
    """

    pause: float = 0.0

    def apply(self, batch: pa.Table) -> pa.Table:
        """The batch as it is."""
        time.sleep(self.pause * len(batch))
        return batch


@dataclass(frozen=True)
class Spent:
    """Processor seconds of a stretch of a run by who took them, its length in seconds and its
    tasks.
    """

    driver: float
    services: float
    workers: float
    wall: float
    tasks: int
    processes: int
    """Workers that lived."""


def engine_alone(source: Path, stages: int, blocks: int, pause: float) -> Spent:
    """Blocks of one real image through stages that do nothing, every other one a pool; watched
    after the first quarter.
    """
    kinds = {
        f"nothing ({kind})": Stage(cpus=0.1, pool=(1, 1) if kind % 2 else None, tasks=None if kind % 2 else 1)
        for kind in range(1, stages)
    }
    others = {"default": Stage(cpus=0.1, tasks=1)}
    profile = Profile(name="engine", placement="staged", local_cpus=4, images_per_block=1, stages={**kinds, **others})
    flow = Flow((Fetch(), *[Nothing()] * (stages - 2), Nothing(pause)))
    connect(flow, profile)
    accounts = Accounts()
    with tempfile.TemporaryDirectory() as dest:
        sizes = index.build(str(source), dest, blocks, lambda count: None)
        dataset = plan(flow, dest, profile, sizes)
        seen: list[tuple[float, dict[int, float]]] = []
        for done, _ in enumerate(batches_or_none(dataset)):
            if done >= blocks // 4:
                seen.append((time.monotonic(), accounts.look()))
    (begun, before), (ended, after) = seen[0], seen[-1]
    driver = {os.getpid()}
    return Spent(
        accounts.spent(before, after, driver),
        accounts.spent(before, after, set(after) - accounts.workers - driver),
        accounts.spent(before, after, accounts.workers),
        ended - begun,
        (len(seen) - 1) * stages,
        len(accounts.workers),
    )


def engine(source: Path, stages: int) -> dict[str, float]:
    """The constants of `flows.planning.engine_cost`: from a run as fast as it goes, and one that
    waits a second for each image.
    """
    fast, slow = engine_alone(source, stages, 240, 0.0), engine_alone(source, stages, 60, 1.0)

    def line(of: str) -> tuple[float, float]:
        """Seconds for each task and for each second, of two equations."""
        tasks, seconds = np.linalg.solve(
            [[fast.tasks, fast.wall], [slow.tasks, slow.wall]], [getattr(fast, of), getattr(slow, of)]
        )
        return float(tasks), float(seconds)

    (driver, driver_idle), (services, services_idle), (workers, workers_idle) = map(line, ("driver", "services", "workers"))
    return {
        "DRIVER_SECONDS": driver,
        "SERVICE_SECONDS": services,
        "WORKER_SECONDS": workers,
        "IDLE_CORES": driver_idle + services_idle,
        "IDLE_WORKER_CORES": workers_idle / slow.processes,
    }


def main() -> None:
    """Print the figures and keep them as JSON beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", type=int, metavar="STAGES", help="3 or more")
    parser.add_argument("--run", nargs=3, metavar=("SOURCE", "DEST", "PROFILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine:
        with tempfile.TemporaryDirectory(prefix="cleanplate-bench-") as work:
            make_images(Path(work) / "source", 240, 512)
            print(json.dumps(engine(Path(work) / "source", arguments.engine), indent=1))
        return
    if arguments.run:
        print(json.dumps(run_here(*arguments.run)))
        return
    rounds: dict[str, list[dict[str, float]]] = {"laptop": [], "staged": []}
    with tempfile.TemporaryDirectory(prefix="cleanplate-bench-") as work:
        make_images(Path(work) / "source", arguments.images, 512)
        for _ in range(arguments.rounds):
            for name, found in rounds.items():
                found.append(round_of(Path(work) / "source", name, arguments.images))
                print(name, json.dumps(found[-1]), flush=True)
            keep(arguments.images, rounds)


def keep(images: int, rounds: dict[str, list[dict[str, float]]]) -> None:
    """Print the medians of the rounds so far and keep all figures as JSON."""
    figures: dict[str, Any] = {"images": images, "cores": cores(), "rounds": rounds}
    for name, found in rounds.items():
        figures[f"{name}_ratio_median"] = statistics.median(one["ratio"] for one in found)
        figures[f"{name}_seconds_ratio_median"] = statistics.median(
            one["foretold_seconds_in_all"] / one["seconds_in_all"] for one in found
        )
        print(
            f"{name}: images a second foretold over done, median {figures[f'{name}_ratio_median']:.2f}; "
            f"seconds of the whole run {figures[f'{name}_seconds_ratio_median']:.2f}"
        )
    (RESULTS / "planning.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
