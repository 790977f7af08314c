"""A command line as a job of a real cluster.

It is followed through a lost connection, stopped, resumed, left running and followed again.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cluster.job import WithoutPreamble, fingerprint
from operators.ledger import ledger
from tests.cluster.conftest import BIN, ROOT, Head

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

IMAGES = 90
MOST_SECONDS = 500
PROFILE = """
name: slow
placement: fused
images_per_block: 1
stages:
  worker: {cpus: 1, pool: [1, 1]}
  default: {cpus: 0.25}
"""


class Proxy(socketserver.ThreadingTCPServer):
    """A proxy of the job server whose connections can be cut."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, to: int) -> None:
        self.to, self.cut, self.open = to, False, set()
        super().__init__(("127.0.0.1", 0), ProxyConnection)

    def cut_off(self) -> None:
        """End every connection, and accept none until `cut` is False again."""
        self.cut = True
        for side in list(self.open):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


class ProxyConnection(socketserver.BaseRequestHandler):
    """One connection through the proxy."""

    server: Proxy

    def handle(self) -> None:
        if self.server.cut:
            return
        upstream = socket.create_connection(("127.0.0.1", self.server.to))
        self.server.open |= {self.request, upstream}
        answers = threading.Thread(target=self._forward, args=(upstream, self.request), daemon=True)
        answers.start()
        self._forward(self.request, upstream)
        answers.join()

    @staticmethod
    def _forward(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for side in (source, sink):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)


@contextmanager
def proxy(to: str) -> Iterator[Proxy]:
    with Proxy(int(to.rpartition(":")[2])) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@dataclass(frozen=True)
