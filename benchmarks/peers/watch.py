"""Measures a contender's processes from outside: memory, processor time and bytes written, from
Linux's accounts.

Memory is the sum of proportional set sizes: a page that several processes share counts once. The
shared part includes the object store's resident pages.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

SECONDS_BETWEEN = 1.0
TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Sample:
    """One look at the tree of processes.

    `moment` is in monotonic seconds, `memory` in resident megabytes, `shared` the part of them
    that is shared memory. `processor` and `machine` are the processor seconds of the tree and of
    the whole machine since the start, `written` the megabytes that the tree wrote to disks.
    """

    moment: float
    memory: float
    shared: float
    processor: float
    machine: float
    written: float


@dataclass
class Watched:
    """An ended command: exit code, tail of its errors, start in monotonic seconds, and samples."""

    code: int
    errors: str
    started: float
    samples: list[Sample] = field(default_factory=list)

    def between(self, name: str, first: float, last: float) -> float:
        """How much a count grew between two moments, according to the samples nearest to them."""
        ends = [min(self.samples, key=lambda sample: abs(sample.moment - moment)) for moment in (first, last)]
        return float(getattr(ends[1], name) - getattr(ends[0], name))

    def peak(self, name: str) -> float:
        """The largest value in any sample."""
        return float(max(getattr(sample, name) for sample in self.samples))


def watch(command: list[str], environment: dict[str, str], errors: Path) -> Watched:
    """Run a command to its end and sample all its descendants, including orphans.

    Processes that this one has started before are neither counted nor ended.
    """
    others = set(psutil.Process().children(recursive=True))
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started, samples, done = time.monotonic(), [], threading.Event()
    with errors.open("wb") as sink:
        process = subprocess.Popen(command, env=environment, stdout=sink, stderr=subprocess.STDOUT)

        def take_samples() -> None:
            processor: dict[tuple[int, float], float] = {}
            written: dict[tuple[int, float], float] = {}
            while not done.wait(SECONDS_BETWEEN):
                samples.append(_take_sample(_others_than(others), processor, written))

        thread = threading.Thread(target=take_samples)
        thread.start()
        try:
            code = process.wait()
        finally:
            done.set()
            thread.join()
            _end(_others_than(others))
    return Watched(code, errors.read_text(errors="replace")[-3000:], started, samples)


def _others_than(others: Collection[psutil.Process]) -> list[psutil.Process]:
    return [process for process in psutil.Process().children(recursive=True) if process not in others]


def _take_sample(
    children: Sequence[psutil.Process],
    processor: dict[tuple[int, float], float],
    written: dict[tuple[int, float], float],
) -> Sample:
    memory = shared = 0.0
    for child in children:
        try:
            name = (child.pid, child.create_time())
            folder = Path(f"/proc/{child.pid}")
            rollup = _fields(folder / "smaps_rollup")
            memory += rollup.get("Pss", 0) * 1024 / 1e6
            shared += rollup.get("Pss_Shmem", 0) * 1024 / 1e6
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            processor[name] = (int(fields[11]) + int(fields[12])) / TICKS
            written[name] = _fields(folder / "io").get("write_bytes", 0) / 1e6
        except (OSError, psutil.Error):
            continue
    busy = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    machine = (sum(busy[:8]) - busy[3] - busy[4]) / TICKS
    return Sample(time.monotonic(), memory, shared, sum(processor.values()), machine, sum(written.values()))


def _fields(file: Path) -> dict[str, int]:
    """The `name: number` lines of a file under /proc."""
    lines = (line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    return {name.strip(): int(value.split()[0]) for name, value in lines if value.split()[:1] and value.split()[0].isdigit()}


def _end(left: Sequence[psutil.Process]) -> None:
    """End the processes that the command left behind, so that they do not slow the next one.

    If the benchmark is interrupted, this ends the command too.
    """
    for process in left:
        try:
            process.terminate()
        except psutil.Error:
            continue
    _, alive = psutil.wait_procs(left, timeout=5)
    for process in alive:
        process.kill()
