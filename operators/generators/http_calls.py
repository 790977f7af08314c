"""One call to a model over HTTP: a key, retries, and the pace that all processes of a machine keep.

Only this module repeats a call. Answers that say "later" (429, 503 and their like) make every
process of the machine wait as long as the server asks, so that retries do not multiply.
"""

from __future__ import annotations

import email.utils
import hashlib
import http.client
import json
import os
import random
import re
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from filelock import FileLock, Timeout

from operators.models.pull import cache_folder
from operators.rows.failure import Failure, RunError

KEY_VARIABLE = "CLEANPLATE_MODEL_KEY"
TRIES = 4
TRY_SECONDS = 150.0
"""The longest that a server may be silent in one try, and that a try may take."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 60.0
"""The longest wait before another try; a server that asks for more is taken not to answer."""
MOST_BYTES = 64 * 1024 * 1024
"""The largest answer that is read."""
MOST_REDIRECTS = 3
LATER = frozenset({408, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may succeed."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
BROKEN = (OSError, http.client.HTTPException)
"""What the connection raises; `urllib.error.URLError` is an OSError."""
MESSAGE_LETTERS = 200
"""How much of what a server says of a refusal is recorded."""


@dataclass(frozen=True)
class Reply:
    """What a server has answered."""

    status: int
    headers: Mapping[str, str]
    """By name in lower case."""
    body: bytes

    def said(self) -> str:
        """What an error says, in OpenAI's shape or as plain text; without a line break."""
        try:
            error = json.loads(self.body)["error"]
            text = str(error.get("message") or error.get("code") or "") if isinstance(error, dict) else str(error)
        except (ValueError, KeyError, TypeError, RecursionError):
            text = self.body[: 4 * MESSAGE_LETTERS].decode("utf-8", "replace")
        plain = "".join(letter if letter.isprintable() else " " for letter in _without_key(text))
        return plain[:MESSAGE_LETTERS].strip()

    @property
    def is_out_of_credit(self) -> bool:
        """Whether a status that means "later" means "pay first" here."""
        return b"insufficient_quota" in self.body[:4096]


def model_key() -> str:
    """The key from the environment; empty without one.

    Raises RunError option_invalid for one that no header can hold, without saying it.
    """
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise RunError("option_invalid", f"{KEY_VARIABLE} holds letters that a key cannot have")
    return key


class _StayHere(urllib.request.HTTPRedirectHandler):
    """Follows no redirect, because the pictures and the key are meant for the named host alone."""

    def redirect_request(self, *arguments: object) -> None:
        return None


def send(address: str, body: bytes, media_type: str, seconds: float) -> Reply:
    """Post a body once, and follow redirects within the same scheme, host and port.

    Raises what the connection raises (BROKEN), TimeoutError included; Failure call_refused for a
    redirect to elsewhere, and answer_invalid for an answer above MOST_BYTES.
    """
    until, here = time.monotonic() + seconds, address
    for _ in range(MOST_REDIRECTS + 1):
        reply = _send(here, body, media_type, until)
        if reply.status not in REDIRECTS:
            return reply
        target = urljoin(here, reply.headers.get("location", ""))
        if reply.status not in (307, 308) or _origin(target) != _origin(address):
            where = "{}://{}:{}".format(*_origin(target))
            raise Failure("call_refused", f"{urlsplit(address).netloc} redirects to {where}; name that address if you trust it")
        here = target
    raise Failure("call_refused", f"{urlsplit(address).netloc} redirects in a circle")


def call(
    address: str, body: bytes, media_type: str, until: float, pace: Pace, begin: Callable[[], None], refused: Callable[[], None]
) -> Reply:
    """Post a body until it is answered with 200, at most TRIES times.

    No try begins after `until` (`time.monotonic`). `begin` is called before each try, and may
    raise; `refused` after each one for which nobody charges: answered otherwise, or not connected.
    Raises Failure call_refused, call_failed and answer_invalid, none of which holds the key.
    """
    host, problem = urlsplit(address).netloc, ""
    for number in range(TRIES):
        with pace.place(until):
            begin()
            wait = random.uniform(0.5, 1.0) * min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**number)
            try:
                reply = send(address, body, media_type, max(0.1, min(TRY_SECONDS, until - time.monotonic())))
            except BROKEN as error:
                if isinstance(getattr(error, "reason", None), (ConnectionRefusedError, socket.gaierror)):
                    refused()
                problem = _without_key(f"{host}: {type(error).__name__}: {getattr(error, 'reason', error)}")[:MESSAGE_LETTERS]
            except Failure as failure:
                if failure.code == "call_refused":
                    refused()
                raise
            else:
                if reply.status == 200:
                    return reply
                refused()
                problem = f"{host} answers {reply.status}: {reply.said()}"
                if reply.status not in LATER or reply.is_out_of_credit:
                    raise Failure("call_refused", problem)
                asked = _seconds_asked(reply.headers.get("retry-after", ""))
                if asked is not None:
                    wait = asked * random.uniform(1.0, 1.1)
                    pace.pause(min(wait, LONGEST_WAIT_SECONDS))
        if wait > 1.1 * LONGEST_WAIT_SECONDS:
            raise Failure("call_failed", f"{problem} (asks for {wait:.0f} s of patience)")
        if number == TRIES - 1 or time.monotonic() + wait > until:
            break
        time.sleep(wait)
    raise Failure("call_failed", f"{problem} (try {number + 1} of {TRIES})")


