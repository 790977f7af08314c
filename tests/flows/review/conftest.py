"""A small finished run to review, and its server in a process of its own."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFont

from cluster import profile as profiles
from flows.engine.settings import Options, record
from flows.erase_text import erase_text
from flows.ladder import Fills, Rung
from flows.reports.run_report import write_report
from operators.ledger import index, ledger
from operators.rows.records import JsonObject
from operators.write import Write

PICTURES = ("hill/a.png", "hill/b.jpg", "sea/c.png", "sea/d.png")


@dataclass(frozen=True)
class FinishedRun:
    """A run over PICTURES, of which b has two texts and d none."""

    source: Path
    dest: Path

    @property
    def rows(self) -> dict[str, JsonObject]:
        return {row["path"]: row for row in ledger.read(str(self.dest)).to_pylist()}

    def ids(self) -> dict[str, str]:
        return {path: row["image_id"] for path, row in self.rows.items()}

    def original(self, path: str) -> bytes:
        return (self.source / path).read_bytes()

    def delivered(self, path: str) -> bytes:
        return (self.dest / "images" / path).read_bytes()


def drawn(number: int, texts: int) -> Image.Image:
    y, x = np.mgrid[0:240, 0:400]
    ground = np.stack([120 + 50 * np.sin(x / 70 + number), 140 + 40 * np.cos(y / 60), np.full(x.shape, 150.0)], -1)
    picture = Image.fromarray((ground + np.random.default_rng(number).normal(0, 2, ground.shape)).clip(0, 255).astype(np.uint8))
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(36)
    for text in range(texts):
        pen.text((30 + 150 * text, 40 + 100 * text), "HELLO", (255, 255, 255), font=font, stroke_width=2, stroke_fill=(0, 0, 0))
    return picture


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """The run, made once; tests take copies."""
    folder = tmp_path_factory.mktemp("reviewed")
    source, dest = folder / "source", folder / "dest"
    for number, (path, texts) in enumerate(zip(PICTURES, (1, 2, 1, 0), strict=True)):
        (source / path).parent.mkdir(parents=True, exist_ok=True)
        drawn(number, texts).save(source / path, quality=92)
    index.build(str(source), str(dest), None)
    flow = erase_text(Fills((Rung("ground"),)))
    record(flow, str(source), str(dest), profiles.load("laptop"), Options())
    flow.then(Write(str(dest))).run(index.read_shard(str(dest), 0))
    assert ledger.compact(str(dest), 0, len(PICTURES))
    write_report(str(dest))
    run = FinishedRun(source, dest)
    assert [run.rows[path]["verdict"] for path in PICTURES] == ["edited", "edited", "edited", "untouched"]
    return run


@pytest.fixture
def finished(made_run: FinishedRun, tmp_path: Path) -> FinishedRun:
    """A copy of the run that a test may change."""
    shutil.copytree(made_run.dest, tmp_path / "dest")
    return FinishedRun(made_run.source, tmp_path / "dest")


@pytest.fixture(scope="session")
def large_run(made_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger of 100,000 rows: those of the small run with other ids and paths."""
    dest = tmp_path_factory.mktemp("large")
    shutil.copy(made_run.dest / "run.json", dest)
    rows = ledger.read(str(made_run.dest))
    for start in range(0, 100_000, 4096):
        numbers = range(start, min(start + 4096, 100_000))
        part = rows.take(pa.array([number % len(rows) for number in numbers]))
        for name, values in {
            "image_id": [f"{number:032x}" for number in numbers],
            "path": [f"{number % 7}/{number:06d}.png" for number in numbers],
            "shard": pa.array([start // 4096] * len(part), pa.int32()),
        }.items():
            part = part.set_column(part.schema.get_field_index(name), name, pa.array(values))
        ledger.replace_rows(str(dest), start // 4096, part)
    return dest


@dataclass
class Server:
    """A server of the review, as the command line starts it."""

    process: subprocess.Popen[str]
    url: str

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)


Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start servers: `serve(dest, "--sample")`; all are ended at the end."""
    running: list[subprocess.Popen[str]] = []

    def start(dest: Path, *options: str) -> Server:
        command = [str(Path(sys.executable).parent / "cleanplate"), "review", str(dest), "--port", "0", *options]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.search(r"http://[^ ?]+", line)
        assert address is not None, line
        return Server(process, address[0])

    yield start
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
