"""What a request meets before it is read: token, rate, a bounded queue, and a bounded body."""

from __future__ import annotations

import asyncio
import hmac
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

WORK = "/v1/"
"""The addresses that are guarded; the page, health and metrics are not queued."""
MOST_CLIENTS = 10_000
FORM_BYTES = 1024 * 1024
"""What a form may hold beside a picture and a mask."""
SILENCE_SECONDS = 30.0
"""How long a client may send nothing of a body before it loses its place."""
POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
DOCUMENTATION = ("/docs", "/redoc")


def problem(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as OpenAI's clients read it."""
    return JSONResponse({"error": {"code": code, "message": message, "type": "invalid_request_error"}}, status, headers)


@dataclass
class _Bucket:
    tokens: float
    seen: float


class RateLimit:
    """At most `per_minute` requests a minute from one address, with a burst of as many."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def wait(self, client: str) -> float:
        """Seconds until the client may ask again; 0 if it may now, which counts."""
        if not self._per_minute:
            return 0.0
        now = time.monotonic()
        bucket = self._buckets.setdefault(client, _Bucket(float(self._per_minute), now))
        self._buckets.move_to_end(client)
        while len(self._buckets) > MOST_CLIENTS:
            self._buckets.popitem(last=False)
        bucket.tokens = min(self._per_minute, bucket.tokens + (now - bucket.seen) * self._per_minute / 60)
        bucket.seen = now
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) * 60 / self._per_minute


class TooLarge(Exception):
    """A body that is larger than the service takes."""


class TooSlow(Exception):
    """A body of which nothing has come for SILENCE_SECONDS."""


class Guard:
    """The middleware; nothing of a refused request's body is read."""

    def __init__(self, app: Any, token: str, rate: RateLimit, most_requests: int, most_bytes: int, state: Any) -> None:
        self._app = app
        self._token = token
        self._rate = rate
        self._most_requests = most_requests
        self._most_bytes = most_bytes
        self._state = state

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        path = request.url.path
        added = {} if path.startswith(DOCUMENTATION) else HEADERS

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                if path.startswith(WORK):
                    self._state.count(path, message["status"])
                message["headers"] = [*message["headers"], *((name.encode(), value.encode()) for name, value in added.items())]
            await send(message)

        if not path.startswith(WORK):
            await self._app(scope, receive, send_with_headers)
            return
        refusal = self._refusal(request)
        if refusal is not None:
            await refusal(scope, receive, send_with_headers)
            return
        if request.method != "POST":
            await self._app(scope, receive, send_with_headers)
            return
        if self._state.requests >= self._most_requests:
            self._state.refused.inc()
            busy = problem(429, "queue_full", "the queue is full", {"Retry-After": str(self._state.seconds_to_wait())})
            await busy(scope, receive, send_with_headers)
            return
        self._state.requests += 1
        try:
            await self._app(scope, self._bounded(receive), send_with_headers)
        except Exception:
            self._state.count(path, 500)  # the answer comes from outside of this middleware
            raise
        finally:
            self._state.requests -= 1

    def _refusal(self, request: Request) -> JSONResponse | None:
        if self._token:
            kind, _, given = request.headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token.encode()):
                headers = {"WWW-Authenticate": "Bearer"}
                return problem(401, "token_wrong", "send the service's token as Authorization: Bearer TOKEN", headers)
        client = request.client.host if request.client else ""
        if wait := self._rate.wait(client):
            return problem(429, "rate_limit", "too many requests", {"Retry-After": str(math.ceil(wait))})
        if request.method == "POST":
            length = request.headers.get("content-length", "")
            if length.isdigit() and int(length) > 2 * self._most_bytes + FORM_BYTES:
                return problem(413, "bytes_over_limit", f"a picture has at most {self._most_bytes} bytes")
        return None

    def _bounded(self, receive: Any) -> Any:
        read, ended = 0, False

        async def bounded() -> Any:
            nonlocal read, ended
            if ended:
                return await receive()  # the client waits for the answer
            try:
                message = await asyncio.wait_for(receive(), SILENCE_SECONDS)
            except TimeoutError:
                raise TooSlow from None
            ended = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > 2 * self._most_bytes + FORM_BYTES:
                raise TooLarge
            return message

        return bounded
