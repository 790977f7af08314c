"""A real Prometheus scrapes a real run on Ray.

The counts equal the ledger's, the dashboard's metrics exist, and the log names run and image.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from ray.dashboard.modules.reporter.reporter_agent import METRICS_GAUGES

from cluster.dashboard import ROWS
from operators.ledger import ledger
from operators.rows.checks import judged_rungs
from tests.fixtures.cli import BIN, MOST_SECONDS
from tests.fixtures.s3 import free_ports

if TYPE_CHECKING:
    from tests.fixtures.pictures import Pictures

EXPRESSIONS = [query for panels in ROWS.values() for panel in panels for query, _ in panel.queries]
GPU_ONLY = {"ray_node_gpus_utilization", "ray_node_gram_used"}
"""Metrics of Ray that only nodes with a GPU export."""

LINGERING = """
import sys
from flows.cli.app import main
try:
    main()
finally:
    sys.stdin.read()
"""
"""The command, whose driver lingers until its input ends.

Metrics that a process has not exported when it ends are lost.
"""

BROWSER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Watched:
    """A finished run, the Prometheus that scraped it, and the folder of Ray's logs."""

    source: Path
    dest: Path
    prometheus: str
    logs: Path
    began: float
    """Seconds since the epoch."""

    def ask(self, expression: str, **over: float | str) -> list[dict[str, Any]]:
        """Evaluate PromQL now, or from `start` to `end` (seconds since the epoch) in steps."""
        kind, query = "query_range" if over else "query", urllib.parse.urlencode({"query": expression, **over})
        answer = json.loads(BROWSER.open(f"{self.prometheus}/api/v1/{kind}?{query}", timeout=10).read())
        result: list[dict[str, Any]] = answer["data"]["result"]
        return result

    def numbers(self, metric: str, *by: str) -> dict[tuple[str, ...], float]:
        """The last values of a metric, summed by labels over all processes, even ended ones."""
        series = self.ask(f"sum by ({', '.join(by)}) (max_over_time({metric}[10m]))")
        return {tuple(entry["metric"][name] for name in by): float(entry["value"][1]) for entry in series}

    def complete(self) -> bool:
        """Whether the scraped metrics of driver and workers include the last image."""
        done = self.numbers("ray_cleanplate_run_images", "state").get(("done",))
        return done == 5.0 and self.numbers("ray_cleanplate_images_total") == {(): 5.0}


