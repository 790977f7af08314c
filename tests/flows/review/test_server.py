"""The server of the review: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from flows.review.apply import apply_decisions
from flows.review.desk import Desk
from flows.review.pictures import Filter, Pictures
from flows.review.server import MOST_BYTES, application
from operators.ledger.decisions import read_decisions
from tests.fixtures.cli import Invoke
from tests.fixtures.reviewed_run import PICTURES, FinishedRun
from tests.flows.review.conftest import Serve

A, B, C, D = PICTURES
ANA = {"x-seat": "1", "x-reviewer": "ana", "content-type": "application/json"}
BEN = {"x-seat": "2", "x-reviewer": "ben", "content-type": "application/json"}


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Asks the application without a network."""

    def __init__(self, desk: Desk, token: str = "") -> None:
        self.desk = desk
        self._app = application(desk, ["localhost"], token)

    def __call__(self, method: str, address: str, body: bytes = b"", headers: dict[str, str] | None = None) -> Answer:
        return asyncio.run(self._ask(method, address, body, {"host": "localhost", **(headers or {})}))

    def post(self, address: str, content: object, headers: dict[str, str]) -> Answer:
        return self("POST", address, json.dumps(content).encode(), headers)

    async def _ask(self, method: str, address: str, body: bytes, headers: dict[str, str]) -> Answer:
        parts = urlsplit(address)
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": parts.path, "raw_path": parts.path.encode(),
            "query_string": parts.query.encode(), "root_path": "",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
            "client": ("127.0.0.1", 1), "server": ("localhost", 80),
        }  # fmt: skip
        sent: list[dict[str, Any]] = []

        asked = False

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)  # type: ignore[arg-type]
        start = next(message for message in sent if message["type"] == "http.response.start")
        content = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
        return Answer(start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, content)


@pytest.fixture
def client(reviewable: FinishedRun) -> Iterator[Client]:
    return Client(Desk(str(reviewable.dest), None, Pictures(str(reviewable.dest))))


def png(width: int = 400, height: int = 240, value: int = 255) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width), value, np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_page_and_what_it_loads_are_served_and_nothing_is_loaded_from_elsewhere(client: Client) -> None:
    page = client("GET", "/")
    assert page.status == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert b"://" not in page.body
    for name in (
        "page/review.js",
        "page/viewer.js",
        "page/brush.js",
        "page/api.js",
        "page/review.css",
        "shared/look.css",
        "shared/slider.js",
    ):
        file = client("GET", f"/{name}")
        assert file.status == 200
        assert b"://" not in file.body.replace(b"http://www.w3.org/", b"")


def test_pictures_are_filtered_by_every_field(client: Client, reviewable: FinishedRun) -> None:
    def paths(query: str) -> set[str]:
        return {each["path"] for each in client("GET", f"/api/pictures?{query}").json["pictures"]}

    client.post("/api/decisions", {"picture": reviewable.ids()[A], "action": "reject"}, ANA)
    assert paths("") == set(PICTURES)
    for query, expected in {
        "verdict=untouched": {D}, "bucket=sea": {C, D}, "kind=text": {A, B, C}, "rung=ground": {A, B, C}, "path=HILL": {A, B},
        "path=.png&bucket=hill": {A}, "status=rejected": {A}, "status=open": {B, C, D}, "least_score=1.5": set(),
        "most_score=1": set(PICTURES), "reason=nothing": set(),
    }.items():  # fmt: skip
        assert paths(query) == expected, query
    doubts = [each["doubt"] for each in client("GET", "/api/pictures").json["pictures"]]
    assert doubts == sorted(doubts, reverse=True)
    page = client("GET", "/api/pictures?start=1&count=2").json
    assert (page["total"], len(page["pictures"])) == (4, 2)
    for wrong in ("count=0", "count=100000", "start=-1", "least_score=high", "status=lost"):
        assert client("GET", f"/api/pictures?{wrong}").status == 400


def test_pictures_before_and_after_and_their_thumbnails_are_those_of_the_run(client: Client, reviewable: FinishedRun) -> None:
    picture = reviewable.ids()[A]
    assert client("GET", f"/api/pictures/{picture}/before").body == reviewable.original(A)
    assert client("GET", f"/api/pictures/{picture}/after").body == reviewable.delivered(A)
    thumbnail = client("GET", f"/api/pictures/{picture}/thumbnail?version=1")
    assert (thumbnail.headers["content-type"], "immutable" in thumbnail.headers["cache-control"]) == ("image/jpeg", True)
    kept = list((reviewable.dest / "review" / "thumbnails").rglob("*.jpg"))
    assert [file.read_bytes() for file in kept] == [thumbnail.body]
    os.utime(kept[0], (1, 1))
    client("GET", f"/api/pictures/{picture}/thumbnail?version=1")
    assert kept[0].stat().st_mtime == 1, "it is made once"
    assert [
        client("GET", f"/api/pictures/{address}").status for address in ("none", f"{picture}/other", f"{picture}/masks/x")
    ] == [404] * 3


