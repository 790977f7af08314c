"""A killed driver costs a few images and never a ledger row: the same command resumes the run."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from cluster.profile import laptop
from flows.engine.few_images import MOST_IMAGES
from flows.engine.run import run
from flows.erase_text import erase_text
from flows.ladder import PRESETS, Fills
from flows.telemetry.summary import count_text
from operators.ledger import ledger

if TYPE_CHECKING:
    from tests.fixtures.cli import Command, CommandResult
    from tests.fixtures.pictures import Pictures

IMAGES = MOST_IMAGES + 20
"""So many that Ray works those that are left, too."""
WORKERS = 2
KILLED_AFTER = 4
"""How many ledger parts exist when the driver is killed."""


@dataclass(frozen=True)
class Story:
    """A killed run, the run that resumed it, and a third run."""

    source: Path
    dest: Path
    committed: set[str]
    """Paths that had a ledger row once the driver and all its processes had ended."""
    delivered: dict[str, int]
    """Modification times of the outputs that existed at that moment, in nanoseconds."""
    resumed: CommandResult
    resumed_times: dict[str, int]
    third: CommandResult
    third_times: dict[str, int]


def times(dest: Path) -> dict[str, int]:
    """Modification times of all outputs, in nanoseconds."""
    return {file.name: file.stat().st_mtime_ns for file in (dest / "images").iterdir() if not file.name.startswith(".")}


def parts(dest: Path) -> int:
    """How many ledger parts exist."""
    return len(list((dest / "ledger").rglob("part-*.parquet")))


def kill(process: psutil.Process) -> None:
    """Kill the driver alone, as the kernel would, and wait for its processes to end."""
    started = process.children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(started, timeout=60)
    assert not alive, f"left behind: {alive}"


@pytest.fixture(scope="module")
def story(cleanplate: Command, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("kill")
    source, dest = root / "in", root / "out"
    source.mkdir()
    for number in range(IMAGES):
        pictures.strip(number, None if number % 6 == 5 else f"NUMBER {number}").save(source / f"{number:02d}.png")
    command = ("erase", source, dest, "--preset", "fast", "--accept", "best", "--workers", WORKERS)

    ray_folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    driver = cleanplate.start(*command, ray_folder=ray_folder)
    deadline = time.monotonic() + 120
    while parts(dest) < KILLED_AFTER:
        assert driver.poll() is None, driver.communicate()
        assert time.monotonic() < deadline, "no ledger parts"
        time.sleep(0.005)
    kill(psutil.Process(driver.pid))
    driver.communicate()
    shutil.rmtree(ray_folder, ignore_errors=True)

    committed = set(ledger.read(str(dest))["path"].to_pylist())
    delivered = times(dest)
    resumed = cleanplate(*command)
    resumed_times = times(dest)
    third = cleanplate(*command)
    return Story(source, dest, committed, delivered, resumed, resumed_times, third, times(dest))


def test_the_driver_was_killed_in_the_middle(story: Story) -> None:
    assert KILLED_AFTER <= len(story.committed) < IMAGES
    assert story.committed <= set(story.delivered)


def test_a_killed_driver_leaves_one_row_per_input(story: Story) -> None:
    assert story.resumed.code == 0, story.resumed.err
    rows = ledger.read(str(story.dest))
    assert sorted(rows["path"].to_pylist()) == [f"{number:02d}.png" for number in range(IMAGES)]
    assert len(set(rows["image_id"].to_pylist())) == IMAGES
    assert [file.name for file in (story.dest / "ledger").rglob("*.parquet")] == ["complete.parquet"]


def test_a_killed_drivers_lease_does_not_hold_up_the_next_one(story: Story) -> None:
    assert "destination_in_use" not in story.resumed.err
    assert not (story.dest / "lease.json").exists()


def test_an_image_with_a_ledger_row_is_not_redone(story: Story) -> None:
    assert {name: story.resumed_times[name] for name in story.committed} == {
        name: story.delivered[name] for name in story.committed
    }
    assert story.resumed.out.startswith(f"{IMAGES} images, {len(story.committed)} done before, ")


def test_the_last_line_of_the_resumed_run_counts_the_images_of_both(story: Story) -> None:
    counted = Counter(ledger.read(str(story.dest))["verdict"].to_pylist())
    verdicts = story.resumed.out.partition("done before, ")[2].partition(" | ")[0]
    assert verdicts == count_text(counted)
    assert counted.total() == IMAGES


def test_at_most_a_few_images_per_worker_are_redone(story: Story) -> None:
    redone = [name for name, modified in story.delivered.items() if story.resumed_times[name] != modified]
    assert len(redone) <= 3 * WORKERS


@pytest.mark.usefixtures("ray_here")
def test_after_the_kill_every_output_equals_that_of_an_undisturbed_run(
    story: Story, tmp_path: Path, sums: Callable[[Path], dict[str, str]]
) -> None:
    run(
        erase_text(Fills(PRESETS["fast"], accept="best")),
        str(story.source),
        str(tmp_path / "out"),
        laptop().with_workers(WORKERS),
    )
    outputs = sums(story.dest / "images")
    assert outputs == sums(tmp_path / "out" / "images")
    assert len(outputs) == IMAGES
    rows = ledger.read(str(story.dest)).to_pylist()
    assert {row["path"]: row["output_sha256"] for row in rows} == outputs
    assert "edited" in {row["verdict"] for row in rows}


def test_a_third_run_redoes_nothing_and_starts_no_ray(story: Story) -> None:
    assert (story.third.code, story.third.err) == (0, "")
    verdicts, texts, *_ = story.resumed.out.partition("done before, ")[2].split(" | ")
    assert story.third.out == f"{IMAGES} images, {IMAGES} done before, {verdicts} | {texts} | {story.dest / 'report.html'}\n"
    assert story.third_times == story.resumed_times
    assert story.resumed.used_ray
    assert not story.third.used_ray
