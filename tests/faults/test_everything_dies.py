"""One run loses a worker, a node, its storage for half a minute, and its driver.

No image is lost, and little work is repeated. The run has 500 images by default; `make faults` sets
CLEANPLATE_FAULT_IMAGES to 10,000.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
from PIL import Image

from flows.engine.session import IDLE_MILLISECONDS
from flows.engine.stages import BLOCKS_AT_ONCE
from operators.ledger import ledger
from operators.storage import files as storage
from tests.faults.cheap_flow import COUNTS, MASKS
from tests.fixtures.pictures import encoded

if TYPE_CHECKING:
    from tests.fixtures.cli import Command, CommandResult
    from tests.fixtures.s3 import S3

IMAGES = int(os.environ.get("CLEANPLATE_FAULT_IMAGES", "500"))
WORKERS = 2
NODES, CPUS = 2, 2
IMAGES_PER_BLOCK = 2 if IMAGES <= 500 else 8
IN_FLIGHT = IMAGES_PER_BLOCK * BLOCKS_AT_ONCE * WORKERS
"""The most images between `fetch` and their ledger row."""
OUTAGE_SECONDS = 30
FLOW = Path(__file__).parent / "cheap_flow.py"
PROFILE = f"""
name: faults
placement: fused
images_per_block: {IMAGES_PER_BLOCK}
stages:
  worker: {{cpus: 1, pool: [{WORKERS}, {WORKERS}]}}
"""
SIZE = (64, 48)
MOST_SECONDS = 300 + IMAGES
pytestmark = pytest.mark.timeout(3 * MOST_SECONDS)


@dataclass
class Nodes:
    """A Ray cluster on this machine: a head without CPUs, and nodes with two CPUs each."""

    folder: str
    cluster: Any = None
    workers: list[Any] = field(default_factory=list)

    def start(self) -> None:
        from ray.cluster_utils import Cluster

        (Path(self.folder) / "ray").mkdir()
        head = {"num_cpus": 0, "object_store_memory": 10**8, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(NODES):
            self.add()

    def add(self) -> None:
        self.workers.append(self.cluster.add_node(num_cpus=CPUS, object_store_memory=2 * 10**8))

    def processes(self, node: Any) -> list[psutil.Process]:
        """The processes of a node: its own and the workers that it started."""
        own = [psutil.Process(info.process.pid) for infos in node.all_processes.values() for info in infos]
        return [*own, *(child for process in own for child in process.children(recursive=True))]

    def kill_a_worker(self) -> None:
        """Kill one process that works on images, as the kernel would."""
        for process in (process for node in self.workers for process in self.processes(node)):
            with suppress(psutil.Error):
                if "MapWorker" in " ".join(process.cmdline()):
                    process.kill()
                    return
        raise AssertionError("no worker to kill")

    def kill_a_node(self) -> None:
        """Kill all processes of the oldest node at once."""
        node = self.workers.pop(0)
        for process in self.processes(node):
            with suppress(psutil.Error):
                process.kill()
        self.cluster.remove_node(node, allow_graceful=False)


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder in which every worked image leaves a line."""
    folder = tmp_path_factory.mktemp("counts")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(COUNTS, str(folder))
        yield folder


