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

if TYPE_CHECKING:
    from tests.fixtures.cli import Command, CommandResult
    from tests.fixtures.pictures import Pictures

IMAGES, PARTS, KILLED = 24, 4, Part(2, 4)
"""Most parts have at most eight images, and so start no Ray."""


@dataclass(frozen=True)
class Story:
    """A run in four parts, of which the second was killed and resumed."""

    source: Path
    dest: Path
    before: set[str]
    """The images of the killed part that had a ledger row when it was killed."""
    early: CommandResult
    """The report while a part was incomplete and two had not started."""
    whole: CommandResult
    """An undivided run into the same destination."""
    other: CommandResult
    """A part of another number of parts."""
    others: dict[int, CommandResult]
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

    folders = {number: tempfile.mkdtemp(prefix="ray", dir="/tmp") for number in (1, 2)}
    drivers = {}
    for number, folder in folders.items():
        part = Part(number, PARTS)
        drivers[number] = cleanplate.start(*command, "--part", str(part), ray_folder=folder)
        deadline = time.monotonic() + 150
        # The second driver starts when the first one works.
        while not committed(dest, part):
            assert drivers[number].poll() is None, drivers[number].communicate()
            assert time.monotonic() < deadline, "no ledger parts"
            time.sleep(0.005)
    kill(psutil.Process(drivers[2].pid))
    drivers[2].communicate()
    first = drivers[1].communicate(timeout=150)
    assert drivers[1].returncode == 0, first
    for folder in folders.values():
        shutil.rmtree(folder, ignore_errors=True)
    before = set().union(*(ledger.done_ids(str(dest), shard) for shard in index.shards(str(dest), KILLED)))
    early = cleanplate("report", dest)
    whole, other = cleanplate(*command), cleanplate(*command, "--part", "3/5")
    others = {number: cleanplate(*command, "--part", f"{number}/{PARTS}") for number in (3, 4)}
    resumed = cleanplate(*command, "--part", str(KILLED))
    merged = cleanplate("report", dest)
    return Story(
        source, dest, before, early, whole, other, others, resumed, merged, cleanplate(*command, "--part", str(KILLED))
    )


def sizes(story: Story) -> list[int]:
    """How many images each part has."""
    uris = [str(file) for file in story.source.iterdir()]
    return [sum(Part(number, PARTS).takes(uri) for uri in uris) for number in range(1, PARTS + 1)]


def test_a_part_was_killed_in_the_middle(story: Story) -> None:
    assert 1 <= len(story.before) < sizes(story)[1]


def test_a_report_in_between_says_which_parts_are_complete(story: Story) -> None:
    images = sizes(story)
    assert story.early.code == 3
    assert story.early.err.splitlines() == [
        f"part 1/4: complete, {images[0]} images",
        f"part 2/4: {len(story.before)} of {images[1]} images",
        "part 3/4: not started",
        "part 4/4: not started",
    ]
    assert f"{images[0] + len(story.before)} images, " in story.early.out
    assert " | 1 of 4 parts complete | " in story.early.out


def test_another_division_of_the_same_destination_is_refused_in_one_line(story: Story) -> None:
    for refused in (story.whole, story.other):
        assert (refused.code, refused.out) == (2, "")
        assert refused.err == (
            f"error: settings_changed: {story.dest} holds a run in 4 parts; use --part N/4, or another DEST\n"
        )


def test_every_part_works_its_own_images(story: Story) -> None:
    for number, part in story.others.items():
        assert part.code == 0, part.err
        assert part.out.startswith(f"part {number}/4: {sizes(story)[number - 1]} images, ")
    assert sum(sizes(story)) == IMAGES


def test_the_killed_part_is_resumed_alone(story: Story) -> None:
    assert story.resumed.code == 0, story.resumed.err
    assert story.resumed.out.startswith(f"part 2/4: {sizes(story)[1]} images, {len(story.before)} done before, ")


def test_a_complete_part_does_nothing_and_starts_no_ray(story: Story) -> None:
    assert story.again.code == 0
    assert story.again.out.startswith(f"part 2/4: {sizes(story)[1]} images, {sizes(story)[1]} done before, ")
    assert not story.again.used_ray


def test_the_merged_ledger_holds_each_image_once(story: Story) -> None:
    rows = ledger.read(str(story.dest))
    assert sorted(rows["path"].to_pylist()) == [f"{number:02d}.png" for number in range(IMAGES)]
    assert len(set(rows["image_id"].to_pylist())) == IMAGES
    assert {file.name for file in (story.dest / "ledger").rglob("*.parquet")} == {"complete.parquet"}


def test_one_command_ends_the_run_with_one_report(story: Story) -> None:
    assert story.merged.code == 0
    assert story.merged.err.splitlines() == [
        f"part {number}/4: complete, {images} images" for number, images in enumerate(sizes(story), 1)
    ]
    assert story.merged.out.startswith(f"{IMAGES} images, ")
    assert story.merged.out.endswith(f" | 4 of 4 parts complete | {story.dest / 'report.html'}\n")
    page = (story.dest / "report.html").read_text()
    assert f"{IMAGES} images from" in page
    assert f"part 4/4: complete, {sizes(story)[3]} images" in page
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
