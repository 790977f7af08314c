"""Give memory that a process has freed back to the system."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass, field

EVERY_SECONDS = 1.0
"""The shortest time between two times. Looking through the heap takes a few milliseconds."""


def _find_trim() -> Callable[[int], int] | None:
    """glibc's function that gives back the free pages of all heaps; None on other systems."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return None
    return trim


@dataclass
class FreedMemory:
    """The memory that a worker has freed and that its heap still holds.

    Working on a picture frees hundreds of megabytes in pieces. Small objects stay between them, and
    glibc by itself gives back only what lies above the last object.
    """

    _trim: Callable[[int], int] | None = field(default_factory=_find_trim)
    _last: float = 0.0

    def give_back(self) -> None:
        """Give it back, at most once per EVERY_SECONDS."""
        now = time.monotonic()
        if self._trim is not None and now - self._last >= EVERY_SECONDS:
            self._last = now
            self._trim(0)
