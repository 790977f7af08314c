"""The service obeys its own OpenAPI document, whatever it is sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis
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
        """The picture as it came."""
        return Answer(task.data, "untouched")

    async def rates(self, preset: str, model: str | None) -> tuple[Rate, ...]:
        """No rates."""
        return ()

    async def close(self) -> None:
        """Nothing to end."""


@pytest.fixture(scope="module")
def document() -> Iterator[Any]:
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application(Settings(), Instant()), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield schemathesis.openapi.from_url(f"http://127.0.0.1:{listening.getsockname()[1]}/openapi.json")
    server.should_exit = True
    thread.join(10)


def test_every_answer_is_one_that_the_document_names(document: Any) -> None:
    names = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
    checks = schemathesis.checks.CHECKS.get_by_names(list(names))
    tried = []
    for found in document.get_all_operations():
        operation = found.ok()

        @hypothesis.settings(max_examples=8, deadline=None, suppress_health_check=list(hypothesis.HealthCheck), database=None)
        @hypothesis.given(case=operation.as_strategy())
        def obeys(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=checks)

        obeys()
        tried.append(operation.path)
    assert tried == [
        *(f"/v1/{name}" for name in ("erase", "inpaint", "enlarge", "find", "images/edits", "models")),
        *("/healthz", "/readyz", "/metrics"),
    ]
