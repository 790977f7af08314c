"""Deadlines for the work on an image, enforced by the kernel.

Code that hangs in a native library cannot be interrupted from Python. A process that exceeds a
deadline is therefore ended by SIGALRM, which needs neither the interpreter nor its lock. Before
it ends, the process writes the stacks of its threads to standard error. The parent process then
decides what happens to the image; see `flows.engine.quarantine`.
"""

from __future__ import annotations

import faulthandler
import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_seconds_in: Callable[[str], float] | None = None
_may_end = False
"""Whether this process is one that can be lost."""
_lock = threading.Lock()
_deadlines: dict[int, float] = {}
_numbers = itertools.count()


def keep_deadlines(seconds_in: Callable[[str], float] | None) -> None:
    """End this process whenever an image takes longer in an operator than `seconds_in` returns.

    With None, no deadline applies.
    """
    global _seconds_in
    allow_decoding_deadlines(seconds_in is not None)
    _seconds_in = seconds_in


def allow_decoding_deadlines(allowed: bool = True) -> None:
    """Declare whether this process can be lost, so that `decoding_deadline` may end it."""
    global _may_end
    if allowed and not _may_end:
        # Where standard error is not a file, no stacks are written.
        with suppress(ValueError, OSError, AttributeError):
            faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
    _may_end = allowed


@contextmanager
def deadline(*operators: str, images: int = 1) -> Iterator[None]:
    """Limit the enclosed work on `images` images to the time allowed in these operators.

    Deadlines may be nested and may be set in any thread.
    """
    if _seconds_in is None:
        yield
        return
    with _end_after(images * sum(map(_seconds_in, operators))):
        yield


@contextmanager
def decoding_deadline(seconds: float) -> Iterator[None]:
    """Limit the enclosed decoding of one picture, in a process that can be lost.

    Any other process, such as a user's own, is left alone.
    """
    if not _may_end:
        yield
        return
    with _end_after(seconds):
        yield


@contextmanager
def _end_after(seconds: float) -> Iterator[None]:
    number = next(_numbers)
    with _lock:
        _deadlines[number] = time.monotonic() + seconds
        _set_timer()
    try:
        yield
    finally:
        with _lock:
            del _deadlines[number]
            _set_timer()


def _set_timer() -> None:
    remaining = max(min(_deadlines.values()) - time.monotonic(), 1e-3) if _deadlines else 0.0
    signal.setitimer(signal.ITIMER_REAL, remaining)
