"""Give memory that a process has freed back to the system."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

MOST_HELD = 192 * 1024**2
"""Bytes of freed memory that a process may hold for its next picture.

The system clears every page that goes back before a process may use it again. For pictures of a
megapixel that took a few percent of a run's processor time.
"""


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
    _resident: Callable[[], int] = lambda: psutil.Process().memory_info().rss
    _kept: int = 0

    def give_back(self) -> None:
        """Give it back if the process holds MOST_HELD bytes more than when it last gave back."""
        if self._trim is not None and self._resident() - self._kept > MOST_HELD:
            self._trim(0)
            self._kept = self._resident()