def test_only_this_page_may_change_anything(client: Client, reviewable: FinishedRun) -> None:
    content = {"picture": reviewable.ids()[A], "action": "reject"}
    assert client.post("/api/decisions", content, {**ANA, "content-type": "text/plain"}).status == 415
    assert client.post("/api/decisions", content, {"content-type": "application/json"}).status == 415
    assert client.post("/api/decisions", content, {**ANA, "host": "evil.example"}).status == 400
    assert client.post("/api/decisions", content, {**ANA, "x-reviewer": "%20"}).status == 400
    assert client("POST", "/api/decisions", b"[1]", ANA).status == 400
    assert client("POST", "/api/decisions", b"{", ANA).status == 400
    assert client("POST", "/api/decisions", b" " * (MOST_BYTES + 1), ANA).status == 413
    assert read_decisions(str(reviewable.dest)) == []


def test_a_server_for_others_wants_its_token(reviewable: FinishedRun) -> None:
    client = Client(Desk(str(reviewable.dest), None, Pictures(str(reviewable.dest))), "secret")
    assert [client("GET", address).status for address in ("/", "/api/run", "/?token=wrong")] == [401] * 3
    opened = client("GET", "/?token=secret")
    assert opened.status == 200
    cookie = opened.headers["set-cookie"].partition(";")[0]
    assert client("GET", "/api/run", headers={"cookie": cookie}).status == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "burn"}, {"action": "reject", "region": 7}, {"action": "reject", "region": "0"},
        {"action": "reject", "region": True},
        {"action": "redo", "rung": "no-such-model"}, {"action": "redo", "seed": "7"}, {"action": "redo", "mask": "no base64"},
        {"action": "redo", "mask": png(value=0)}, {"action": "redo", "mask": base64.b64encode(b"GIF89a").decode()},
        {"action": "reject", "why": 5},
    ],
    ids=lambda wrong: " ".join(f"{name}={str(value)[:12]}" for name, value in wrong.items()),
)  # fmt: skip
def test_a_wrong_decision_is_refused_with_a_sentence(client: Client, reviewable: FinishedRun, wrong: dict[str, object]) -> None:
    answer = client.post("/api/decisions", {"picture": reviewable.ids()[A], **wrong}, ANA)
    assert (answer.status, bool(answer.json["error"])) == (400, True)
    assert read_decisions(str(reviewable.dest)) == []


def test_a_mask_of_another_size_lies_over_the_whole_picture(client: Client, reviewable: FinishedRun) -> None:
    answer = client.post("/api/decisions", {"picture": reviewable.ids()[A], "action": "redo", "mask": png(200, 120)}, ANA)
    assert answer.status == 200
    with Image.open(reviewable.dest / "review" / "masks" / answer.json["decision"]["mask"]) as mask:
        assert mask.size == (400, 240)


def test_each_picture_is_handed_to_one_of_many_and_held_against_others(client: Client, reviewable: FinishedRun) -> None:
    def ask(seat: int) -> str | None:
        return client.desk.next(_query(), "", f"{seat}", "ana")

    with ThreadPoolExecutor(8) as pool:
        handed = list(pool.map(ask, range(8)))
    assert sorted(filter(None, handed)) == sorted(reviewable.ids().values())
    held = next(picture for picture in handed if picture)
    answer = client.post("/api/decisions", {"picture": held, "action": "accept"}, {**BEN, "x-seat": "99"})
    assert (answer.status, answer.json["error"]) == (409, "ana is looking at this picture")
    seat = f"{handed.index(held)}"
    assert client.post(f"/api/pictures/{held}/give-back", {}, {**ANA, "x-seat": seat}).status == 200
    assert client.post("/api/decisions", {"picture": held, "action": "accept"}, {**BEN, "x-seat": "99"}).status == 200


def _query() -> Any:
    from flows.review.desk import Query

    return Query(Filter())


def test_a_server_notices_what_apply_has_carried_out(client: Client, reviewable: FinishedRun) -> None:
    picture = reviewable.ids()[A]
    client.post("/api/decisions", {"picture": picture, "action": "redo", "rung": "telea"}, ANA)
    assert client("GET", "/api/pictures?status=redo").json["total"] == 1
    apply_decisions(str(reviewable.dest))
    client.desk._looked = -1e9
    assert client("GET", "/api/pictures?status=redone").json["pictures"][0]["id"] == picture
    assert client("GET", f"/api/pictures/{picture}/after").body == reviewable.delivered(A)
    client.post("/api/decisions", {"picture": picture, "action": "accept"}, ANA)
    assert client("GET", "/api/standing").json["status"] == {
        "undecided": 3,
        "accepted": 1,
        "rejected": 0,
        "redo": 0,
        "redone": 0,
    }
    assert apply_decisions(str(reviewable.dest)).done == 0


def test_a_second_server_a_busy_port_and_a_folder_without_a_run_are_refused(
    serve: Serve, reviewable: FinishedRun, tmp_path: Path, invoke: Invoke
) -> None:
    server = serve(reviewable.dest)
    code, _, err = invoke("review", str(reviewable.dest), "--port", "0")
    assert (code, err.startswith("error: destination_in_use: ")) == (3, True)
    code, _, err = invoke("review", str(tmp_path / "nothing"))
    assert (code, err.startswith("error: run_missing: ")) == (2, True)
    assert invoke("review", str(reviewable.dest), "--size", "3")[2].startswith("error: option_invalid: --size needs --sample")
    server.kill()
    again = serve(reviewable.dest, "--sample", "--size", "2")
    again.kill()
    code, _, err = invoke("review", str(reviewable.dest), "--sample", "--size", "3")
    assert (code, err.startswith("error: sample_drawn: ")) == (2, True)