@pytest.fixture(scope="module")
def nodes(s3: S3, counts: Path) -> Iterator[Nodes]:
    nodes = Nodes(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_TMPDIR", nodes.folder)
            patch.setenv("RAY_idle_worker_killing_time_threshold_ms", IDLE_MILLISECONDS)
            nodes.start()
            yield nodes
    finally:
        if nodes.cluster is not None:
            nodes.cluster.shutdown()
        shutil.rmtree(nodes.folder, ignore_errors=True)


def picture(number: int) -> bytes:
    """A PNG file whose first pixel encodes its number, so that no two pictures are equal."""
    across = np.linspace(60, 200, SIZE[0])[None, :, None] + np.linspace(0, 40, SIZE[1])[:, None, None]
    pixels = np.clip(across + np.array([number % 41, number % 37, number % 29]), 0, 255).astype(np.uint8)
    pixels[0, 0] = [number % 256, number // 256 % 256, number // 65536]
    return encoded(Image.fromarray(pixels), "PNG")


@pytest.fixture(scope="module")
def source(s3: S3) -> str:
    """A bucket of small pictures and their masks."""
    files: Any = s3.files()
    for bucket in ("faults-in", "faults-masks", "faults-out"):
        files.mkdir(bucket)
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask[20:28, 20:40] = 255
    hole = encoded(Image.fromarray(mask), "PNG")
    for first in range(0, IMAGES, 500):
        names = {number: f"{number // 1000:03d}/{number:06d}.png" for number in range(first, min(first + 500, IMAGES))}
        files.pipe({f"faults-in/{name}": picture(number) for number, name in names.items()})
        files.pipe({f"faults-masks/{name}": hole for name in names.values()})
    return "s3://faults-in"


@dataclass
class Story:
    """The state after all faults: the resumed run, a third run, and the work of all runs."""

    resumed: CommandResult | None = None
    third: CommandResult | None = None
    worked: Counter[str] = field(default_factory=Counter)
    """How often each path was worked, until the end of the resumed run."""
    in_flight: int = 0
    """Images that had been started but had no ledger row when the driver was killed."""
    seconds: dict[str, float] = field(default_factory=dict)
    """When each fault happened, from the start of the first run."""


def worked(folder: Path) -> Counter[str]:
    """How often each path was worked."""
    return Counter(line for file in folder.iterdir() for line in file.read_text().splitlines())


@pytest.fixture(scope="module")
def story(
    s3: S3, source: str, nodes: Nodes, counts: Path, cleanplate: Command, tmp_path_factory: pytest.TempPathFactory
) -> Story:
    profile = tmp_path_factory.mktemp("profile") / "faults.yaml"
    profile.write_text(PROFILE)
    environment = {"RAY_ADDRESS": nodes.cluster.address, MASKS: "s3://faults-masks"}
    arguments = ("run", f"{FLOW}:flow", source, "s3://faults-out/disturbed", "--profile", profile)
    story, start = Story(), time.monotonic()
    driver = cleanplate.start(*arguments, ray_folder=nodes.folder, environment=environment)

    def wait_for(share: float, event: str) -> None:
        while sum(worked(counts).values()) < share * IMAGES:
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() - start < MOST_SECONDS, f"hung before {event}"
            time.sleep(0.2)
        story.seconds[event] = time.monotonic() - start

    try:
        wait_for(0.1, "worker killed")
        nodes.kill_a_worker()
        wait_for(0.5, "node killed")
        nodes.add()
        nodes.kill_a_node()
        wait_for(0.7, "storage stopped")
        s3.stop()
        time.sleep(OUTAGE_SECONDS)
        s3.go_on()
        wait_for(0.9, "driver killed")
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate()
        started = len(worked(counts))
    finally:
        s3.go_on()
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
    story.resumed = cleanplate(*arguments, environment=environment, most_seconds=MOST_SECONDS)
    story.seconds["resumed"] = time.monotonic() - start
    story.in_flight = started - int(story.resumed.out.split(" done before")[0].split()[-1])
    story.worked = worked(counts)
    story.third = cleanplate(*arguments, environment=environment, most_seconds=MOST_SECONDS)
    print({name: round(seconds, 1) for name, seconds in story.seconds.items()}, story.resumed.out)
    return story


def test_the_run_that_lost_its_driver_resumes_and_ends_well(story: Story) -> None:
    assert story.resumed is not None
    assert story.resumed.code == 0, story.resumed.err
    assert f"{IMAGES} images, " in story.resumed.out
    assert " done before, " in story.resumed.out


def test_the_ledger_has_each_image_once_and_all_are_edited(story: Story) -> None:
    rows = ledger.read("s3://faults-out/disturbed")
    assert rows.num_rows == len(set(rows["image_id"].to_pylist())) == len(set(rows["path"].to_pylist())) == IMAGES
    assert Counter(rows["verdict"].to_pylist()) == {"edited": IMAGES}


def test_every_shard_is_one_file_and_nothing_else_is_left(story: Story) -> None:
    names = storage.list_paths("s3://faults-out/disturbed")
    assert {name.rpartition("/")[2] for name in names if "/ledger/" in name} == {"complete.parquet"}
    assert len([name for name in names if "/images/" in name]) == IMAGES
    assert not [name for name in names if name.endswith(("lease.json", ".partial"))]


def test_only_images_in_flight_are_worked_again(story: Story) -> None:
    assert len(story.worked) == IMAGES
    redone = sum(story.worked.values()) - IMAGES
    print(f"{redone} of {IMAGES} images were worked again, {story.in_flight} of them in flight when the driver was killed")
    assert redone <= 0.02 * IMAGES + story.in_flight + 2 * IN_FLIGHT


def test_no_more_images_were_in_flight_than_the_stages_may_hold(story: Story) -> None:
    assert story.in_flight <= IN_FLIGHT


def test_a_third_run_finds_nothing_to_do(story: Story) -> None:
    assert story.third is not None
    assert (story.third.code, story.third.used_ray) == (0, False)
    assert story.third.out.startswith(f"{IMAGES} images, {IMAGES} done before, {IMAGES} edited | ")


def test_every_output_equals_that_of_an_undisturbed_run(
    story: Story, s3: S3, source: str, nodes: Nodes, cleanplate: Command, tmp_path: Path
) -> None:
    (tmp_path / "faults.yaml").write_text(PROFILE)
    environment = {"RAY_ADDRESS": nodes.cluster.address, MASKS: "s3://faults-masks"}
    arguments = ("run", f"{FLOW}:flow", source, "s3://faults-out/calm", "--profile", tmp_path / "faults.yaml")
    calm = cleanplate(*arguments, environment=environment, most_seconds=MOST_SECONDS)
    assert calm.code == 0, calm.err
    files: Any = s3.files()

    def etags(run: str) -> dict[str, str]:
        objects = files.find(f"faults-out/{run}/images", detail=True)
        return {name.partition("/images/")[2]: entry["ETag"] for name, entry in objects.items()}

    assert len(etags("calm")) == IMAGES
    assert etags("disturbed") == etags("calm")
