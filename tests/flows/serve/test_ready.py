"""While models load, the service answers that it is not ready, and why."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager

import pytest
import requests
import uvicorn

from flows.serve.app import Settings, application
from flows.serve.pool import ProcessPool
from operators.pictures.codec import Limits
from operators.rows.failure import RunError
from tests.flows.serve.instant import Instant


class Loading(Instant):
    """A backend whose models load until they are let go, or fail to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.loaded = threading.Event()
        self.error = error
        self.closed = False

    async def open(self) -> None:
        while not self.loaded.is_set():
            await asyncio.sleep(0.02)
        if self.error is not None:
            raise self.error

    async def close(self) -> None:
        self.closed = True


@contextmanager
def serving(backend: Loading, given_up: list[Exception]) -> Iterator[str]:
    listening = socket.create_server(("127.0.0.1", 0))
    app = application(Settings(), backend, given_up.append)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(20)


def readiness(url: str) -> tuple[int, str]:
    answer = requests.get(f"{url}/readyz", timeout=20)
    return answer.status_code, answer.text


def test_readiness_is_answered_while_models_load() -> None:
    backend, given_up = Loading(), list[Exception]()
    with serving(backend, given_up) as url:
        assert readiness(url) == (503, "the models are loading")
        assert requests.get(f"{url}/healthz", timeout=20).status_code == 200
        backend.loaded.set()
        while readiness(url)[0] != 200:
            time.sleep(0.05)
        assert readiness(url) == (200, "ok") and not given_up
    assert backend.closed


def test_models_that_cannot_be_loaded_are_the_reason_and_end_the_service() -> None:
    backend, given_up = Loading(RunError("model_invalid", "no weights")), list[Exception]()
    backend.loaded.set()
    with serving(backend, given_up) as url:
        while not given_up:
            time.sleep(0.05)
        assert readiness(url) == (503, "the models cannot be loaded: model_invalid: no weights")
    assert given_up == [backend.error]


def test_a_service_that_ends_while_models_load_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[object] = []
    monkeypatch.setattr("flows.serve.pool._end", ended.append)
    monkeypatch.setattr("flows.serve.pool._executor", _Never)

    async def work() -> None:
        loading = asyncio.create_task(ProcessPool(2, 10.0, Limits()).open())
        await asyncio.sleep(0.1)
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)

    asyncio.run(work())
    assert len(ended) == 2


class _Never:
    """An executor whose work never ends."""

    def submit(self, *arguments: object) -> Future[None]:
        return Future()
