"""How long the service takes for one picture, with 1, 4 and 16 clients, and what memory it keeps.

    python -m benchmarks.serve [--requests 100] [--flat 2000] [--workers 2] [--budget-ms N]
        [--report benchmarks/results/serve.json]

Every client sends its next request when it has an answer. The load of the machine stands beside
each figure, because other programs change it. The budget is twice the median of one client, if none
is given. Whether batches gain anything is measured in CPU time, which the load changes little.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests
from PIL import Image, ImageDraw, ImageFont

CLIENTS = (1, 4, 16)
TOGETHER = 4


def poster(number: int, width: int = 640, height: int = 480) -> bytes:
    """A JPEG with two texts on a smooth ground, another for each number."""
    ground = np.linspace(60 + number % 50, 180, width).astype(np.uint8)
    picture = Image.fromarray(np.broadcast_to(ground[None, :, None], (height, width, 3)).copy())
    draw, side = ImageDraw.Draw(picture), height // 9
    draw.text((width // 10, height // 8), f"Offer {number}", (255, 255, 255), font=ImageFont.load_default(side))
    draw.text((width // 7, height * 2 // 3), "until Saturday", (20, 20, 20), font=ImageFont.load_default(side * 3 // 4))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def ask(url: str, data: bytes, options: dict[str, Any]) -> tuple[float, str]:
    """Milliseconds from the request to the answer, and the verdict with its last reason."""
    began = time.monotonic()
    answer = requests.post(f"{url}/v1/erase", data, params=options, timeout=600)
    answer.raise_for_status()
    reasons = json.loads(answer.headers["X-Cleanplate-Reasons"])
    took = (time.monotonic() - began) * 1000
    return took, " ".join(
        (answer.headers["X-Cleanplate-Verdict"], *(["budget"] if any("budget" in each for each in reasons) else []))
    )


def measure(url: str, clients: int, count: int, options: dict[str, Any]) -> dict[str, Any]:
    """P50 and P99 in milliseconds of `count` requests, and requests a second."""
    began = time.monotonic()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(lambda number: ask(url, poster(number), options), range(count)))
    p50, p99 = np.percentile([took for took, _ in answers], (50, 99))
    figures = {
        "clients": clients,
        "requests": count,
        "p50_ms": round(float(p50)),
        "p99_ms": round(float(p99)),
        "per_second": round(count / (time.monotonic() - began), 2),
        "verdicts": dict(Counter(verdict for _, verdict in answers)),
        "load": round(os.getloadavg()[0], 1),
    }
    if "budget_ms" in options:
        figures |= {"budget_ms": options["budget_ms"], "p99_of_budget": round(float(p99) / options["budget_ms"], 2)}
    print(figures, file=sys.stderr, flush=True)
    return figures


def memory(url: str, process: psutil.Process, count: int) -> dict[str, Any]:
    """MiB that the service and its workers hold, after each tenth of `count` small requests."""

    def send(number: int) -> None:
        ask(url, poster(number, 120 + 4 * (number % 20), 72 + 4 * (number % 7)), {"preset": "fast"})

    held = []
    with ThreadPoolExecutor(4) as pool:
        for part in np.array_split(np.arange(count), 10):
            list(pool.map(send, part.tolist()))
            held.append(sum(each.memory_info().rss for each in (process, *process.children(recursive=True))) // 2**20)
            print("MiB", held[-1], file=sys.stderr, flush=True)
    return {"requests": count, "mib_after_each_tenth": held, "last_of_second": round(held[-1] / held[1], 3)}


def gain_of_batches() -> dict[str, float]:
    """By preset: CPU time of pictures that are worked together, as a share of that one by one."""
    from flows.one_picture import OpenFlow
    from flows.serve.wishes import Erase
    from operators.models.threads import use_one_thread
    from operators.pictures.codec import Limits

    use_one_thread()
    files, shares = [poster(number) for number in range(TOGETHER)], {}
    for preset in ("fast", "balanced", "quality"):
        flow = OpenFlow(Erase(preset=preset).flow(Limits(), (), ""))
        flow.rows(files[:1])
        began = time.process_time()
        for file in files:
            flow.rows([file])
        alone = time.process_time() - began
        flow.rows(files)
        shares[preset] = round((time.process_time() - began - alone) / alone, 2)
        print(preset, shares[preset], file=sys.stderr, flush=True)
    return shares


def main() -> None:
    """Start a service, measure it, and print and keep the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--flat", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--budget-ms", type=float)
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    report: dict[str, Any] = {"cores": os.cpu_count(), "workers": arguments.workers}

    def keep(**figures: Any) -> None:
        """Add figures at once, so that a run that is ended has not been for nothing."""
        report.update(figures)
        if arguments.report:
            arguments.report.write_text(json.dumps(report, indent=1) + "\n")

    command = [str(Path(sys.executable).parent / "cleanplate"), "serve", "--port", "0", "--workers", str(arguments.workers)]
    service = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        assert service.stdout is not None
        found = re.match(r"(http://[^/]+)/", service.stdout.readline())
        assert found is not None
        url = found[1]
        while not requests.get(f"{url}/readyz", timeout=600).ok:
            time.sleep(0.2)
        keep(memory=memory(url, psutil.Process(service.pid), arguments.flat))
        ask(url, poster(0), {})
        latency: list[dict[str, Any]] = []
        for clients in CLIENTS:
            latency.append(measure(url, clients, arguments.requests, {}))
            keep(latency=latency)
        budget = {"budget_ms": arguments.budget_ms or 2 * latency[0]["p50_ms"]}
        ask(url, poster(0), budget)  # measures the rates
        for clients in CLIENTS:
            latency.append(measure(url, clients, arguments.requests, budget))
            keep(latency=latency)
        keep(batch_share=gain_of_batches())
        print(json.dumps(report, indent=1))
    finally:
        service.terminate()
        service.wait(60)


if __name__ == "__main__":
    main()
