"""How long a storage that does not answer is waited for.

A storage that refuses connections, breaks them off, or says that it is busy (429, 500 and above)
is asked again for up to `RETRY_SECONDS`, with waits that grow and are drawn by chance, so that
many workers do not come back at the same moment. The time counts for all calls of a process
together: once a store has been silent for that long, nobody waits again until it has answered.
Any other error of a storage is tried a few times; what the storage has decided (no such key, no
right to it, no space) is not tried again.
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
"""Three times as long as the outages that a run must sit out."""
FIRST_CONTACT_SECONDS = 10.0
"""For the first call of a run: a wrong address is to be told soon."""
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
"""Classes by name, of Python, aiohttp, botocore and fsspec, that say that no whole answer came;
their heirs do too.
"""
BUSY = frozenset({"ConditionalRequestConflict", "OperationAborted", "RequestTimeout", "SlowDown", "Throttling"})
"""What S3 also says with other statuses."""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _status(error: BaseException) -> int:
    """The HTTP status that an error of S3, Google or Azure carries; 0 without one."""
    response = getattr(error, "response", None)
    told = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    for status in (told, getattr(error, "status_code", None), getattr(error, "status", None), getattr(error, "code", None)):
        if isinstance(status, int | str) and str(status).isdigit():
            return int(status)
    return 0


def unavailable(error: BaseException) -> bool:
    """Whether an exception says that the storage does not answer now, and not what it thinks of
    the request.
    """
    for one in _chain(error):
        if SILENT & {base.__name__ for base in type(one).__mro__}:
            return True
        status = _status(one)
        if status == 429 or (status >= 500 and status != 501):
            return True
        response = getattr(one, "response", None)
        if isinstance(response, dict) and response.get("Error", {}).get("Code") in BUSY:
            return True
    return False


def storage_failure(error: Exception, uri: str) -> Failure:
    """The failure that an exception of a storage call amounts to."""
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
    """Since when each store has answered nobody of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[str, tuple[float, float]] = {}

    def seconds_silent(self, store: str) -> float:
        """Seconds of silence, this moment included. A silence that nobody met for long is
        forgotten.
        """
        now = time.monotonic()
        with self._lock:
            since, last = self._since.get(store, (now, now))
            since = since if now - last < RETRY_SECONDS else now
            self._since[store] = (since, now)
        return now - since

    def end(self, store: str) -> None:
        """The store has answered."""
        if self._since:
            with self._lock:
                self._since.pop(store, None)


STORE_OUTAGES = StoreOutages()


def wait(attempt: int) -> float:
    """Seconds before the next attempt: half of what doubles each time, and up to as much again by
    chance.
    """
    most = min(FIRST_WAIT_SECONDS * 2**attempt, LONGEST_WAIT_SECONDS)
    return random.uniform(most / 2, most)


def with_retries(uri: str, call: Callable[[], Result], patience: float | None = None) -> Result:
    """The call's result, tried again while the storage does not answer, for up to `patience`
    seconds. Raises Failure.
    """
    store = "/".join(uri.split("/")[:3]) if "://" in uri else ""
    patience = RETRY_SECONDS if patience is None else patience
    begun = time.monotonic()
    for attempt in itertools.count():
        try:
            result = call()
        except Exception as error:
            failure = storage_failure(error, uri)
            enough = attempt >= LEAST_ATTEMPTS - 1
            if unavailable(error):
                silent = STORE_OUTAGES.seconds_silent(store)
                if time.monotonic() - begun >= patience or (enough and silent >= patience):
                    raise failure from error
            else:
                STORE_OUTAGES.end(store)
                if failure.code != "storage_error" or enough:
                    raise failure from error
        else:
            STORE_OUTAGES.end(store)
            return result
        time.sleep(wait(attempt))
    raise AssertionError("unreachable")
