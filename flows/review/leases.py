"""Each picture is handed to one reviewer, by a lease that expires."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Hold:
    """Who looks at a picture, and until when by the clock of the leases."""

    seat: str
    """The browser page that holds it, so that two people of one name are two."""
    who: str
    until: float


class Leases:
    """The pictures that are being looked at; safe to use from threads.

    Leases are in memory: after a crash of the server every picture is free again.
    """

    def __init__(self, seconds: float = 90.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._clock = clock
        self._holds: dict[str, Hold] = {}
        self._lock = threading.Lock()

    def take(self, picture: str, seat: str, who: str) -> Hold | None:
        """Hold a picture, or hold it longer. Return the hold of somebody else, None on success."""
        with self._lock:
            held = self._current(picture)
            if held is not None and held.seat != seat:
                return held
            self._holds[picture] = Hold(seat, who, self._clock() + self.seconds)
            return None

    def give_back(self, picture: str, seat: str) -> None:
        """Let others have a picture."""
        with self._lock:
            held = self._current(picture)
            if held is not None and held.seat == seat:
                del self._holds[picture]

    def held_by_others(self, seat: str) -> dict[str, str]:
        """The pictures that others hold, each with who does."""
        with self._lock:
            holds = {picture: self._current(picture) for picture in list(self._holds)}
            return {picture: hold.who for picture, hold in holds.items() if hold is not None and hold.seat != seat}

    def _current(self, picture: str) -> Hold | None:
        held = self._holds.get(picture)
        if held is not None and held.until <= self._clock():
            del self._holds[picture]
            return None
        return held
