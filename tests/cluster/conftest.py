"""Ray clusters for tests on this machine: a head with a job server, and a head with nodes.

Nothing here calls `ray stop`, which would end every Ray on the machine. A cluster is ended
through its own processes, all of which carry the path of its folder.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
TOKEN = {"RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
STORE_BYTES = 200 * 1024**2
START_SECONDS = 120


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Head:
    """A running head: its address for drivers, its job server, its folder."""

    address: str
    job_server: str
    folder: str

    def nodes(self) -> int:
        """The number of running nodes, including the head."""
        return sum(_name_of(process) == "raylet" for process in processes_of(self.folder))

    def environment(self) -> dict[str, str]:
        """The environment in which `cleanplate` finds this cluster by its job server."""
        return {"RAY_ADDRESS": self.job_server, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", **TOKEN}


def _name_of(process: psutil.Process) -> str:
    """The name of a process; empty for one that has ended meanwhile."""
    try:
        return process.name()
    except psutil.Error:
        return ""


def processes_of(folder: str) -> list[psutil.Process]:
    """Every process of a cluster: one with its folder on the command line or in the environment."""
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if folder in " ".join([*process.cmdline(), process.environ().get("RAY_TMPDIR", "")]):
                processes.append(process)
    return [process for process in processes if process.pid != os.getpid()]


@dataclass(frozen=True)
class Watch:
    """The notes of `tests.cluster.watched` about the processes that opened an operator."""

    folder: Path

    def notes(self, operator: str) -> dict[int, dict[str, Any]]:
        """The note of each process, by its process id."""
        files = self.folder.glob(f"{operator}-*")
        return {int(file.name.rpartition("-")[2]): json.loads(file.read_text() or "{}") for file in files}

    def alive(self, operator: str) -> int:
        """The number of these processes that are alive."""
        return sum(psutil.pid_exists(process) for process in self.notes(operator))


@contextmanager
def ray_head(*options: str, environment: dict[str, str] | None = None, cpus: float = 4, port: int = 0) -> Iterator[Head]:
    """`ray start --head` with its own ports and folder."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    port, jobs, agent = port or free_port(), free_port(), free_port()
    command = [
        str(BIN / "ray"),
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        "--node-ip-address=127.0.0.1",
        f"--port={port}",
        f"--dashboard-port={jobs}",
        f"--dashboard-agent-listen-port={agent}",
        "--include-dashboard=true",
        f"--temp-dir={folder}",
        f"--object-store-memory={STORE_BYTES}",
        f"--num-cpus={cpus:g}",
        *options,
    ]
    own = {"PATH": f"{BIN}:{os.environ['PATH']}", "RAY_TMPDIR": folder, "RAY_BACKEND_LOG_LEVEL": "fatal"}
    own |= TOKEN | {"RAY_AUTH_MODE": "token"}
    own |= {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    with Path(folder, "log").open("wb") as log:
        started = subprocess.Popen(
            command, env=os.environ | own | (environment or {}), stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    try:
        _wait_for(f"http://127.0.0.1:{jobs}/api/version", started, Path(folder, "log"))
        yield Head(f"127.0.0.1:{port}", f"http://127.0.0.1:{jobs}", folder)
    finally:
        started.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            started.wait(10)
        _end(folder)
        started.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            opener.open(url, timeout=5)
            return
        except urllib.error.HTTPError:
            return  # the server is up, and requires the token
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"Ray did not start: {log.read_text()[-2000:]}")


@dataclass(frozen=True)
class Nodes:
    """A cluster of several nodes with simulated resources on this machine.

    See `tests.cluster.nodes`.
    """

    process: subprocess.Popen[str]
    address: str

    def __call__(self, **command: object) -> list[dict[str, Any]]:
        """Make the cluster `add` or `remove` a node; return the nodes that it then has."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        answer: list[dict[str, Any]] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def ray_nodes() -> Iterator[Nodes]:
    """A head without CPUs, to which nodes can be added."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    Path(folder, "ray").mkdir()  # Ray's `Cluster` writes its address into this folder, which must exist
    own = {
        "RAY_TMPDIR": folder,
        "RAY_AUTH_MODE": "disabled",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.cluster.nodes"],
        cwd=ROOT,
        env=os.environ | own,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout
        yield Nodes(process, json.loads(process.stdout.readline())["address"])
    finally:
        assert process.stdin
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        _end(folder)
        process.wait()


def _end(folder: str) -> None:
    for process in processes_of(folder):
        with suppress(psutil.Error):
            process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def job_server() -> Iterator[Head]:
    with ray_head() as head:
        yield head
