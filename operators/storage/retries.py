"""Retrying calls to a storage that does not answer.

A call is retried for up to `RETRY_SECONDS` if the storage refuses the connection, breaks it off,
or reports that it is busy (429, or 500 and above). The waits between attempts grow and are
random, so that many workers do not return at the same moment. All calls of a process share the
limit: once a store has been silent for that long, no call waits for it again until it has
answered. Any other storage error is retried a few times. Decisions of the storage (no such key,
no permission, no space) are not retried.
"""

from __future__ import annotations

import errno
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from operators.rows.failure import Failure

Result = TypeVar("Result")

RETRY_SECONDS = 90.0
"""Three times as long as the outages that a run must survive."""
FIRST_CONTACT_SECONDS = 10.0
"""The limit for the first call of a run, to report a wrong address quickly."""
LEAST_ATTEMPTS = 4
FIRST_WAIT_SECONDS = 0.2
LONGEST_WAIT_SECONDS = 8.0

SILENT = frozenset(
    {
        "ClientConnectionError",
        "ClientPayloadError",
        "ConnectionError",
        "FSTimeoutError",
        "HTTPClientError",
        "IncompleteRead",
        "ResponseParserError",
        "TimeoutError",
    }
)
"""Names of exception classes for a missing or incomplete answer; subclasses count as well.

They come from Python, aiohttp, botocore and fsspec.
"""
BUSY = frozenset({"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown", "Throttling"})
"""S3 error codes for a busy store that may come with other statuses."""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, its cause, the cause of the cause, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int:
    """The HTTP status of an error from S3, Google or Azure; 0 if it has none."""
    response = getattr(error, "response", None)
    s3_status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    for status in (
        s3_status,
        getattr(error, "status_code", None),
        getattr(error, "status", None),
        getattr(error, "code", None),
    ):
        if isinstance(status, int | str) and str(status).isdigit():
            return int(status)
    return 0


def unavailable(error: BaseException) -> bool:
    """Whether an exception means that the storage cannot answer now, rather than a decision."""
    for cause in _causes(error):
        if SILENT & {base.__name__ for base in type(cause).__mro__}:
            return True
        status = _status(cause)
        if status == 429 or (status >= 500 and status != 501):
            return True
        response = getattr(cause, "response", None)
        if isinstance(response, dict) and response.get("Error", {}).get("Code") in BUSY:
            return True
    return False


def storage_failure(error: Exception, uri: str) -> Failure:
    """The failure that corresponds to an exception of a storage call."""
    if isinstance(error, Failure):
        return error
    if unavailable(error):
        return Failure("storage_error", f"{uri}: {type(error).__name__}: {error}"[:500])
    if isinstance(error, FileNotFoundError):
        return Failure("key_missing", uri)
    if isinstance(error, IsADirectoryError | NotADirectoryError | FileExistsError):
        return Failure("output_path_conflict", uri)
    if isinstance(error, PermissionError):
        return Failure("access_denied", uri)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("disk_full", uri)
    if isinstance(error, OSError) and error.errno == errno.EROFS:
        return Failure("access_denied", f"{uri} (read-only)")
    text = f"{type(error).__name__}: {error}"
    if any(code in text for code in ("AccessDenied", "Forbidden", "InvalidAccessKeyId", "NoCredentialsError")):
        return Failure("access_denied", uri)
    if "NoSuchKey" in text or "NoSuchBucket" in text:
        return Failure("key_missing", uri)
    return Failure("storage_error", f"{uri}: {text}"[:500])


class StoreOutages:
    """The stores that currently answer no call of this process, and since when."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first_and_last: dict[str, tuple[float, float]] = {}

    def seconds_silent(self, store: str) -> float:
        """Record an unanswered call, and return the seconds since the first one.

        An outage without an unanswered call for `RETRY_SECONDS` is forgotten.
        """
        now = time.monotonic()
        with self._lock:
            first, last = self._first_and_last.get(store, (now, now))
            first = first if now - last < RETRY_SECONDS else now
            self._first_and_last[store] = (first, now)
        return now - first

    def end(self, store: str) -> None:
        """Record that the store has answered."""
        if self._first_and_last:
            with self._lock:
                self._first_and_last.pop(store, None)


STORE_OUTAGES = StoreOutages()
"""The outages that this process has noticed."""


def wait(attempt: int) -> float:
    """Seconds before the next attempt: random, between half of a limit and the limit.

    The limit doubles with each attempt, up to `LONGEST_WAIT_SECONDS`.
    """
    limit = min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS)
    return random.uniform(limit / 2, limit)


def with_retries(uri: str, call: Callable[[], Result], patience: float | None = None) -> Result:
    """The result of a call, retried while the storage is unavailable. Raises Failure.

    The retries end after `patience` seconds, by default `RETRY_SECONDS`.
    """
    store = "/".join(uri.split("/")[:3]) if "://" in uri else ""
    patience = RETRY_SECONDS if patience is None else patience
    start = time.monotonic()
    for attempt in itertools.count():
        try:
            result = call()
        except Exception as error:
            failure = storage_failure(error, uri)
            tried_enough = attempt >= LEAST_ATTEMPTS - 1
            if unavailable(error):
                silent = STORE_OUTAGES.seconds_silent(store)
                if time.monotonic() - start >= patience or (tried_enough and silent >= patience):
                    raise failure from error
            else:
                STORE_OUTAGES.end(store)
                if failure.code != "storage_error" or tried_enough:
                    raise failure from error
        else:
            STORE_OUTAGES.end(store)
            return result
        time.sleep(wait(attempt))
    raise AssertionError("unreachable")
