"""A flow on several nodes: stages share GPUs, pools grow and shrink, and lost nodes cost no image.

The nodes and their GPUs are simulated, while Ray and the flows are real.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from operators.ledger import ledger
from tests.cluster.conftest import ROOT, TOKEN, Head, Nodes, Watch, free_port, ray_head, ray_nodes
from tests.cluster.growing import ENVIRONMENT, configuration
from tests.cluster.watched import HELD, IMAGES

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

MOST_SECONDS = 500
NO_TOKEN, WITH_TOKEN = {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token"}
SHARING = """
name: sharing
placement: staged
images_per_block: 1
stages:
  detect: {cpus: 0.2, gpus: 0.25, pool: [4, 4], batch: 1, nodes: [{ray.io/market-type: spot}, {}]}
  describe: {cpus: 0.2, pool: [1, 1]}
  inpaint: {cpus: 0.2, pool: [1, 1]}
  verify: {cpus: 0.2, pool: [1, 1]}
  default: {cpus: 0.2}
"""
WAITING = """
name: waiting
placement: staged
images_per_block: 1
machines: {cpu: {count: [0, 3], cpus: 2, memory: 1GiB, labels: {ray.io/market-type: spot}}}
stages:
  early: {cpus: 0.5, pool: [1, 3]}
  late: {cpus: 0.4, pool: [1, 3]}
  default: {cpus: 0.25}
"""
LOADED = WAITING.replace("cpus: 0.5", "cpus: 1").replace("cpus: 0.4", "cpus: 0.7")
"""One process of each stage takes nearly all of a machine. Ray adds one above three quarters."""

Driver = subprocess.Popen[str]


@contextmanager
def watched_run(flow: str, profile: str, source: Path, root: Path, cluster: dict[str, str]) -> Iterator[tuple[Driver, Watch]]:
    """`cleanplate run` over a source into `root/out`, with the operators' notes in `root/notes`."""
    (root / "notes").mkdir(exist_ok=True)
    (root / "profile.yaml").write_text(profile)
    command = [sys.executable, "-m", "flows.cli", "run", f"tests/cluster/watched.py:{flow}", str(source), str(root / "out")]
    command += ["--profile", str(root / "profile.yaml")]
    environment = os.environ | cluster | {"WATCHED": str(root / "notes"), "PYTHONPATH": str(ROOT)}
    with (root / "errors").open("w") as errors:
        driver = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=errors, stderr=errors, text=True)
        try:
            yield driver, Watch(root / "notes")
        finally:
            driver.kill()
            driver.wait()


def until(condition: Callable[[], Any], driver: Driver, root: Path) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while not condition():
        assert driver.poll() is None, (root / "errors").read_text()
        assert time.monotonic() < deadline, (root / "errors").read_text()
        time.sleep(0.1)


def until_nodes(head: Head, count: int) -> None:
    deadline = time.monotonic() + MOST_SECONDS
    while head.nodes() != count:
        assert time.monotonic() < deadline, head.nodes()
        time.sleep(0.2)


def small_pictures(folder: Path) -> Path:
    folder.mkdir()
    for number in range(IMAGES):
        Image.new("RGB", (16, 16)).save(folder / f"{number:02d}.png")
    return folder


@dataclass(frozen=True)
class Shared:
    """A run whose detectors share GPUs, and which lost a node halfway.

    It was resumed if the loss left images.
    """

    detectors: dict[int, dict[str, Any]]
    code: int
    rows_at_loss: int
    rows: list[dict[str, Any]]
    log: str


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with ray_nodes() as nodes:
        yield nodes