@contextmanager
def running(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server, and end it together with all processes that it has started."""
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env=environment, start_new_session=True)
    try:
        yield server
    finally:
        with suppress(psutil.NoSuchProcess):
            family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
            server.send_signal(signal.SIGTERM)
            for process in psutil.wait_procs(family, timeout=10)[1]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
        server.wait()


def until(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until a server answers at a URL. Raises RuntimeError after 180 seconds."""
    deadline = time.monotonic() + 180
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(OSError, urllib.error.URLError):
            BROWSER.open(url, timeout=3)
            return
        time.sleep(0.3)
    raise RuntimeError(f"{url} does not answer: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def watched(pictures: Pictures, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    if shutil.which("prometheus") is None:
        pytest.skip("prometheus is not installed (Debian's package prometheus)")
    folder = tmp_path_factory.mktemp("watched")
    source, dest = folder / "in", folder / "out"
    source.mkdir()
    for number, text in enumerate(("ONE", "TWO", None)):
        pictures.strip(number, text).save(source / f"{number}.png")
    # No fill of a word across a cat's whiskers passes.
    pictures.written(pictures.photo()).save(source / "refused.png")
    (source / "broken.jpg").write_bytes(b"these are words")
    ray_folder = tempfile.mkdtemp(prefix="ray", dir="/tmp")
    port, dashboard, agent, metrics, client, prometheus = free_ports(6)
    intervals = {"RAY_metrics_report_interval_ms": "1000", "RAY_raylet_start_wait_time_s": "180"}
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"} | intervals
    start = [
        f"{BIN}/ray",
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
        "--num-cpus=8",
        "--object-store-memory=200000000",
        f"--temp-dir={ray_folder}",
        f"--port={port}",
        f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={agent}",
        f"--metrics-export-port={metrics}",
        f"--ray-client-server-port={client}",
    ]
    settings = {
        "global": {"scrape_interval": "1s"},
        "scrape_configs": [
            {
                "job_name": "ray",
                "file_sd_configs": [
                    {"files": [f"{ray_folder}/session_latest/prom_metrics_service_discovery.json"], "refresh_interval": "1s"}
                ],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    scrape = [
        "prometheus",
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/samples",
        f"--web.listen-address=127.0.0.1:{prometheus}",
    ]
    prometheus_url = f"http://127.0.0.1:{prometheus}"
    try:
        with (
            running(start, folder / "ray.log", environment) as ray,
            running(scrape, folder / "prometheus.log", environment) as server,
        ):
            until(f"http://127.0.0.1:{agent}/api/healthz", ray, folder / "ray.log")
            until(f"{prometheus_url}/-/ready", server, folder / "prometheus.log")
            began = time.time()
            address = {"RAY_ADDRESS": f"127.0.0.1:{port}", "RAY_AUTH_MODE": "disabled"}
            erase = [sys.executable, "-c", LINGERING, "erase", str(source), str(dest), "--preset", "quality", "--workers", "1"]
            driver = subprocess.Popen(erase, env=os.environ | address, stdin=subprocess.PIPE)
            run = Watched(source, dest, prometheus_url, Path(ray_folder) / "session_latest" / "logs", began)
            deadline = time.monotonic() + MOST_SECONDS
            while time.monotonic() < deadline and not run.complete():
                time.sleep(0.5)
            driver.communicate(timeout=MOST_SECONDS)
            assert driver.returncode == 0
            yield run
    finally:
        shutil.rmtree(ray_folder, ignore_errors=True)


def rows(watched: Watched) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = ledger.read(str(watched.dest)).to_pylist()
    return records


def test_images_are_counted_by_the_ledgers_verdicts(watched: Watched) -> None:
    expected = Counter((row["verdict"],) for row in rows(watched))
    assert watched.numbers("ray_cleanplate_images_total", "verdict") == expected
    assert expected[("failed",)] == 1 and expected[("untouched",)] == 1


def test_failures_are_counted_by_operator_and_code(watched: Watched) -> None:
    expected = Counter((row["failure"]["operator"], row["failure"]["code"]) for row in rows(watched) if row["failure"])
    assert watched.numbers("ray_cleanplate_failures_total", "operator", "code") == expected == {("detect", "not_an_image"): 1}


def test_fills_are_counted_by_rung_and_outcome(watched: Watched) -> None:
    expected: Counter[tuple[str, str]] = Counter()
    for region in (region for row in rows(watched) for region in row["regions"] or []):
        rungs = judged_rungs(region["checks"])
        accepted = region["state"] == "erased"
        expected.update((rung, "refused") for rung in (rungs[:-1] if accepted else rungs))
        expected.update((rung, "accepted") for rung in (rungs[-1:] if accepted else []))
    assert watched.numbers("ray_cleanplate_fills_total", "rung", "outcome") == expected
    assert {outcome for _, outcome in expected} == {"accepted", "refused"}


def test_texts_are_counted_by_their_end(watched: Watched) -> None:
    counts = [row["texts"] for row in rows(watched)]
    expected = {(end,): sum(texts[end] for texts in counts) for end in ("erased", "refused", "kept")}
    assert watched.numbers("ray_cleanplate_texts_total", "end") == {end: count for end, count in expected.items() if count}
    assert expected[("erased",)] > 0


def test_bytes_read_and_written_equal_the_files_sizes(watched: Watched) -> None:
    read = sum(file.stat().st_size for file in watched.source.rglob("*") if file.is_file())
    written = sum(file.stat().st_size for file in (watched.dest / "images").rglob("*") if file.is_file())
    assert watched.numbers("ray_cleanplate_bytes_total", "direction") == {("read",): read, ("written",): written}


def test_every_timing_of_the_ledger_is_in_the_latencies_histogram(watched: Watched) -> None:
    timings = [timing for row in rows(watched) for timing in row["timings"]]
    # `write` commits the ledger, so its own time is known only after the commit.
    expected = Counter((timing["operator"],) for timing in timings if timing["operator"] != "write")
    counted = watched.numbers("ray_cleanplate_operator_milliseconds_count", "operator")
    assert counted.pop(("write",)) == 5
    assert counted == expected


def test_time_by_operator_and_kind_adds_up_to_the_ledgers_milliseconds(watched: Watched) -> None:
    counted = watched.numbers("ray_cleanplate_spent_milliseconds_total", "operator", "kind")
    expected: Counter[tuple[str, str]] = Counter()
    for timing in (timing for row in rows(watched) for timing in row["timings"] if timing["operator"] != "write"):
        spent = {kind: timing[kind] for kind in ("model", "codec", "io") if timing[kind]}
        expected.update({(timing["operator"], kind): milliseconds for kind, milliseconds in spent.items()})
        expected[(timing["operator"], "other")] += timing["total"] - sum(spent.values())
    assert {name: counted[name] for name in expected} == pytest.approx(expected, rel=1e-3, abs=0.01)
    assert {name for name in counted if name[0] != "write"} == set(expected)


def test_every_image_passed_each_stage_once_in_as_many_batches_as_calls(watched: Watched) -> None:
    images = watched.numbers("ray_cleanplate_batch_images_total", "stage")
    batches = watched.numbers("ray_cleanplate_batches_total", "stage")
    assert len(images) == 3 and set(images.values()) == {5.0}
    assert images.keys() == batches.keys()
    assert all(1 <= count <= 5 for count in batches.values())


def test_progress_gauges_equal_the_drivers_progress(watched: Watched) -> None:
    images = watched.numbers("ray_cleanplate_run_images", "state")
    assert images.pop(("total",)) == images.pop(("done",)) == 5.0
    assert images == Counter((row["verdict"],) for row in rows(watched))
    share = watched.numbers("ray_cleanplate_operator_busy_share", "operator")
    assert ("detect",) in share and all(0 <= value <= 1 for value in share.values())
    assert watched.numbers("ray_cleanplate_stage_workers", "stage") == {("worker",): 1.0}
    assert {stage for stage, _ in watched.numbers("ray_cleanplate_stage_images", "stage", "state")} == {"worker"}


def test_a_process_without_a_gpu_holds_none(watched: Watched) -> None:
    assert set(watched.numbers("ray_cleanplate_gpu_memory_bytes", "stage").values()) == {0.0}


def test_every_metric_of_the_dashboard_exists(watched: Watched) -> None:
    named = {name for expression in EXPRESSIONS for name in re.findall(r"\bray_\w+", expression)}
    answer = BROWSER.open(f"{watched.prometheus}/api/v1/label/__name__/values", timeout=10).read()
    assert named - set(json.loads(answer)["data"]) == GPU_ONLY
    assert {name.removeprefix("ray_") for name in GPU_ONLY} <= set(METRICS_GAUGES)


@pytest.mark.parametrize("expression", [query for query in EXPRESSIONS if not any(name in query for name in GPU_ONLY)])
def test_every_query_of_the_dashboard_has_an_answer(watched: Watched, expression: str) -> None:
    query = expression.replace("$__rate_interval", "30s").replace("$session", ".*")
    # A rate needs two scrapes, and the process that exported last may have been scraped only once.
    deadline = time.monotonic() + 20
    while not (answer := watched.ask(query, start=watched.began, end=time.time(), step="1s")) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert answer


def test_the_log_names_run_image_operator_and_code_of_a_failure(watched: Watched) -> None:
    (row,) = (row for row in rows(watched) if row["failure"])
    lines = [line for file in watched.logs.glob("worker-*.err") for line in file.read_text().splitlines()]
    events = [json.loads(line) for line in lines if line.startswith("{")]
    (failed,) = (event for event in events if event["event"] == "image_failed")
    run = json.loads((watched.dest / "run.json").read_text())["run"]
    expected = {"level": "WARNING", "run": run, "image": row["image_id"], "uri": row["uri"], **row["failure"]}
    assert {name: failed[name] for name in expected} == expected
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", failed["time"])
    assert failed["job"] and failed["node"]
