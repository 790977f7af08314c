"""How a run ends: asked to, killed, or with nothing to do; and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows.engine.few_images import MOST_IMAGES
from tests.fixtures.cli import BIN

if TYPE_CHECKING:
    from tests.fixtures.cli import Command
    from tests.fixtures.pictures import Pictures

MOST_SECONDS = 120


@pytest.fixture(scope="module")
def source(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of small pictures."""
    folder = tmp_path_factory.mktemp("endings")
    for number in range(MOST_IMAGES + 4):  # more than a run without Ray takes
        pictures.plain(number, (64, 48)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty folder for temporary files whose path is short enough for sockets."""
    folder = Path(f"/tmp/e{os.getpid()}-{time.monotonic_ns() % 10**6}")
    folder.mkdir()
    yield folder
    subprocess.run(["rm", "-rf", str(folder)], check=True)


def wait_until(condition: object, seconds: float = MOST_SECONDS) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_run_that_a_signal_ends_says_how_to_go_on_and_leaves_no_temporary_file(
    source: Path, tmp_path: Path, temporary: Path, number: signal.Signals
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("RAY_TMPDIR", "RAY_ADDRESS")}
    process = subprocess.Popen(
        [BIN / "cleanplate", "erase", source, tmp_path / "out", "--preset", "fast"],
        env=environment | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: list(temporary.glob("cp-*/ray/session_*/sockets/raylet")) or process.poll() is not None)
    time.sleep(1)
    before = set(os.listdir("/dev/shm"))
    process.send_signal(number)
    out, err = process.communicate(timeout=MOST_SECONDS)
    if number == signal.SIGKILL:
        assert process.returncode == -signal.SIGKILL
    else:
        assert (process.returncode, out) == (3, "")
        assert err.splitlines()[-1] == "error: interrupted: run the same command again to continue where this run stopped"
        assert "Traceback" not in err
        assert "SIGTERM" not in err
    wait_until(lambda: not list(temporary.iterdir()), 40)
    assert set(os.listdir("/dev/shm")) <= before


def test_a_source_without_images_creates_nothing(cleanplate: Command, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("words")
    result = cleanplate("erase", tmp_path / "in", tmp_path / "out")
    assert result.code == 2
    assert result.err.splitlines()[-1] == f"error: no_images: 0 images in {tmp_path}/in: not pictures 1 (.txt 1)"
    assert not (tmp_path / "out").exists()
    assert not result.used_ray


def test_source_and_dest_may_not_be_the_same(cleanplate: Command, source: Path) -> None:
    before = sorted(source.iterdir())
    result = cleanplate("erase", source, f"{source.parent}/./{source.name}/")
    assert result.code == 2
    assert result.err.splitlines()[-1].startswith("error: source_in_destination: SOURCE and DEST are the same folder")
    assert sorted(source.iterdir()) == before


def test_a_run_counts_what_is_no_image_in_its_last_line_run_json_and_report(
    cleanplate: Command, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    name = os.fsdecode(b"r\xe9sum\xe2\x80\xaf.png")
    (folder / name).write_bytes((source / "0.png").read_bytes())
    (folder / "notes.txt").write_text("words")
    (folder / "loop").symlink_to("loop")
    (folder / "list.csv").write_text("uri\n")
    result = cleanplate("erase", folder, tmp_path / "out", "--preset", "fast")
    assert result.code == 0, result.err
    assert result.out.startswith(
        "1 image, 1 untouched | left out: not pictures 2 (.csv 1, .txt 1); links that lead back to their own folder 1 | "
    )
    assert os.listdir(os.fsencode(tmp_path / "out" / "images")) == [os.fsencode(name)]
    assert (tmp_path / "out" / "images" / name).read_bytes() == (source / "0.png").read_bytes()
    recorded = json.loads((tmp_path / "out" / "run.json").read_text())["left_out"]
    assert recorded["not_pictures"] == {
        "count": 2,
        "by": {".csv": 1, ".txt": 1},
        "examples": ["list.csv", "notes.txt"],
    }
    report = (tmp_path / "out" / "report.html").read_text()
    assert '<td>not pictures</td><td class="number">2</td><td>.csv 1, .txt 1</td>' in report
    assert '<td>links that lead back to their own folder</td><td class="number">1</td><td>loop</td>' in report


def test_what_a_run_inside_the_source_delivered_is_no_source_of_the_next_run_but_may_be_given_as_one(
    cleanplate: Command, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("0.png", "1.png"):
        (folder / name).write_bytes((source / name).read_bytes())
    first = cleanplate("erase", folder, folder / "first", "--preset", "fast")
    assert first.out.startswith("2 images, 2 untouched | "), first.err
    second = cleanplate("erase", folder, folder / "second", "--preset", "fast")
    assert second.out.startswith("2 images, 2 untouched | left out: folders of earlier runs 1 | "), second.err
    assert sorted(path.name for path in (folder / "second" / "images").rglob("*")) == ["0.png", "1.png"]
    recorded = json.loads((folder / "second" / "run.json").read_text())["left_out"]
    assert recorded == {"earlier_runs": {"count": 1, "by": {}, "examples": ["first"]}}
    report = (folder / "second" / "report.html").read_text()
    assert '<td>folders of earlier runs</td><td class="number">1</td><td>first</td>' in report
    larger = cleanplate("enlarge", folder / "first", tmp_path / "larger", "--scale", 2, "--model", "lanczos")
    assert larger.out.startswith(
        "2 images, 2 edited | left out: not pictures 2 (.html 1, .json 1); folders of earlier runs 2 | "
    ), larger.err
    assert sorted(path.name for path in (tmp_path / "larger" / "images" / "images").iterdir()) == ["0.png", "1.png"]


def test_a_manifest_may_not_read_what_it_names_elsewhere_unless_allowed(
    cleanplate: Command, source: Path, tmp_path: Path
) -> None:
    (tmp_path / "list.csv").write_text(f"uri\nfile:///etc/passwd\n{source}/0.png\n")
    refused = cleanplate("erase", tmp_path / "list.csv", tmp_path / "out")
    assert refused.code == 2
    assert "source_not_allowed" in refused.err
    assert not (tmp_path / "out").exists()
    allowed = cleanplate("erase", tmp_path / "list.csv", tmp_path / "out", "--preset", "fast", "--allow", source)
    assert allowed.code == 0, allowed.err
    assert "1 untouched, 1 failed | source_not_allowed 1 | " in allowed.out
    assert not (tmp_path / "out" / "images" / "local" / "etc").exists()
