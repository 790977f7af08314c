"""The benchmark of files goes on where it was interrupted, and one bad picture ends no run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    samples = np.random.default_rng(0).integers(0, 255, (40, 60, 3)).astype(np.uint8)
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.bmp"):
        Image.fromarray(samples).save(tmp_path / "in" / name)
    (tmp_path / "in" / "c.gif").write_bytes(b"GIF89a")
    return tmp_path


def test_every_picture_has_an_end_and_a_second_run_works_none_again(folder: Path) -> None:
    done = folder / "build" / "done.jsonl"
    done.parent.mkdir()
    known = files.End(str(folder / "in" / "a.png"), "written_wrongly", "PNG", "as it was", [])
    done.write_text(json.dumps(known._asdict()) + "\n" + '{"path": "cut')
    totals = files.measure([folder / "in"], done)
    assert totals["ends"] == {"corrupt": 1, "edited": 1, "written_wrongly": 1}
    assert totals["edited_by_format"] == {"BMP": 1}
    assert totals["crashed_timed_out_or_not_written"] == ["a.png: written_wrongly: as it was"]
    before = done.read_text()
    assert files.measure([folder / "in"], done)["ends"] == totals["ends"]
    assert done.read_text() == before


def test_a_picture_that_crashes_its_process_or_takes_too_long_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash = "import os, sys\nfor line in sys.stdin:\n    os.abort() if 'a.png' in line else sys.stdin.read()\n"
    monkeypatch.setattr(files, "WORK", crash)
    monkeypatch.setattr(files, "SECONDS", 1.0)
    worker = files.Worker()
    assert worker.work(folder / "in" / "a.png", folder / "out") == ("crashed", "-", "exit code -6")
    assert worker.work(folder / "in" / "b.bmp", folder / "out") == ("timed_out", "-", "1.0 s")