@pytest.fixture(scope="module")
def shared(cluster: Nodes, pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Shared:
    root = tmp_path_factory.mktemp("shared")
    (root / "in").mkdir()
    for number in range(24):
        pictures.strip(number, None if number % 6 == 5 else f"NUMBER {number}").save(root / "in" / f"{number:02d}.png")
    cluster(add={"num_cpus": 4, "num_gpus": 2, "labels": {"ray.io/market-type": "on-demand"}})
    cluster(add={"num_cpus": 2, "num_gpus": 0, "labels": {"ray.io/market-type": "spot"}})
    out = root / "out"
    with watched_run("erasing", SHARING, root / "in", root, NO_TOKEN | {"RAY_ADDRESS": cluster.address}) as (driver, watch):
        until(lambda: len(list(out.rglob("part-*.parquet"))) >= 4, driver, root)
        rows_at_loss = len(ledger.read(str(out)))
        cluster(remove=1)
        code = driver.wait(MOST_SECONDS)
        detectors = watch.notes("detect")
    if code == 3:  # images that were lost twice are left to the next run
        with watched_run("erasing", SHARING, root / "in", root, NO_TOKEN | {"RAY_ADDRESS": cluster.address}) as (driver, _):
            code = driver.wait(MOST_SECONDS)
    return Shared(detectors, code, rows_at_loss, ledger.read(str(out)).to_pylist(), (root / "errors").read_text())


def test_four_detectors_share_one_gpu(shared: Shared) -> None:
    first_four = list(shared.detectors.values())[:4]
    assert len(shared.detectors) >= 4
    assert len({str(note["gpus"]) for note in first_four}) == 1, shared.detectors
    for note in shared.detectors.values():
        assert len(note["gpus"]) == 1
        assert note["visible"] == str(note["gpus"][0])


def test_detectors_run_on_other_nodes_if_the_preferred_ones_have_no_gpu(shared: Shared) -> None:
    assert {note["labels"]["ray.io/market-type"] for note in shared.detectors.values()} == {"on-demand"}


def test_a_node_lost_in_the_middle_costs_no_image(shared: Shared) -> None:
    assert 0 < shared.rows_at_loss < 24
    assert shared.code == 0, shared.log
    assert sorted(row["path"] for row in shared.rows) == [f"{number:02d}.png" for number in range(24)]
    assert {row["failure"] and row["failure"]["code"] for row in shared.rows} == {None}
    assert "edited" in {row["verdict"] for row in shared.rows}


def test_each_pool_grows_while_it_has_work_and_shrinks_when_it_has_none(cluster: Nodes, shared: Shared, tmp_path: Path) -> None:
    sizes: list[tuple[int, int]] = []
    source = small_pictures(tmp_path / "in")
    with watched_run("waiting", WAITING, source, tmp_path, NO_TOKEN | {"RAY_ADDRESS": cluster.address}) as (driver, watch):
        while driver.poll() is None:
            size = watch.alive("early"), watch.alive("late")
            if not sizes or sizes[-1] != size:
                sizes.append(size)
            time.sleep(0.1)
    assert driver.returncode == 0, (tmp_path / "errors").read_text()
    largest = max(early for early, _ in sizes)
    assert largest > 1, sizes
    after = sizes[max(position for position, (early, _) in enumerate(sizes) if early == largest) :]
    assert min(early for early, late in after if late) < largest, sizes
    assert max(late for _, late in sizes) > 1, sizes


def test_machines_are_added_under_load_and_released_after_it(tmp_path: Path) -> None:
    source, port = small_pictures(tmp_path / "in"), free_port()
    groups = {"cpu": {"resources": {"CPU": 2}, "labels": {"ray.io/market-type": "spot"}, "min_workers": 0, "max_workers": 3}}
    file = configuration(tmp_path / "cluster.json", f"127.0.0.1:{port}", groups, idle_minutes=0.1)
    held = tmp_path / "notes" / HELD
    held.parent.mkdir()
    held.touch()
    with ray_head(f"--autoscaling-config={file}", environment=ENVIRONMENT, cpus=0, port=port) as head:
        until_nodes(head, 1)
        with watched_run("waiting", LOADED, source, tmp_path, TOKEN | WITH_TOKEN | {"RAY_ADDRESS": head.address}) as (
            driver,
            _,
        ):
            until(lambda: head.nodes() > 2, driver, tmp_path)
            held.unlink()
            assert driver.wait(MOST_SECONDS) == 0, (tmp_path / "errors").read_text()
        until_nodes(head, 1)
    assert len(ledger.read(str(tmp_path / "out"))) == IMAGES
