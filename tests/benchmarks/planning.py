"""What `cleanplate plan` foretells against what a run does, round by round on one machine.

    python -m tests.benchmarks.planning [--images 60] [--rounds 3]
    python -m tests.benchmarks.planning --driver

Each round measures the sample anew, balances, and then runs: the `laptop` profile (fused) and the balanced `staged` one. What
counts is `ratio`, images a second foretold for the machine by images a second done. `ratio_at_cores_got` is to explain it, not
to take its place: there what is foretold is held to the cores that the run has got (the processor seconds of all its processes
by its length, less those of Ray itself), since other programs may have some of the machine meanwhile. The cores that the
machine had idle tell whether the run could have had more.

`--driver` prints what one task costs the driver's core: three kinds of tasks that do nothing, 400 blocks, the first 100 left
out.
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
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa

from cluster.balance import rate_of
from cluster.profile import Profile, cores, load
from flows.erase_text import erase_text
from flows.flow import Flow
from flows.plan import Plan, planned, written
from flows.plan_sample import measured, sample
from flows.ray_session import connect
from flows.run import run
from operators.write import Write
from tests.benchmarks.throughput import RESULTS, make_images


def plan_of(source: Path, profile: Profile) -> Plan:
    """The plan of a profile for the default flow on a source."""
    with tempfile.TemporaryDirectory() as work:
        flow = erase_text().then(Write(f"{work}/out"))
        found = dict(measured(flow, profile, sample(str(source)).rows, Path(work)))
    return planned(erase_text().then(Write("out")), profile, found, 0.0)


def processor_seconds(workers: set[int]) -> dict[int, float]:
    """By process: this one, and every one that its Ray has started; those seen at work on images join `workers`."""
    found = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
            if "Map" in "".join(process.cmdline()[:1]):  # Ray calls its processes by what they do
                workers.add(process.pid)
        except psutil.Error:
            continue
    return found


def run_here(source: str, dest: str, profile: str) -> dict[str, float]:
    """One run in this process, watched from its first image to its last but one."""
    seen: list[tuple[int, float, dict[int, float], float]] = []
    workers: set[int] = set()

    def watch(summary: Any) -> None:
        if summary.worked:
            seen.append((summary.worked, time.monotonic(), processor_seconds(workers), psutil.cpu_times().idle))

    run(erase_text(), source, dest, load(profile), progress=watch)
    (first, begun, before, idle_before), (last, ended, after, idle_after) = seen[0], seen[-1]
    wall = ended - begun
    spent = {True: 0.0, False: 0.0}
    for process, seconds in after.items():
        spent[process in workers] += seconds - before.get(process, 0.0)
    return {
        "images_per_second": (last - first) / wall,
        "cores_got": sum(spent.values()) / wall,
        "cores_idle": (idle_after - idle_before) / wall,
        "core_seconds_per_image": spent[True] / (last - first),
        "cores_of_ray_itself": spent[False] / wall,
    }


def run_apart(source: Path, profile: str) -> dict[str, float]:
    """One run in a process and a Ray of its own."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as folder, tempfile.TemporaryDirectory() as dest:
        command = [sys.executable, "-m", "tests.benchmarks.planning", "--run", str(source), dest, profile]
        answer = subprocess.run(command, env=os.environ | {"RAY_TMPDIR": folder}, capture_output=True, text=True, check=True)
        figures: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
        return figures


def round_of(source: Path, name: str) -> dict[str, float]:
    """One profile planned and run: what was foretold for the whole machine and for the cores got, and what was done."""
    plan = plan_of(source, load(name))
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(written(plan))
        file.flush()
        done = run_apart(source, file.name if name == "staged" else name)
    fleet = replace(plan.fleet, cores=min(plan.fleet.cores, done["cores_got"] - done["cores_of_ray_itself"]))
    at_cores_got = rate_of(plan.loads, plan.best.processes, fleet).rate
    return {
        "foretold": plan.best.rate,
        "foretold_core_seconds_per_image": sum(load.cpu_seconds for load in plan.loads.values()),
        "foretold_at_cores_got": at_cores_got,
        **done,
        "ratio": plan.best.rate / done["images_per_second"],
        "ratio_at_cores_got": at_cores_got / done["images_per_second"],
        "load_average": os.getloadavg()[0],
    }


def driver_seconds_per_task(blocks: int = 400, kinds: int = 3) -> float:
    """Processor seconds of the driver for each task that it hands out."""
    import ray.data

    connect(Flow(()), Profile(name="driver", placement="fused", local_cpus=4, stages={}))
    dataset = ray.data.from_items([{"item": item} for item in range(blocks)], override_num_blocks=blocks)
    for kind in range(kinds):
        dataset = dataset.map_batches(_nothing, batch_format="pyarrow", batch_size=None, num_cpus=0.25 + 0.0001 * kind)
    begun = 0.0
    for done, _ in enumerate(dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)):
        if done == blocks // 4:
            begun = time.process_time()
    return (time.process_time() - begun) / (blocks - blocks // 4 - 1) / kinds


def _nothing(table: pa.Table) -> pa.Table:
    return table


def main() -> None:
    """Print the figures and keep them as JSON beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--driver", action="store_true")
    parser.add_argument("--run", nargs=3, metavar=("SOURCE", "DEST", "PROFILE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.driver:
        print(f"driver_seconds_per_task: {driver_seconds_per_task():.4f}")
        return
    if arguments.run:
        print(json.dumps(run_here(*arguments.run)))
        return
    rounds: dict[str, list[dict[str, float]]] = {"laptop": [], "staged": []}
    with tempfile.TemporaryDirectory(prefix="cleanplate-bench-") as work:
        make_images(Path(work) / "source", arguments.images, 512)
        for _ in range(arguments.rounds):
            for name, found in rounds.items():
                found.append(round_of(Path(work) / "source", name))
                print(name, json.dumps(found[-1]), flush=True)
    figures = {"images": arguments.images, "cores": cores(), "rounds": rounds}
    for name, found in rounds.items():
        for ratio in ("ratio", "ratio_at_cores_got"):
            figures[f"{name}_{ratio}_median"] = statistics.median(one[ratio] for one in found)
        print(
            f"{name}: foretold over done, median {figures[f'{name}_ratio_median']:.2f}; "
            f"held to the cores that the run got {figures[f'{name}_ratio_at_cores_got_median']:.2f}"
        )
    (RESULTS / "planning.json").write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
