"""The service as one FastAPI application: the requests, their answers, health and metrics."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import json
import math
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from flows.choose_in_python import LISTS
from flows.serve.guard import SILENCE_SECONDS, Guard, RateLimit, TooLarge, TooSlow, problem
from flows.serve.openai import DEFAULT, mask_of_alpha, options_of_edit
from flows.serve.pool import Backend
from flows.serve.presence import ClientGone, while_connected
from flows.serve.wishes import Enlarge, Erase, Filling, Find, Inpaint, Wish, check
from flows.serve.work import Answer, Task, WrongRequest
from operators.decisions.budget import Rate
from operators.generators.call_account import USUAL_CALLS, CallLimits
from operators.models.registry import cards
from operators.pictures.codec import Limits
from operators.rows.checks import BUDGET_CHECK, CALL_BUDGET
from operators.rows.failure import CODES, FAILED, Failure, RunError, first_line
from operators.storage.web_picture import fetch
from operators.upscalers.catalogue import UPSCALERS

PAGE = Path(__file__).parent / "page"
SHARED = Path(__file__).parents[1] / "web" / "static"
WISHES: Mapping[str, type[Wish]] = {"erase": Erase, "inpaint": Inpaint, "enlarge": Enlarge, "find": Find}
PATHS = frozenset((*(f"/v1/{name}" for name in WISHES), "/v1/images/edits", "/v1/models"))
"""The addresses whose answers the metrics count one by one."""
STATUS = {
    "bytes_over_limit": 413,
    "pixels_over_limit": 413,
    "scans_over_limit": 413,
    "frames_over_limit": 413,
    "directories_over_limit": 413,
    "decompression_bomb": 413,
    "not_an_image": 415,
    "calls_spent": 402,
    "source_not_allowed": 403,
    "storage_error": 502,
    "key_missing": 502,
    "access_denied": 502,
    "option_invalid": 400,
    "request_invalid": 400,
    "rules_invalid": 400,
    "model_unknown": 400,
}
"""The status of an error; every other one is 422."""
CLIENT_GONE = 499
"""The status that the metrics count, as nginx does, where nobody reads an answer any more."""
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 60, 120)


@dataclass(frozen=True)
class Settings:
    """How the service is run."""

    limits: Limits = Limits(max_pixels=40_000_000, max_bytes=32 * 1024 * 1024)
    queue: int = 32
    """Requests that wait beside those that are worked."""
    per_minute: int = 0
    """Requests a minute from one address; 0 for no limit."""
    token: str = ""
    allow: tuple[str, ...] = ()
    """Places from which pictures may be fetched; none without one."""
    models: tuple[str, ...] = ()
    """Models to offer beside the shipped ones: aliases, folders and URLs."""
    calls: CallLimits = CallLimits(USUAL_CALLS)
    """What the calls of all requests to models over HTTP may cost together."""
    calls_in: str = ""
    """Folder or URL in which all workers count these calls and keep the answers."""

    @property
    def offered(self) -> frozenset[str]:
        """The models that requests may name."""
        shipped = [alias for alias, card in cards().items() if not card.source or card.source.startswith("./")]
        return frozenset((*shipped, *UPSCALERS, *self.models))


class State:
    """What the service counts."""

    def __init__(self, workers: int) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        self.requests = 0
        self.workers = workers
        self.unready = "the models are loading"
        """Why the service is not ready for work; empty if it is."""
        self.mean_seconds = 1.0
        self.answers = Counter(
            "cleanplate_requests_total", "Answers by address and status.", ("path", "status"), registry=self.registry
        )
        self.verdicts = Counter("cleanplate_verdicts_total", "Pictures by verdict.", ("verdict",), registry=self.registry)
        self.seconds = Histogram(
            "cleanplate_request_seconds", "Seconds from request to answer.", ("path",), buckets=SECONDS, registry=self.registry
        )
        self.refused = Counter("cleanplate_refused_total", "Requests that the full queue refused.", registry=self.registry)
        Gauge("cleanplate_requests_open", "Requests that wait or are worked.", registry=self.registry).set_function(
            lambda: self.requests
        )

    def count(self, path: str, status: int) -> None:
        """Count an answer, also a refusal; unknown addresses count as one."""
        self.answers.labels(path if path in PATHS else "other", status).inc()

    def note(self, path: str, seconds: float) -> None:
        """Note how long a request was read and worked."""
        self.seconds.labels(path).observe(seconds)
        self.mean_seconds += 0.1 * (seconds - self.mean_seconds)

    def seconds_to_wait(self) -> int:
        """How long until a place in the queue will probably be free, in whole seconds."""
        return max(1, min(60, math.ceil(self.mean_seconds)))


@dataclass(frozen=True)
class Sent:
    """What a request brought: the picture, a mask, and options by name."""

    data: bytes | None
    mask: bytes | None
    options: dict[str, Any]


def application(settings: Settings, backend: Backend, give_up: Callable[[Exception], None] = lambda error: None) -> FastAPI:
    """The web application over a backend, which it opens and closes.

    `give_up` is called if the backend cannot be opened; until then the application says that it is
    not ready.
    """
    state = State(backend.workers)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async def load() -> None:
            try:
                await backend.open()
            except Exception as error:
                state.unready = f"the models cannot be loaded: {first_line(error)}"
                give_up(error)
            else:
                state.unready = ""

        # Others ask whether the service is ready while the models load, so it must answer by then.
        loading = asyncio.create_task(load())
        yield
        state.unready = "the service ends"
        loading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loading
        await backend.close()

    app = FastAPI(
        title="cleanplate",
        version=version("cleanplate"),
        description="Erase texts from a picture, fill masks, enlarge, or find texts.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
    )
    most = backend.workers + settings.queue
    app.add_middleware(
        Guard,
        token=settings.token,
        rate=RateLimit(settings.per_minute),
        most_requests=most,
        most_bytes=settings.limits.max_bytes,
        state=state,
    )
    service = Service(settings, backend, state)

    def add(name: str, wish: type[Wish]) -> None:
        async def respond(request: Request) -> Response:
            return await service.respond(request, f"/v1/{name}", wish)

        app.add_api_route(
            f"/v1/{name}",
            respond,
            methods=["POST"],
            name=name,
            summary=(wish.__doc__ or "").strip(),
            response_class=Response,
            openapi_extra=_document(wish, needs_mask=wish is Inpaint),
            responses=RESPONSES,
        )

    for name, wish in WISHES.items():
        add(name, wish)

    @app.post("/v1/images/edits", openapi_extra=EDITS, responses=RESPONSES, summary="Edit a picture as OpenAI's clients ask.")
    async def edits(request: Request) -> Response:
        return await service.edit(request)

    @app.get("/v1/models", responses={code: RESPONSES[code] for code in (401, 429)}, summary="Models to name.")
    async def models() -> dict[str, Any]:
        names = (DEFAULT, *sorted(settings.offered))
        # OpenAI's clients read when a model was made, which nobody knows here.
        same = {"object": "model", "created": 0, "owned_by": "cleanplate"}
        return {"object": "list", "data": [{"id": name, **same} for name in names]}

    @app.get("/healthz", response_class=PlainTextResponse, summary="Whether the process lives.")
    async def health() -> str:
        return "ok"

    @app.get("/readyz", response_class=PlainTextResponse, responses={503: {"description": "Not ready."}}, summary="Ready?")
    async def ready() -> Response:
        return PlainTextResponse(state.unready or "ok", 503 if state.unready else 200)

    @app.get("/metrics", response_class=PlainTextResponse, summary="Metrics for Prometheus.")
    async def metrics() -> Response:
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return Response(generate_latest(state.registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.exception_handler(HTTPException)
    async def http_problem(request: Request, error: HTTPException) -> Response:
        return problem(error.status_code, "request_invalid", str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def own_fault(request: Request, error: Exception) -> Response:
        return problem(500, "unexpected", "the service has failed at this request; its log says why")

    app.mount("/page", StaticFiles(directory=PAGE))
    app.mount("/shared", StaticFiles(directory=SHARED))
    return app


class Service:
    """Reads requests, has them worked, and writes the answers."""

    def __init__(self, settings: Settings, backend: Backend, state: State) -> None:
        self._settings = settings
        self._backend = backend
        self._state = state

    async def respond(self, request: Request, path: str, kind: type[Wish]) -> Response:
        """Answer one of our own requests."""

        async def work() -> Response:
            sent = await self._read(request)
            wish = _checked(kind, sent.options)
            answer = await self._work(request, wish, sent, needs_mask=kind is Inpaint)
            if kind is Find or _wants_json(request):
                return JSONResponse(_described(answer, with_picture=kind is not Find))
            return Response(answer.data, media_type=answer.media_type, headers=_headers(answer))

        return await self._answered(path, work)

    async def edit(self, request: Request) -> Response:
        """Answer OpenAI's request: a mask is filled; without one, texts are erased."""

        async def work() -> Response:
            sent = await self._read(request)
            wish = _checked(*options_of_edit(sent.options, sent.mask is not None))
            mask = None if sent.mask is None else mask_of_alpha(sent.mask, self._settings.limits)
            answer = await self._work(request, wish, Sent(sent.data, mask, {}), needs_mask=isinstance(wish, Inpaint))
            picture = base64.b64encode(answer.data).decode()
            described = _described(answer, with_picture=False)
            return JSONResponse({"created": int(time.time()), "data": [{"b64_json": picture}], "cleanplate": described})

        return await self._answered("/v1/images/edits", work)

    async def _answered(self, path: str, work: Any) -> Response:
        started = time.monotonic()
        try:
            response: Response = await work()
        except (WrongRequest, Failure, RunError) as error:
            response = problem(STATUS.get(error.code, 422), error.code, _as_request_says(error.message))
        except (ClientGone, ClientDisconnect):
            response = problem(CLIENT_GONE, "client_gone", "the client has closed its connection")
        except TooLarge:
            response = problem(413, "bytes_over_limit", f"a picture has at most {self._settings.limits.max_bytes} bytes")
        except asyncio.CancelledError:  # by the server, when it has waited long enough to end
            response = problem(503, "service_ends", "the service ends; ask again", {"Retry-After": "1"})
        except TooSlow:
            response = problem(408, "body_missing", f"nothing of the request came for {SILENCE_SECONDS:g} seconds")
        except (MultiPartException, HTTPException) as error:
            response = problem(400, "request_invalid", str(getattr(error, "message", None) or getattr(error, "detail", error)))
        self._state.note(path, time.monotonic() - started)
        return response

    async def _work(self, request: Request, wish: Wish, sent: Sent, needs_mask: bool) -> Answer:
        check(wish, self._settings.offered)
        data = sent.data
        if wish.url:
            if data:
                raise WrongRequest("request_invalid", "give either a picture or the URL of one")
            data = await fetch(wish.url, self._settings.allow, self._settings.limits.max_bytes)
        if data is None:
            raise WrongRequest("request_invalid", "there is no picture: send its bytes, a form with `image`, or `url`")
        if (sent.mask is not None) != needs_mask:
            raise WrongRequest("request_invalid", "this request needs a `mask`" if needs_mask else "this request takes no mask")
        for part in (data, sent.mask or b""):
            if len(part) > self._settings.limits.max_bytes:
                raise WrongRequest("bytes_over_limit", f"{len(part)} bytes, limit {self._settings.limits.max_bytes}")
        rates: tuple[Rate, ...] = ()
        if isinstance(wish, Filling) and wish.budget_ms is not None:
            rates = await self._backend.rates(wish.preset, wish.model)
        task = Task(wish, data, sent.mask, self._settings.limits, rates, self._settings.calls, self._settings.calls_in)
        seconds = None
        if isinstance(wish, Filling) and wish.budget_ms is not None:
            seconds = wish.budget_ms / 1000
        try:
            answer = await while_connected(request, self._backend.work(task), seconds)
        except TimeoutError:
            answer = Answer(data, "rolled_back", (BUDGET_CHECK,))
        if answer.failure and (STATUS.get(answer.failure["code"]) == 413 or CODES[answer.failure["code"]].verdict == FAILED):
            raise WrongRequest(answer.failure["code"], answer.failure["message"])
        if answer.verdict == "rolled_back" and any(region["reason"] == CALL_BUDGET for region in answer.regions):
            raise WrongRequest("calls_spent", f"this service may make no more calls of {wish.models[0]}")
        self._state.verdicts.labels(answer.verdict).inc()
        return answer

    async def _read(self, request: Request) -> Sent:
        """The picture and the options, from a form, JSON, or the plain bytes with a query."""
        options = {name: request.query_params.getlist(name) for name in request.query_params}
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
            async with request.form(max_files=2, max_fields=200) as form:
                return await _from_form(form, options)
        body = bytearray()
        async for piece in request.stream():
            body += piece
        if kind == "application/json":
            return _from_json(bytes(body), _plain(options))
        return Sent(bytes(body) or None, None, _plain(options))


