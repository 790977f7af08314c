"""How long the service takes for one picture, with 1, 4 and 16 clients, and what memory it keeps.

    python -m benchmarks.serve [--requests 200] [--flat 2000] [--workers 2] [--budget-ms 500]
        [--report benchmarks/results/serve.json]

Every client sends its next request when it has an answer; refused ones (429) are sent again after
the time that the service names, which counts as waiting.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests
from PIL import Image, ImageDraw, ImageFont

CLIENTS = (1, 4, 16)


def poster(number: int) -> bytes:
    """A JPEG of 640 x 480 pixels with two texts on a smooth ground, another for each number."""
    ground = np.linspace(60 + number % 50, 180, 640).astype(np.uint8)
    picture = Image.fromarray(np.broadcast_to(ground[None, :, None], (480, 640, 3)).copy())
    draw = ImageDraw.Draw(picture)
    draw.text((60, 60), f"Offer {number}", (255, 255, 255), font=ImageFont.load_default(52))
    draw.text((90, 330), "until Saturday", (20, 20, 20), font=ImageFont.load_default(40))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def ask(url: str, number: int, options: dict[str, Any]) -> float:
    """Milliseconds from the first try to the answer."""
    data, began = poster(number), time.monotonic()
    while True:
        answer = requests.post(f"{url}/v1/erase", data, params=options, timeout=300)
        if answer.status_code != 429:
            answer.raise_for_status()
            return (time.monotonic() - began) * 1000
        time.sleep(float(answer.headers["Retry-After"]))


def measure(url: str, clients: int, count: int, options: dict[str, Any]) -> dict[str, Any]:
    """P50 and P99 in milliseconds of `count` requests, and requests a second."""
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        times = list(pool.map(lambda number: ask(url, number, options), range(count)))
    p50, p99 = np.percentile(times, (50, 99))
    return {
        "clients": clients,
        "requests": count,
        "budget_ms": options.get("budget_ms"),
        "p50_ms": round(float(p50)),
        "p99_ms": round(float(p99)),
        "per_second": round(count / (time.monotonic() - began), 2),
    }


def resident(process: psutil.Process) -> int:
    """MiB of memory that the service and its workers hold."""
    return sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) // 2**20


def main() -> None:
    """Start a service, measure it, and print and keep the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--flat", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budget-ms", type=float, default=500)
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    command = ["cleanplate", "serve", "--port", "0", "--workers", str(arguments.workers)]
    command[0] = str(Path(sys.executable).parent / command[0])
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert service.stdout is not None
        found = re.match(r"(http://[^/]+)/", service.stdout.readline())
        assert found is not None
        url, process = found[1], psutil.Process(service.pid)
        for options in ({}, {"budget_ms": arguments.budget_ms}):
            ask(url, 0, options)
        figures = [measure(url, clients, arguments.requests, {}) for clients in CLIENTS]
        figures += [measure(url, clients, arguments.requests, {"budget_ms": arguments.budget_ms}) for clients in CLIENTS]
        memory = [resident(process)]
        for start in range(0, arguments.flat, max(1, arguments.flat // 4)):
            measure(url, 4, min(max(1, arguments.flat // 4), arguments.flat - start), {})
            memory.append(resident(process))
        report = {"workers": arguments.workers, "latency": figures, "memory_mib": memory, "memory_requests": arguments.flat}
        text = json.dumps(report, indent=1)
        print(text)
        if arguments.report:
            arguments.report.write_text(text + "\n")
    finally:
        service.terminate()
        service.wait(60)


if __name__ == "__main__":
    main()
