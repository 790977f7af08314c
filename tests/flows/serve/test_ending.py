"""How the service ends: open requests are answered, nothing is left, and nothing is said."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import requests
from PIL import Image, ImageDraw, ImageFont

from tests.flows.serve.conftest import started
from tests.flows.serve.instant import running_instantly


def wait_for_open_requests(url: str, count: int) -> None:
    while f"cleanplate_requests_open {count}.0" not in requests.get(f"{url}/metrics").text:
        time.sleep(0.01)


def label() -> bytes:
    """A picture so small that two of them are done within the patience of a service that ends."""
    picture = Image.new("RGB", (160, 100), (90, 140, 190))
    ImageDraw.Draw(picture).text((20, 20), "SALE", (255, 255, 255), font=ImageFont.load_default(30))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def test_open_requests_are_answered_and_the_processes_end_without_a_word(tmp_path: Path) -> None:
    said = tmp_path / "stderr"
    with said.open("w") as errors, started(stderr=errors) as running, ThreadPoolExecutor(2) as pool:

        def ask() -> requests.Response:
            return requests.post(f"{running.url}/v1/erase", label(), params={"preset": "fast"}, timeout=60)

        expected = ask().content
        asked = [pool.submit(ask) for _ in range(2)]
        wait_for_open_requests(running.url, 2)
        children = psutil.Process(running.process.pid).children()
        workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        running.process.terminate()
        assert [each.result().content for each in asked] == [expected] * 2 != [label()] * 2
        assert running.process.wait(30) == 0
        assert workers and psutil.wait_procs(workers, 5)[1] == []
    assert said.read_text() == ""


def test_a_request_that_takes_longer_than_the_service_waits_is_told_to_ask_again() -> None:
    with ThreadPoolExecutor(1) as pool:
        with running_instantly() as url:
            asked = pool.submit(requests.post, f"{url}/v1/erase", b"wait")
            wait_for_open_requests(url, 1)
        answer = asked.result()
    assert (answer.status_code, answer.json()["error"]["code"], answer.headers["Retry-After"]) == (503, "service_ends", "1")
