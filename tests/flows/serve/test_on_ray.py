"""The service on a real Ray cluster: its bytes, lost replicas, a full queue, and its end."""

from __future__ import annotations

import collections
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
import requests

from cluster.profile import Profile, Stage, load
from flows.serve.on_ray import Options, replica_stage
from flows.serve.wishes import Erase
from operators.pictures.codec import Limits
from operators.rows.failure import RunError
from tests.cluster.conftest import processes_of
from tests.flows.serve.conftest import Erased, Running, started
from tests.operators.generators.tiny import saved

REPLICA = "ServeReplica:cleanplate-workers:worker"
QUEUE = 6


@dataclass(frozen=True)
class OnRay:
    """A running service, and the folder of its cluster."""

    service: Running
    folder: str

    @property
    def url(self) -> str:
        return f"{self.service.url}/v1/erase"

    def replicas(self) -> dict[int, psutil.Process]:
        """The replicas with models that are alive, by the IDs of their processes."""
        found = {}
        for process in processes_of(self.folder):
            try:
                if REPLICA in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = process
            except psutil.Error:
                continue
        return found

    def wait_for_replicas(self, besides: int, count: int) -> None:
        ends = time.monotonic() + 240
        while len(set(self.replicas()) - {besides}) < count:
            assert time.monotonic() < ends, "no replica takes the place of the lost one"
            time.sleep(0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved("sd9", tmp_path_factory.mktemp("models") / "tiny-sd")


@pytest.fixture(scope="module")
def on_ray(model: Path) -> Iterator[OnRay]:
    """A Ray with a simulated GPU, of which two replicas have one half each."""
    folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    environment = {"RAY_TMPDIR": folder, "RAY_OVERRIDE_RESOURCES": '{"GPU": 1}'}
    options = ("--ray", "--workers", 2, "--queue", QUEUE, "--profile", "one-gpu", "--model", model)
    try:
        with started(*options, environment=environment) as service:
            yield OnRay(service, folder)
    finally:
        for process in processes_of(folder):
            with suppress(psutil.Error):
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


def test_the_bytes_are_those_of_the_command_line(on_ray: OnRay, erased: Erased) -> None:
    plain = requests.post(on_ray.url, erased.source, timeout=300)
    form = requests.post(on_ray.url, files={"image": erased.source}, data={"seed": "0"}, timeout=300)
    assert plain.content == form.content == erased.result != erased.source
    assert plain.headers["X-Cleanplate-Verdict"] == "edited"
    assert requests.post(on_ray.url, b"not a picture", timeout=60).status_code == 415
    assert (
        requests.post(on_ray.url, erased.source, params={"model": "/etc"}, timeout=60).json()["error"]["code"]
        == "option_invalid"
    )


def test_every_replica_reserves_the_share_of_a_gpu_that_its_profile_says(on_ray: OnRay) -> None:
    visible = [process.environ().get("CUDA_VISIBLE_DEVICES") for process in on_ray.replicas().values()]
    assert len(visible) == 2
    children = [child for replica in on_ray.replicas().values() for child in replica.children(recursive=True)]
    workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    assert [worker.environ()["CUDA_VISIBLE_DEVICES"] for worker in workers] == ["0", "0"]


def test_requests_go_on_when_a_replica_is_killed_and_another_takes_its_place(on_ray: OnRay, erased: Erased) -> None:
    victim, process = next(iter(on_ray.replicas().items()))
    children = process.children(recursive=True)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(requests.post, on_ray.url, erased.source, timeout=300) for _ in range(8)]
        while sum(each.done() for each in asked) < 2:
            time.sleep(0.02)
        process.kill()
        answers = [each.result() for each in asked]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.content for answer in answers} == {erased.result}
    on_ray.wait_for_replicas(victim, 2)
    assert requests.post(on_ray.url, erased.source, timeout=300).content == erased.result
    # What removes the temporary folders of a dead process tries for some seconds.
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]


def test_a_full_queue_refuses(on_ray: OnRay, erased: Erased) -> None:
    with ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda _: requests.post(on_ray.url, erased.source, timeout=300), range(40)))
    counts = collections.Counter(answer.status_code for answer in answers)
    assert set(counts) == {200, 429} and counts[200] >= QUEUE + 2
    assert {answer.content for answer in answers if answer.ok} == {erased.result}
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if not answer.ok)
    metrics = requests.get(f"{on_ray.service.url}/metrics", timeout=60).text
    assert f"cleanplate_refused_total {counts[429]}.0" in metrics


def test_open_requests_are_finished_when_the_service_ends(on_ray: OnRay, erased: Erased) -> None:
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(requests.post, on_ray.url, erased.source, timeout=300) for _ in range(4)]
        ends = time.monotonic() + 60
        while not re.search(
            r"^cleanplate_requests_open 4\.0$", requests.get(f"{on_ray.service.url}/metrics").text, re.MULTILINE
        ):
            assert time.monotonic() < ends
        on_ray.service.process.send_signal(signal.SIGTERM)
        answers = [each.result() for each in asked]
    assert [(answer.status_code, answer.content) for answer in answers] == [(200, erased.result)] * 4
    assert on_ray.service.process.wait(120) == 0
    assert not on_ray.replicas()


def stage(profile: Profile, *models: Path) -> Stage:
    return replica_stage(profile, [Erase(model=model and str(model)).flow(Limits(), (), "") for model in (None, *models)])


def test_a_replica_takes_the_largest_share_that_a_stage_of_its_flows_has(model: Path) -> None:
    laptop = stage(load("laptop"))
    assert (laptop.cpus, laptop.gpus, laptop.pool) == (1.0, 0.0, load("laptop").stages["worker"].pool)
    cpu = stage(load("one-gpu"))
    assert (cpu.cpus, cpu.gpus, cpu.memory, cpu.pool) == (1.0, 0.0, 2 * 2**30, (1, 12))
    half = stage(load("one-gpu"), model)
    assert (half.cpus, half.gpus, half.memory, half.pool) == (1.0, 0.5, 6 * 2**30, (1, 2))
    assert stage(load("gpu-node"), model).pool == (8, 16)
    spot = stage(load("autoscaling"), model).ray_options()
    assert spot["label_selector"] == {"ray.io/market-type": "spot"} and spot["num_gpus"] == 0.5


def test_calls_that_no_machine_could_count_for_the_others_are_refused() -> None:
    outside = ("https://host.example/v1/images/edits#painter",)
    with pytest.raises(RunError, match="--ray with a model over HTTP needs --calls-in URL"):
        Options(model=outside, calls_in="/tmp/here", needs_token=False).settings()
    assert Options(model=outside, calls_in="s3://bucket/calls", needs_token=False).settings().calls_in == "s3://bucket/calls"
