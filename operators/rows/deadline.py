"""Deadlines for the work on an image, kept by the kernel: what hangs in native code cannot be
ended from within.

A process that hangs past a deadline is ended by SIGALRM, which needs neither the interpreter nor
its lock, after writing the stacks of its threads to standard error. Whoever started it then knows
what to do with the image; see `flows.engine.quarantine`.
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
_lock = threading.Lock()
_deadlines: dict[int, float] = {}
_numbers = itertools.count()


def keep_deadlines(seconds_in: Callable[[str], float] | None) -> None:
    """End this process from now on when one image takes longer in an operator than `seconds_in`
    says; None ends nothing.
    """
    global _seconds_in
    if _seconds_in is None and seconds_in is not None:
        with suppress(ValueError, OSError, AttributeError):  # standard error may be no file: then nothing is written
            faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
    _seconds_in = seconds_in


@contextmanager
def deadline(*operators: str, images: int = 1) -> Iterator[None]:
    """Let the enclosed work on `images` images in these operators take no longer than allowed.
    May be nested, in any thread.
    """
    if _seconds_in is None:
        yield
        return
    number = next(_numbers)
    with _lock:
        _deadlines[number] = time.monotonic() + images * sum(map(_seconds_in, operators))
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
