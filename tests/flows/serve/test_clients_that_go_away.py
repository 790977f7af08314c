"""A client that goes away while it waits frees its place, and costs no worker its models."""

from __future__ import annotations

import contextlib
import io
import re
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import requests
from PIL import Image

from tests.flows.serve.conftest import Erased, started


def figure(url: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", requests.get(f"{url}/metrics", timeout=20).text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_for_open(url: str, count: int) -> None:
    ends = time.monotonic() + 60
    while figure(url, "cleanplate_requests_open") != count:
        assert time.monotonic() < ends
        time.sleep(0.02)


def slow() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((400, 400), 90).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def test_a_client_that_goes_away_while_it_waits_frees_its_place(erased: Erased) -> None:
    with started("--queue", 1) as running, ThreadPoolExecutor(2) as pool:
        address = f"{running.url}/v1/erase"
        workers = {child.pid for child in psutil.Process(running.process.pid).children()}
        busy = pool.submit(requests.post, f"{running.url}/v1/enlarge", slow(), params={"scale": 4}, timeout=300)
        wait_for_open(running.url, 1)
        with requests.Session() as session:
            try:
                session.post(address, erased.source, timeout=(5, 0.5))
            except requests.ReadTimeout:
                pass
            else:
                raise AssertionError("the only worker is busy")
        wait_for_open(running.url, 1)
        gone = 'cleanplate_requests_total{path="/v1/erase",status="499"}'
        assert figure(running.url, gone) == 1.0
        # Its place is free: one more may wait, and only the next one is refused.
        waiting = pool.submit(requests.post, address, erased.source, timeout=300)
        wait_for_open(running.url, 2)
        assert requests.post(address, erased.source, timeout=20).status_code == 429
        assert busy.result().ok and waiting.result().content == erased.result
        assert {child.pid for child in psutil.Process(running.process.pid).children()} >= workers


def test_a_client_that_goes_away_while_its_picture_is_worked_costs_nobody_a_worker(erased: Erased) -> None:
    with started("--queue", 1) as running:
        address = f"{running.url}/v1/erase"
        before = {child.pid for child in psutil.Process(running.process.pid).children()}
        for _ in range(3):
            with contextlib.suppress(requests.ReadTimeout):
                requests.post(address, erased.source, timeout=(5, 0.05))
        wait_for_open(running.url, 0)
        assert requests.post(address, erased.source, timeout=60).content == erased.result
        assert {child.pid for child in psutil.Process(running.process.pid).children()} == before
