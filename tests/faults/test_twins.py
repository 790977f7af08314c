"""Of each content one image is worked, although a worker and the driver are killed meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from operators.ledger import ledger
from operators.storage import files as storage
from tests.fixtures.pictures import encoded
from tests.flows.mirrored import COUNTS, SECONDS, mirrored, worked

if TYPE_CHECKING:
    from tests.fixtures.cli import Command, CommandResult
    from tests.fixtures.pictures import Pictures
    from tests.fixtures.s3 import S3

CONTENTS, COPIES = 12, 3
WORKERS, IMAGES_PER_BLOCK = 2, 4
FLOW = Path(__file__).parents[1] / "flows" / "mirrored.py"
PROFILE = f"""
name: twins
placement: fused
images_per_block: {IMAGES_PER_BLOCK}
stages:
  worker: {{cpus: 1, pool: [{WORKERS}, {WORKERS}]}}
"""


@dataclass(frozen=True)
class Story:
    """A run that lost a worker and its driver, and the run that resumed it."""

    pictures: dict[str, bytes]
    before: Counter[str]
    """How often each content had been worked when the driver was killed."""
    resumed: CommandResult
    worked: Counter[str]


@pytest.fixture(scope="module")
def story(s3: S3, cleanplate: Command, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("twins")
    counts = root / "counts"
    counts.mkdir()
    (root / "twins.yaml").write_text(PROFILE)
    contents = [encoded(pictures.plain(number, (40 + number, 30)), "PNG") for number in range(CONTENTS)]
    named = {f"{number:02d}-{copy}.png": contents[number] for number in range(CONTENTS) for copy in range(COPIES)}
    files: Any = s3.files()
    for bucket in ("copies-in", "copies-out"):
        files.mkdir(bucket)
    files.pipe({f"copies-in/{name}": data for name, data in named.items()})
    environment = {COUNTS: str(counts), SECONDS: "1"}
    command = ("run", f"{FLOW}:mirror", "s3://copies-in", "s3://copies-out/run", "--profile", root / "twins.yaml")

    ray_folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    driver = cleanplate.start(*command, ray_folder=ray_folder, environment=environment)

    def wait_for(event: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 300
        while not event():
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < deadline, "hung"
            time.sleep(0.05)

    wait_for(lambda: sum(worked(counts).values()) >= 3)
    children = psutil.Process(driver.pid).children(recursive=True)
    next(child for child in children if "MapWorker" in " ".join(child.cmdline())).kill()
    wait_for(lambda: len(worked(counts)) >= CONTENTS // 2)
    children = psutil.Process(driver.pid).children(recursive=True)
    os.kill(driver.pid, signal.SIGKILL)
    for child in children:
        with suppress(psutil.NoSuchProcess):
            child.kill()
    driver.communicate()
    shutil.rmtree(ray_folder, ignore_errors=True)
    before = worked(counts)
    resumed = cleanplate(*command, environment={**environment, SECONDS: "0"}, most_seconds=400)
    return Story(named, before, resumed, worked(counts))


def test_the_driver_was_killed_in_the_middle(story: Story) -> None:
    assert CONTENTS // 2 <= len(story.before) < CONTENTS


def test_every_image_is_delivered_with_the_bytes_of_its_content(story: Story) -> None:
    assert story.resumed.code == 0, story.resumed.err
    assert story.resumed.out.startswith(f"{CONTENTS * COPIES} images, ")
    for name, data in story.pictures.items():
        assert storage.read(f"s3://copies-out/run/images/{name}") == mirrored(data)


def test_the_ledger_has_every_image_once_and_one_first_for_each_content(story: Story) -> None:
    rows = ledger.read("s3://copies-out/run").to_pylist()
    assert sorted(row["path"] for row in rows) == sorted(story.pictures)
    assert Counter(row["verdict"] for row in rows) == {"edited": CONTENTS * COPIES}
    firsts = {row["image_id"]: row["source_sha256"] for row in rows if row["twin_of"] is None}
    assert len(set(firsts.values())) == len(firsts) == CONTENTS
    assert all(firsts[row["twin_of"]] == row["source_sha256"] for row in rows if row["twin_of"] is not None)


def test_only_what_was_in_flight_is_worked_again(story: Story) -> None:
    assert len(story.worked) == CONTENTS
    # A killed worker has one block in its compute thread; in the end both workers were killed.
    assert sum(story.worked.values()) - CONTENTS <= (1 + WORKERS) * IMAGES_PER_BLOCK
    print(f"{sum(story.worked.values()) - CONTENTS} contents were worked again")


def test_no_claim_is_left_and_every_shard_is_one_file(story: Story) -> None:
    names = storage.list_paths("s3://copies-out/run")
    assert not [name for name in names if "/twins/" in name or name.endswith("lease.json")]
    assert {name.rpartition("/")[2] for name in names if "/ledger/" in name} == {"complete.parquet"}