class Result:
    """The exit code and the output of a finished `cleanplate submit`."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Submitted:
    """A running `cleanplate submit`, which writes its output to files."""

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def job(self) -> str:
        """The job's name, from the output."""
        (name,) = re.findall(r"^job (\S+)$", self.err.read_text(), re.M)
        return str(name)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition that must come true while the command runs."""
        deadline = time.monotonic() + MOST_SECONDS
        while not condition():
            assert self.process.poll() is None, self.err.read_text()
            assert time.monotonic() < deadline, self.err.read_text()
            time.sleep(0.05)

    def wait(self) -> Result:
        """Wait for the end of the command."""
        return Result(self.process.wait(MOST_SECONDS), self.out.read_text(), self.err.read_text())


def submit(head: Head, *command: object, cwd: Path, address: str = "") -> Submitted:
    environment = os.environ | head.environment() | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    environment |= {"RAY_ADDRESS": address} if address else {}
    out, err = (Path(tempfile.mkstemp(dir=cwd)[1]) for _ in range(2))
    with out.open("wb") as output, err.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "submit", *map(str, command)],
            env=environment,
            cwd=cwd,
            stdout=output,
            stderr=errors,
        )
    return Submitted(process, out, err)


def stop(head: Head, job: str) -> None:
    """Stop a job as its user would, by `ray job stop`."""
    environment = os.environ | head.environment() | {"RAY_AUTH_MODE": "token"}
    subprocess.run([str(BIN / "ray"), "job", "stop", job], env=environment, check=True, capture_output=True)


def parts(dest: Path) -> int:
    return len(list((dest / "ledger").rglob("part-*.parquet")))


@dataclass(frozen=True)
class Story:
    """The same command, submitted three times."""

    dest: Path
    stopped: Result
    rows_when_stopped: int
    let_go: Result
    followed: Result


@pytest.fixture(scope="module")
def story(job_server: Head, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("job")
    source, dest = root / "in", root / "out"
    source.mkdir()
    for number in range(IMAGES):
        pictures.strip(number, f"NUMBER {number}").save(source / f"{number:02d}.png")
    (root / "slow.yaml").write_text(PROFILE)
    command = ("erase", source, dest, "--preset", "fast", "--accept", "best", "--profile", "slow.yaml")

    with proxy(job_server.job_server) as connection:
        first = submit(job_server, *command, cwd=root, address=f"http://127.0.0.1:{connection.server_address[1]}")
        first.until(lambda: parts(dest) >= 3)
        connection.cut_off()
        time.sleep(3)
        connection.cut = False
        before = parts(dest)
        first.until(lambda: parts(dest) >= before + 2)
        first.until(lambda: f" of {IMAGES} images" in first.out.read_text())
        stop(job_server, first.job())
        stopped = first.wait()
    rows = len(ledger.read(str(dest)))

    second = submit(job_server, *command, cwd=root)
    second.until(lambda: parts(dest) >= rows + 3)
    second.process.send_signal(signal.SIGINT)
    let_go = second.wait()
    followed = submit(job_server, *command, cwd=root).wait()
    return Story(dest, stopped, rows, let_go, followed)


def test_a_stopped_job_ends_with_code_3_and_says_how_to_resume(story: Story) -> None:
    assert story.stopped.code == 3
    assert "run the same command to continue where it stopped" in story.stopped.err
    assert 0 < story.rows_when_stopped < IMAGES


def test_a_lost_connection_is_reported_once_and_restored(story: Story) -> None:
    assert story.stopped.err.count("connection lost") == 1
    assert f" of {IMAGES} images" in story.stopped.out


def test_control_c_leaves_the_job_running_and_says_how_to_follow_and_stop_it(story: Story) -> None:
    assert story.let_go.code == 3
    (job,) = re.findall(r"^job (\S+)$", story.let_go.err, re.M)
    assert f"{job} keeps running; run the same command to follow it, or `ray job stop {job}` to stop it" in story.let_go.err


def test_the_same_command_follows_the_running_job_and_ends_as_it_does(story: Story) -> None:
    (job,) = re.findall(r"^job (\S+)$", story.let_go.err, re.M)
    assert f"job {job} already runs this command" in story.followed.err
    assert story.followed.code == 0
    assert re.search(rf"^{IMAGES} images, {story.rows_when_stopped} done before, ", story.followed.out, re.M)


def test_every_image_has_one_row_at_the_end(story: Story) -> None:
    rows = ledger.read(str(story.dest))
    assert sorted(rows["path"].to_pylist()) == [f"{number:02d}.png" for number in range(IMAGES)]


def test_a_job_ends_with_its_commands_own_exit_code(job_server: Head, tmp_path: Path) -> None:
    result = submit(job_server, "erase", tmp_path / "nothing", tmp_path / "out", cwd=tmp_path).wait()
    assert result.code == 2
    assert "error: source_missing" in result.out


def test_an_unreachable_server_is_one_line(job_server: Head, tmp_path: Path) -> None:
    result = submit(job_server, "erase", "s3://a/b", "s3://c/d", cwd=tmp_path, address="http://127.0.0.1:9").wait()
    assert result.code == 3
    assert result.err.startswith("error: job_server: ")
    assert result.err.count("\n") == 1


def test_the_lines_that_ray_writes_before_the_command_are_not_shown() -> None:
    shown: list[str] = []
    show = WithoutPreamble(shown.append)
    log = (
        "2026-11-29 17:26:01,009\tINFO job_manager.py:581 -- Runtime env is setting up.\n"
        "Running entrypoint for job cleanplate-1: python -m flows.cli erase in out\n"
        "0 of 6 images (0%)\n"
        "Running entrypoint for job is what this line says\n6 images"
    )
    for start in range(0, len(log), 7):
        show(log[start : start + 7])
    show.end()
    assert "".join(shown) == "0 of 6 images (0%)\nRunning entrypoint for job is what this line says\n6 images"


def test_a_single_line_of_a_command_that_died_is_shown() -> None:
    shown: list[str] = []
    show = WithoutPreamble(shown.append)
    show("Segmentation fault")
    show.end()
    assert shown == ["Segmentation fault"]


def test_a_fingerprint_depends_on_the_command_line() -> None:
    assert fingerprint("a b") == fingerprint("a b") != fingerprint("a c")
    assert re.fullmatch("[0-9a-f]{8}", fingerprint("a"))