class Pace:
    """How fast calls to one host may follow each other, over all processes of this machine.

    The places and the time of the next call are files; the kernel frees the places of a process
    that dies.
    """

    def __init__(self, address: str, at_once: int, per_minute: float | None) -> None:
        name = hashlib.sha256(f"{os.getuid()} {_origin(address)}".encode()).hexdigest()[:16]
        self._folder = cache_folder() / "calls" / name
        self._at_once = at_once
        self._seconds = 60 / per_minute if per_minute else 0.0

    @contextmanager
    def place(self, until: float) -> Iterator[None]:
        """A place for a call, and a turn. Raises Failure call_failed if it takes too long."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = self._free_place(until)
        try:
            self._take_turn(until)
            yield
        finally:
            lock.release()

    def pause(self, seconds: float) -> None:
        """Let no call of this machine begin before this time has passed."""
        with self._turns() as file:
            _write(file, max(_read(file), time.time() + seconds))

    def _free_place(self, until: float) -> FileLock:
        while True:
            for number in range(self._at_once):
                lock = FileLock(self._folder / f"{number}.lock")
                with suppress(Timeout):
                    lock.acquire(timeout=0)
                    return lock
            if time.monotonic() > until:
                raise Failure("call_failed", "no place among the calls at once became free in time")
            time.sleep(random.uniform(0.02, 0.1))

    def _take_turn(self, until: float) -> None:
        while True:
            with self._turns() as file:
                now, turn = time.time(), _read(file)
                wait = turn - now
                if wait <= 0:
                    if self._seconds:
                        _write(file, now + self._seconds)
                    return
            if time.monotonic() + wait > until:
                raise Failure("call_failed", f"the next call may begin only in {wait:.0f} s")
            time.sleep(wait * random.uniform(1.0, 1.1))

    @contextmanager
    def _turns(self) -> Iterator[Path]:
        self._folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self._folder / "turn.lock"):
            yield self._folder / "turn"


MOST_PAUSE_SECONDS = 3600.0
"""A turn that lies further ahead was written by a clock that has been put back since."""


def _read(file: Path) -> float:
    """The time of the next turn; the past if there is none."""
    try:
        turn = float(file.read_text())
    except (OSError, ValueError):
        return 0.0
    return turn if turn < time.time() + MOST_PAUSE_SECONDS else 0.0


def _write(file: Path, turn: float) -> None:
    file.write_text(repr(turn))


def _send(address: str, body: bytes, media_type: str, until: float) -> Reply:
    headers = {"Content-Type": media_type, "Accept": "application/json", "User-Agent": "cleanplate"}
    request = urllib.request.Request(address, body, headers, method="POST")
    if key := model_key():
        request.add_unredirected_header("Authorization", f"Bearer {key}")
    handlers: list[urllib.request.BaseHandler] = [_StayHere()]
    if urlsplit(address).hostname in ("127.0.0.1", "localhost", "::1"):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        answer = urllib.request.build_opener(*handlers).open(request, timeout=_left(until))
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        parts, size = [], 0
        while part := answer.read1(65536):
            size += len(part)
            if size > MOST_BYTES:
                raise Failure("answer_invalid", f"{urlsplit(address).netloc} answers with more than {MOST_BYTES} bytes")
            _left(until)
            parts.append(part)
        length = answer.headers.get("content-length", "")
        if length.isdigit() and int(length) > size:
            raise http.client.IncompleteRead(b"", int(length) - size)
        return Reply(answer.status, {name.lower(): value for name, value in answer.headers.items()}, b"".join(parts))


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the answer takes too long")
    return left


def _origin(address: str) -> tuple[str, str, int]:
    """Scheme, host and port; an address that is none has no host."""
    parts = urlsplit(address)
    scheme = parts.scheme.lower()
    try:
        return scheme, (parts.hostname or "").lower(), parts.port or (443 if scheme == "https" else 80)
    except ValueError:
        return scheme, "", 0


def _seconds_asked(value: str) -> float | None:
    """The seconds of a Retry-After header, which holds seconds or a date; None without one."""
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value.strip()):
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


def _without_key(text: str) -> str:
    """What a server says, without the key that it may have repeated."""
    key = model_key()
    return text.replace(key, "***") if key else text