async def _from_form(form: FormData, options: dict[str, list[Any]]) -> Sent:
    files: dict[str, bytes] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            if name.removesuffix("[]") not in ("image", "mask"):
                raise WrongRequest("request_invalid", f"{name[:60]!r} is no file of this request: send `image` and `mask`")
            if name.removesuffix("[]") in files:
                raise WrongRequest("request_invalid", f"`{name.removesuffix('[]')}` was sent twice: send one picture at a time")
            files[name.removesuffix("[]")] = await value.read()
        else:
            options.setdefault(name, []).append(value)
    return Sent(files.get("image"), files.get("mask"), _plain(options))


def _plain(options: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Lists for the options that are lists; of the others the last value counts."""
    return {name: values if name in LISTS else values[-1] for name, values in options.items()}


def _from_json(body: bytes, options: dict[str, Any]) -> Sent:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        raise WrongRequest("request_invalid", "the body is not JSON") from None
    if not isinstance(content, dict):
        raise WrongRequest("request_invalid", "the body is no JSON object")
    files: dict[str, bytes | None] = {}
    for name in ("image", "mask"):
        text = content.pop(name, None)
        try:
            files[name] = None if text is None else base64.b64decode(str(text).rpartition(";base64,")[2], validate=True)
        except (binascii.Error, ValueError):
            raise WrongRequest("request_invalid", f"`{name}` is not base64") from None
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise WrongRequest("request_invalid", "the body has half of a surrogate pair, which is no character") from None
    if not isinstance(content.get("regions", ""), str):
        content["regions"] = json.dumps(content["regions"])
    return Sent(files["image"], files["mask"], {**options, **content})


def _checked(kind: type[Wish], options: Mapping[str, Any]) -> Wish:
    try:
        return kind.model_validate(options)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the request"
        raise WrongRequest("option_invalid", f"{place[:60]}: {first['msg'].removeprefix('Value error, ')}") from None


def _as_request_says(message: str) -> str:
    """A message that begins with an option of the command line, with its name in a request."""
    return re.sub(r"^--([a-z-]+)", lambda option: option[1].replace("-", "_"), message)


def _wants_json(request: Request) -> bool:
    return request.headers.get("accept", "").partition(",")[0].partition(";")[0].strip() == "application/json"


def _described(answer: Answer, with_picture: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "verdict": answer.verdict,
        "reasons": list(answer.reasons),
        "notes": list(answer.notes),
        "failure": answer.failure,
        "width": answer.width,
        "height": answer.height,
        "regions": list(answer.regions),
        "milliseconds": answer.milliseconds,
    }
    if with_picture:
        described |= {"media_type": answer.media_type, "image": base64.b64encode(answer.data).decode()}
    return described


def _headers(answer: Answer) -> dict[str, str]:
    """The verdict and the reasons as headers; the reasons are JSON in ASCII, cut if too long."""
    reasons = list(answer.reasons)
    while len(text := json.dumps(reasons)) > 4000:
        reasons = reasons[: len(reasons) // 2]
    headers = {"X-Cleanplate-Verdict": answer.verdict, "X-Cleanplate-Reasons": text}
    return headers | ({"X-Cleanplate-Failure": answer.failure["code"]} if answer.failure else {})


_ERROR = {
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["error"],
                "properties": {
                    "error": {
                        "type": "object",
                        "required": ["code", "message"],
                        "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "type": {"type": "string"}},
                    }
                },
            }
        }
    }
}
RESPONSES: dict[int | str, dict[str, Any]] = {
    code: {"description": words, **_ERROR}
    for code, words in {
        400: "A wrong option or body.",
        401: "The token is missing or wrong.",
        402: "The calls of a model over HTTP are spent.",
        403: "The service may not fetch from there.",
        408: "Nothing of the request came for some time.",
        413: "More bytes or pixels than the service takes.",
        415: "Not a picture.",
        422: "A picture, a mask or regions that cannot be used.",
        429: "The queue is full, or too many requests came; see Retry-After.",
        502: "The address does not give the picture.",
        503: "The service ends, and cannot wait for the picture.",
    }.items()
}
_FILE = {"type": "string", "format": "binary"}


def _document(wish: type[Wish], needs_mask: bool) -> dict[str, Any]:
    """What the OpenAPI document says of a request's body and query."""
    properties = wish.model_json_schema()["properties"]
    for value in properties.values():
        value.pop("title", None)
    files = {"image": _FILE, **({"mask": _FILE} if needs_mask else {})}
    texts = {name: {"type": "string", "contentEncoding": "base64"} for name in files}
    required = ["mask"] if needs_mask else []
    content = {
        "multipart/form-data": {"schema": {"type": "object", "properties": {**files, **properties}, "required": required}},
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {**texts, **properties},
                "required": required,
                "additionalProperties": False,
            }
        },
    }
    if not needs_mask:
        content["application/octet-stream"] = {"schema": _FILE}
    query = [{"in": "query", "name": name, "required": False, "schema": value} for name, value in properties.items()]
    return {"parameters": query, "requestBody": {"required": True, "content": content}}


EDITS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": _FILE,
                        "mask": {**_FILE, "description": "A PNG whose transparent pixels are filled."},
                        "prompt": {"type": "string", "maxLength": 4000},
                        "model": {"type": "string", "maxLength": 400},
                        "n": {"type": "integer", "minimum": 1, "maximum": 1},
                        "response_format": {"type": "string", "enum": ["b64_json"]},
                        "user": {"type": "string"},
                    },
                }
            }
        },
    }
}
