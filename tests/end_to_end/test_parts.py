"""A run in parts: several drivers, one destination, one ledger, one report.

Two parts run at the same time, and one of them is killed and resumed alone, while the others
neither wait nor know of it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from cluster.profile import laptop
from flows.engine.run import run
from flows.erase_text import erase_text
from flows.ladder import PRESETS, Fills
from operators.ledger import index, ledger
from operators.ledger.part import Part
from operators.rows.counted import counted

if TYPE_CHECKING:
    from tests.fixtures.cli import Command, CommandResult
    from tests.fixtures.pictures import Pictures

IMAGES, PARTS = 24, 4
"""Each part has few images, and so starts no Ray."""


@dataclass(frozen=True)
class Story:
    """A run in four parts, of which the largest was killed and resumed."""

    source: Path
    dest: Path
    killed: Part
    first: Part
    """The part that went on while the other one was killed."""
    before: set[str]
    """The images of the killed part that had a ledger row when it was killed."""
    early: CommandResult
    """The report while a part was incomplete and two had not started."""
    whole: CommandResult
    """An undivided run into the same destination."""
    other: CommandResult
    """A part of another number of parts."""
    others: dict[Part, CommandResult]
    resumed: CommandResult
    merged: CommandResult
    again: CommandResult


def shards(dest: Path, part: Part) -> list[Path]:
    return [folder for folder in (dest / "ledger").glob("shard=*") if part.has_shard(int(folder.name.partition("=")[2]))]


def committed(dest: Path, part: Part) -> int:
    return sum(len(list(folder.glob("*.parquet"))) for folder in shards(dest, part))


def kill(driver: psutil.Process) -> None:
    """Kill a driver alone, as the kernel would, and then what it has left behind."""
    started = driver.children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(started, timeout=30)
    for process in alive:
        process.kill()


@pytest.fixture(scope="module")
def story(cleanplate: Command, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("parts")
    source, dest = root / "in", root / "out"
    source.mkdir()
    for number in range(IMAGES):
        pictures.strip(number, None if number % 6 == 5 else f"NUMBER {number}").save(source / f"{number:02d}.png")
    command = ("erase", source, dest, "--preset", "fast", "--accept", "best", "--workers", 1)

    by_size = sorted(divide(source), key=lambda part: -len(divide(source)[part]))
    killed, first, *rest = by_size

    folders = {part: tempfile.mkdtemp(prefix="ray", dir="/tmp") for part in (first, killed)}
    drivers = {}
    for part, folder in folders.items():
        drivers[part] = cleanplate.start(*command, "--part", str(part), ray_folder=folder)
        deadline = time.monotonic() + 150
        # The second driver starts when the first one works.
        while not committed(dest, part):
            assert drivers[part].poll() is None, drivers[part].communicate()
            assert time.monotonic() < deadline, "no ledger parts"
            time.sleep(0.005)
    kill(psutil.Process(drivers[killed].pid))
    drivers[killed].communicate()
    ended = drivers[first].communicate(timeout=150)
    assert drivers[first].returncode == 0, ended
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
    before = set().union(*(ledger.done_ids(str(dest), shard) for shard in index.shards(str(dest), killed)))
    early = cleanplate("report", dest)
    whole, other = cleanplate(*command), cleanplate(*command, "--part", "3/5")
    others = {part: cleanplate(*command, "--part", str(part)) for part in rest}
    resumed = cleanplate(*command, "--part", str(killed))
    merged, again = cleanplate("report", dest), cleanplate(*command, "--part", str(killed))
    return Story(source, dest, killed, first, before, early, whole, other, others, resumed, merged, again)


def divide(source: Path) -> dict[Part, list[str]]:
    """The images of each part."""
    uris = [str(file) for file in source.iterdir()]
    return {part: [uri for uri in uris if part.takes(uri)] for part in (Part(number, PARTS) for number in range(1, PARTS + 1))}


def test_a_part_was_killed_in_the_middle(story: Story) -> None:
    assert 1 <= len(story.before) < len(divide(story.source)[story.killed])


def test_a_report_in_between_says_which_parts_are_complete(story: Story) -> None:
    images = {part: counted(len(uris), "image") for part, uris in divide(story.source).items()}
    states = dict.fromkeys(images, "not started")
    states |= {story.first: f"complete, {images[story.first]}", story.killed: f"{len(story.before)} of {images[story.killed]}"}
    assert story.early.code == 3
    assert story.early.err.splitlines() == [f"part {part}: {state}" for part, state in states.items()]
    done = len(divide(story.source)[story.first]) + len(story.before)
    assert story.early.out.startswith(f"{done} images, ")
    assert " | 1 of 4 parts complete | " in story.early.out


def test_another_division_of_the_same_destination_is_refused_in_one_line(story: Story) -> None:
    for refused in (story.whole, story.other):
        assert (refused.code, refused.out) == (2, "")
        assert refused.err == (
            f"error: settings_changed: {story.dest} holds a run in 4 parts; use --part N/4, or another DEST\n"
        )


def test_every_part_works_its_own_images(story: Story) -> None:
    for part, result in story.others.items():
        assert result.code == 0, result.err
        assert result.out.startswith(f"part {part}: {counted(len(divide(story.source)[part]), 'image')}")
    assert sum(map(len, divide(story.source).values())) == IMAGES


def test_the_killed_part_is_resumed_alone(story: Story) -> None:
    images = len(divide(story.source)[story.killed])
    assert story.resumed.code == 0, story.resumed.err
    assert story.resumed.out.startswith(f"part {story.killed}: {images} images, {len(story.before)} done before, ")


def test_a_complete_part_does_nothing_and_starts_no_ray(story: Story) -> None:
    images = len(divide(story.source)[story.killed])
    assert story.again.code == 0
    assert story.again.out.startswith(f"part {story.killed}: {images} images, {images} done before, ")
    assert not story.again.used_ray


def test_the_merged_ledger_holds_each_image_once(story: Story) -> None:
    rows = ledger.read(str(story.dest))
    assert sorted(rows["path"].to_pylist()) == [f"{number:02d}.png" for number in range(IMAGES)]
    assert len(set(rows["image_id"].to_pylist())) == IMAGES
    assert {file.name for file in (story.dest / "ledger").rglob("*.parquet")} == {"complete.parquet"}


def test_one_command_ends_the_run_with_one_report(story: Story) -> None:
    assert story.merged.code == 0
    lines = [f"part {part}: complete, {counted(len(uris), 'image')}" for part, uris in divide(story.source).items()]
    assert story.merged.err.splitlines() == lines
    assert story.merged.out.startswith(f"{IMAGES} images, ")
    assert story.merged.out.endswith(f" | 4 of 4 parts complete | {story.dest / 'report.html'}\n")
    page = (story.dest / "report.html").read_text()
    assert f"{IMAGES} images from" in page
    assert all(line in page for line in lines)
    assert json.loads((story.dest / "run.json").read_text())["parts"] == PARTS


def test_nothing_of_the_drivers_is_left_but_how_they_ended(story: Story) -> None:
    left = sorted(str(file.relative_to(story.dest)) for file in (story.dest / "parts").rglob("*") if file.is_file())
    assert left == [f"parts/{number}-of-4/finished.json" for number in range(1, PARTS + 1)]
    assert not (story.dest / "lease.json").exists()


@pytest.mark.usefixtures("ray_here")
def test_every_output_equals_that_of_an_undivided_run(
    story: Story, tmp_path: Path, sums: Callable[[Path], dict[str, str]]
) -> None:
    flow = erase_text(Fills(PRESETS["fast"], accept="best"))
    run(flow, str(story.source), str(tmp_path / "out"), laptop().with_workers(2))
    outputs = sums(story.dest / "images")
    assert outputs == sums(tmp_path / "out" / "images")
    assert len(outputs) == IMAGES
    rows = ledger.read(str(story.dest)).to_pylist()
    assert {row["path"]: row["output_sha256"] for row in rows} == outputs
    assert "edited" in {row["verdict"] for row in rows}
