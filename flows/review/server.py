"""The review page: a small web application over a desk, for one run."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from flows.review.desk import Desk, Query, Refused
from flows.review.pictures import Filter
from flows.review.thumbnails import AFTER, BEFORE, shown
from operators.rows.failure import Failure, RunError

PAGE = Path(__file__).parent / "page"
SHARED = Path(__file__).parents[1] / "web" / "static"
MOST_BYTES = 64 * 1024 * 1024
"""The largest body of a request: a decision with a mask."""
MOST_CARDS = 200
FOREVER = "private, max-age=31536000, immutable"
"""For pictures whose address has their version in it."""
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)
TOKEN = "cleanplate_token"
REPORT_SECONDS = 2.0
"""How often at most the report gets a new statement."""

Answer = Callable[[Request, Desk], Any]


def application(desk: Desk, hosts: list[str], token: str = "") -> Starlette:
    """The web application of a desk.

    It answers only under the names of `hosts`, so that no other site can reach it through a name
    of its own. With a `token`, the first address that is opened must have it as `?token=`.
    """
    reporter = Reporter(desk)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(reporter.work())
        yield
        task.cancel()
        await asyncio.to_thread(reporter.write)

    def decide(request: Request, content: Any) -> Any:
        result = desk.decide(content, _seat(request), _who(request))
        reporter.changed = True
        return result

    def hold(request: Request, content: Any) -> Any:
        image_id = request.path_params["picture"]
        desk.hold(image_id, _seat(request), _who(request))
        return {}

    def give_back(request: Request, content: Any) -> Any:
        desk.leases.give_back(request.path_params["picture"], _seat(request))
        return {}

    def hand_out(request: Request, content: Any) -> Any:
        query = _query({name: str(value) for name, value in content.get("query", {}).items() if value is not None})
        return {"picture": desk.next(query, str(content.get("after") or ""), _seat(request), _who(request))}

    routes = [
        Route("/", lambda request: FileResponse(PAGE / "review.html", headers={"Cache-Control": "no-cache"})),
        Route("/api/run", _reading(lambda request: desk.run())),
        Route("/api/standing", _reading(lambda request: desk.standing())),
        Route("/api/pictures", _reading(lambda request: _page(request, desk))),
        Route(
            "/api/pictures/{picture}", _reading(lambda request: desk.picture(request.path_params["picture"], _seat(request)))
        ),
        Route("/api/pictures/{picture}/thumbnail", _picture(lambda request: (_thumbnail(request, desk), "image/jpeg"))),
        Route("/api/pictures/{picture}/{side:str}", _picture(lambda request: _side(request, desk))),
        Route("/api/pictures/{picture}/masks/{channel}", _picture(lambda request: (_channel(request, desk), "image/png"))),
        Route("/api/pictures/{picture}/hold", _writing(hold), methods=["POST"]),
        Route("/api/pictures/{picture}/give-back", _writing(give_back), methods=["POST"]),
        Route("/api/next", _writing(hand_out), methods=["POST"]),
        Route("/api/decisions", _writing(decide), methods=["POST"]),
        Mount("/page", StaticFiles(directory=PAGE)),
        Mount("/shared", StaticFiles(directory=SHARED)),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=hosts),
        Middleware(_Guard, token=token),
        Middleware(GZipMiddleware, minimum_size=2000),
    ]
    return Starlette(routes=routes, middleware=middleware, lifespan=lifespan)


class Reporter:
    """Puts what is proven into the run's report, soon after it has changed."""

    def __init__(self, desk: Desk) -> None:
        self.changed = False
        self._desk = desk

    async def work(self) -> None:
        """Renew the report again and again, until this is cancelled."""
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Renew the report if anything has changed; a store that does not answer is tried later."""
        if self.changed:
            self.changed = False
            try:
                self._desk.note_in_report()
            except Failure:
                self.changed = True


class _Guard:
    """Checks the token, bounds bodies, and sets the headers that keep other sites out."""

    def __init__(self, app: Any, token: str) -> None:
        self._app = app
        self._token = token

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        given = request.query_params.get("token")
        if self._token and not hmac.compare_digest((given or request.cookies.get(TOKEN, "")).encode(), self._token.encode()):
            await _problem(401, "open the address that `cleanplate review` has printed")(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = {
                    "content-security-policy": POLICY,
                    "x-content-type-options": "nosniff",
                    "referrer-policy": "no-referrer",
                    "cross-origin-resource-policy": "same-origin",
                }
                if self._token and given:
                    added["set-cookie"] = f"{TOKEN}={self._token}; HttpOnly; SameSite=Strict; Path=/"
                message["headers"] = [*message["headers"], *((name.encode(), value.encode()) for name, value in added.items())]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _problem(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status)


async def _answered(work: Callable[[], Any], respond: Callable[[Any], Response]) -> Response:
    """The response to some work in a thread, with its errors as a status and a sentence."""
    try:
        return respond(await asyncio.to_thread(work))
    except Refused as refused:
        return _problem(refused.status, refused.message)
    except KeyError as error:
        return _problem(404, f"there is no {error.args[0]}")
    except RunError as error:
        return _problem(409, f"{error.code}: {error.message}")
    except Failure as failure:
        return _problem(404 if failure.code == "key_missing" else 503, f"{failure.code}: {failure.message}")
    except OSError as error:
        return _problem(422, str(error))


def _reading(work: Callable[[Request], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        return await _answered(
            lambda: work(request), lambda content: JSONResponse(content, headers={"Cache-Control": "no-store"})
        )

    return respond


def _picture(work: Callable[[Request], tuple[bytes, str]]) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        cache = FOREVER if request.query_params.get("version") else "no-store"
        return await _answered(
            lambda: work(request), lambda made: Response(made[0], media_type=made[1], headers={"Cache-Control": cache})
        )

    return respond


def _writing(work: Callable[[Request, Any], Any]) -> Callable[[Request], Awaitable[Response]]:
    """A request that changes something: only JSON from this page, which other sites cannot send."""

    async def respond(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0] != "application/json" or not request.headers.get("x-seat"):
            return _problem(415, "send JSON, with the headers X-Seat and X-Reviewer")
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BYTES:
                return _problem(413, f"a request has at most {MOST_BYTES:,} bytes")
        try:
            content = json.loads(bytes(body) or b"{}")
        except ValueError:
            return _problem(400, "the body is not JSON")
        if not isinstance(content, dict):
            return _problem(400, "the body is no JSON object")
        return await _answered(lambda: work(request, content), JSONResponse)

    return respond


def _seat(request: Request) -> str:
    return request.headers.get("x-seat", "")


def _who(request: Request) -> str:
    """The reviewer's name, which the page sends percent-encoded. Raises Refused without one."""
    name = unquote(request.headers.get("x-reviewer", "")).strip()[:100]
    if not name:
        raise Refused(400, "say who you are: the header X-Reviewer is missing")
    return name


