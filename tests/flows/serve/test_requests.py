"""The service accepts valid requests, refuses others with a code, and counts every answer."""

from __future__ import annotations

import base64
import re
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
import requests

from flows.serve import guard
from flows.serve.app import Settings
from tests.flows.serve.conftest import poster
from tests.flows.serve.instant import running_instantly


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with running_instantly() as address:
        yield address


def problem(answer: requests.Response) -> tuple[int, str, str]:
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["message"]


def counted(url: str) -> dict[tuple[str, str], int]:
    """How many answers the metrics count, by address and status."""
    lines = requests.get(f"{url}/metrics").text
    found = re.findall(r'cleanplate_requests_total\{path="([^"]*)",status="(\d+)"\} (\d+)', lines)
    return {(path, status): int(number) for path, status, number in found}


def test_openais_client_learns_the_name_of_the_default_and_gets_every_field_that_it_reads(url: str) -> None:
    listed = requests.get(f"{url}/v1/models").json()["data"]
    assert {"cleanplate", "telea"} <= {model["id"] for model in listed}
    assert {tuple(sorted(model)) for model in listed} == {("created", "id", "object", "owned_by")}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("model", "x" * 401, "model: String should have at most 400 characters"),
        ("stream", "true", "stream: the answer comes in one piece"),
        ("n", "2", "n: one picture at a time"),
        ("response_format", "url", "response_format: only b64_json"),
    ],
)
def test_an_edit_that_cannot_be_answered_as_it_asks_is_refused(url: str, field: str, value: str, words: str) -> None:
    answer = requests.post(f"{url}/v1/images/edits", files={"image": poster()}, data={field: value})
    assert problem(answer) == (400, "option_invalid", words)
    assert requests.post(f"{url}/v1/images/edits", files={"image": poster()}, data={"stream": "false"}).ok


@pytest.mark.parametrize("path", ["erase", "images/edits"])
def test_of_two_pictures_none_is_lost_silently(url: str, path: str) -> None:
    twice = [("image[]", ("a.png", poster())), ("image[]", ("b.png", poster()))]
    answer = requests.post(f"{url}/v1/{path}", files=twice)
    assert problem(answer) == (400, "request_invalid", "`image` was sent twice: send one picture at a time")


def test_an_option_is_called_as_in_the_request(url: str) -> None:
    def told(**options: str) -> str:
        return problem(requests.post(f"{url}/v1/erase", poster(), params=options))[2]

    assert told(detect="no") == "the request: without detect, only `regions` are erased, and there are none"


def test_half_a_surrogate_pair_is_no_text(url: str) -> None:
    image = base64.b64encode(poster()).decode()
    body = f'{{"image": "{image}", "only": ["\\ud800"]}}'
    answer = requests.post(f"{url}/v1/erase", body, headers={"Content-Type": "application/json"})
    assert problem(answer)[:2] == (400, "request_invalid")


def test_a_fault_of_the_service_is_told_as_every_other_error(url: str) -> None:
    assert problem(requests.post(f"{url}/v1/erase", b"fail"))[:2] == (500, "unexpected")
    assert counted(url)["/v1/erase", "500"] == 1


def test_a_client_that_sends_nothing_more_loses_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SILENCE_SECONDS", 0.3)
    with running_instantly(Settings(queue=0)) as url:
        address = urlsplit(url)
        silent = [socket.create_connection((address.hostname, address.port)) for _ in range(4)]  # type: ignore[arg-type]
        for each in silent:
            each.sendall(b"POST /v1/erase HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc")
        time.sleep(0.1)
        assert problem(requests.post(f"{url}/v1/erase", poster()))[:2] == (429, "queue_full")
        assert [each.recv(100).split(b"\r\n")[0] for each in silent] == [b"HTTP/1.1 408 Request Timeout"] * 4
        assert requests.post(f"{url}/v1/erase", poster()).content == poster()
        for each in silent:
            each.close()


def test_every_answer_is_counted_also_one_that_refuses_unread() -> None:
    with running_instantly(Settings(token="right", per_minute=1)) as url:
        right = {"Authorization": "Bearer right"}
        assert requests.post(f"{url}/v1/erase", poster()).status_code == 401
        assert requests.post(f"{url}/v1/erase", poster(), headers=right).status_code == 200
        assert requests.post(f"{url}/v1/erase", poster(), headers=right).status_code == 429
        for name in ("one", "two"):
            assert requests.get(f"{url}/v1/{name}").status_code == 401
        assert counted(url) == {
            ("/v1/erase", "401"): 1,
            ("/v1/erase", "200"): 1,
            ("/v1/erase", "429"): 1,
            ("other", "401"): 2,
        }
