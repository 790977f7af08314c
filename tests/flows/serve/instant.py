"""A service that gives every picture back at once, for tests of what surrounds the work."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import uvicorn

from flows.serve.app import Settings, application
from flows.serve.work import Answer, Task
from operators.decisions.budget import Rate


class Instant:
    """A backend that gives every picture back at once."""

    workers = 4

    async def open(self) -> None:
        """Nothing to load."""

    async def work(self, task: Task) -> Answer:
        """The picture as it came. One may say that it fails, or that it takes long."""
        if task.data == b"wait":
            await asyncio.sleep(60)
        if task.data == b"fail":
            raise ZeroDivisionError
        return Answer(task.data, "untouched")

    async def rates(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        """No rates."""
        return ()

    async def close(self) -> None:
        """Nothing to end."""


@contextlib.contextmanager
def running_instantly(settings: Settings = Settings()) -> Iterator[str]:
    """The address of such a service, which runs in a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application(settings, Instant()), log_level="critical", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