def _page(request: Request, desk: Desk) -> Any:
    values = dict(request.query_params)
    start, count = (_number(values.get(name), default, int) for name, default in (("start", 0), ("count", 60)))
    if start < 0 or not 0 < count <= MOST_CARDS:
        raise Refused(400, f"start is 0 or more, count 1 to {MOST_CARDS}")
    return desk.page(_query(values), start, count, _seat(request))


def _query(values: dict[str, str]) -> Query:
    names = ("verdict", "reason", "rung", "kind", "bucket", "path")
    wanted = Filter(
        **{name: values.get(name, "") for name in names},
        least_score=_number(values.get("least_score"), None, float),
        most_score=_number(values.get("most_score"), None, float),
    )
    return Query(wanted, values.get("status", ""), values.get("sampled") == "1")


def _number(text: str | None, default: Any, kind: type[Any]) -> Any:
    if not text:
        return default
    try:
        return kind(text)
    except ValueError:
        raise Refused(400, f"{text!r} is no number") from None


def _thumbnail(request: Request, desk: Desk) -> bytes:
    return desk.thumbnails.read(desk.files(request.path_params["picture"]))


def _side(request: Request, desk: Desk) -> tuple[bytes, str]:
    side = request.path_params["side"]
    if side not in (BEFORE, AFTER):
        raise KeyError(side)
    return shown(desk.files(request.path_params["picture"]), side, desk.dest)


def _channel(request: Request, desk: Desk) -> bytes:
    region = _number(request.query_params.get("region"), None, int)
    return desk.rework.channel(desk.row(request.path_params["picture"]), request.path_params["channel"], region)
