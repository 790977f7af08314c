"""The service obeys its own OpenAPI document, whatever it is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis

from tests.flows.serve.instant import running_instantly


@pytest.fixture(scope="module")
def document() -> Iterator[Any]:
    with running_instantly() as url:
        yield schemathesis.openapi.from_url(f"{url}/openapi.json")


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
