"""Ray clusters that are the tests' own: a head with a job server, and heads with nodes, all on this machine.

Nothing here calls `ray stop`, which would end every Ray of the machine: a cluster is ended by its own processes, which all
carry the path of its folder.
"""

from __future__ import annotations

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

import psutil
import pytest

BIN = Path(sys.executable).parent
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

    def environment(self) -> dict[str, str]:
        """What makes `cleanplate` find this cluster by its job server."""
        return {"RAY_ADDRESS": self.job_server, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}


def processes_of(folder: str) -> list[psutil.Process]:
    """Every process that was started for a cluster: its folder is on the command line or in the environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and folder in " ".join([*process.cmdline(), process.environ().get("RAY_TMPDIR", "")]):
                found.append(process)
    return found


@contextmanager
def ray_head(*options: str, environment: dict[str, str] | None = None, cpus: float = 4, port: int = 0) -> Iterator[Head]:
    """`ray start --head` with ports and a folder of its own."""
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
    own |= {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])}
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
        for process in processes_of(folder):
            with suppress(psutil.Error):
                process.kill()
        started.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            opener.open(url, timeout=5)
            return
        except urllib.error.HTTPError:
            return  # it asks for the token that Ray's own clients bring
        except OSError:
            time.sleep(0.3)
    raise RuntimeError(f"Ray did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def job_server() -> Iterator[Head]:
    with ray_head() as head:
        yield head
