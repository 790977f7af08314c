"""A service in a process of its own, and a web server to fetch pictures from."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TextIO

import pytest
import requests
from PIL import Image, ImageDraw, ImageFont

from tests.fixtures.cli import BIN, Command


def poster() -> bytes:
    picture = Image.new("RGB", (480, 320), (90, 140, 190))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(44)
    draw.text((40, 40), "SUMMER SALE", (255, 255, 255), font=font)
    draw.text((60, 220), "Open at nine", (20, 20, 40), font=font)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Erased:
    """A picture, and what `cleanplate erase` makes of it."""

    file: Path
    source: bytes
    result: bytes


@dataclass(frozen=True)
class Running:
    url: str
    process: subprocess.Popen[str]


Serve = Callable[..., Running]


@pytest.fixture(scope="session")
def erased(tmp_path_factory: pytest.TempPathFactory) -> Erased:
    folder = tmp_path_factory.mktemp("poster")
    file = folder / "in" / "poster.png"
    file.parent.mkdir()
    file.write_bytes(poster())
    done = Command()("erase", file.parent, folder / "out")
    assert done.code == 0, done.err
    return Erased(file, file.read_bytes(), (folder / "out" / "images" / "poster.png").read_bytes())


@contextlib.contextmanager
def started(*options: object, environment: dict[str, str] | None = None, stderr: TextIO | None = None) -> Iterator[Running]:
    command = [str(BIN / "cleanplate"), "serve", "--port", "0", "--workers", "1", *map(str, options)]
    process = subprocess.Popen(
        command, env=os.environ | (environment or {}), stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        url = re.match(r"(http://[^/]+)/", process.stdout.readline())[1]  # type: ignore[index]
        for _ in range(600):
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):
                if requests.get(f"{url}/readyz", timeout=5).ok:
                    break
            time.sleep(0.1)
        yield Running(url, process)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def web() -> Iterator[str]:
    """A server with /poster.png and with redirects to places that nobody may ask."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            targets = {"/to-metadata": "http://169.254.169.254/latest", "/to-name": f"http://localhost:{port}/poster.png"}
            if self.path in targets:
                self.send_response(302)
                self.send_header("Location", targets[self.path])
                self.end_headers()
                return
            self.send_response(200 if self.path == "/poster.png" else 404)
            self.end_headers()
            if self.path == "/poster.png":
                self.wfile.write(poster())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{port}"
    server.shutdown()


@pytest.fixture(scope="session")
def service(web: str) -> Iterator[str]:
    """A service with one worker that may fetch from `web` and from any public host."""
    allowed = ("--allow", web, "--allow", web.replace("127.0.0.1", "localhost"), "--allow", "http://169.254.169.254")
    with started("--queue", 8, "--max-bytes", 300_000, "--max-pixels", 1_000_000, *allowed[:4]) as running:
        yield running.url
