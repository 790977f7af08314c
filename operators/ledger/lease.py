"""The lease: one run at a time works a destination."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from operators.rows.failure import Failure, RunError
from operators.storage import files as storage


class Lease:
    """One driver at a time into a destination.

    The lease is an object that its holder renews. A driver of the same host whose process is gone
    has lost it at once; any other one when it has not renewed it for `EXPIRY_SECONDS`, measured
    by the waiting driver's own clock, so that clocks need not agree.
    """

    RENEWAL_SECONDS = 5.0
    EXPIRY_SECONDS = 20.0

    def __init__(self, dest: str) -> None:
        self._uri = storage.joined(dest, "lease.json")
        self._owner = uuid.uuid4().hex
        self._stop = threading.Event()
        self.lost = threading.Event()

    def _content(self) -> bytes:
        process = psutil.Process()
        return json.dumps(
            {
                "owner": self._owner,
                "host": socket.gethostname(),
                "pid": process.pid,
                "started": process.create_time(),
                "renewed": time.time(),
            }
        ).encode()

    def _current(self) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads(storage.read(self._uri))
        except Failure as failure:
            if failure.code == "key_missing":
                return None
            raise
        except ValueError:
            return {"owner": "unreadable"}
        return content

    @staticmethod
    def _abandoned(holder: dict[str, Any]) -> bool:
        if holder.get("host") != socket.gethostname():
            return False
        try:
            return bool(abs(psutil.Process(holder["pid"]).create_time() - holder["started"]) > 1)
        except psutil.NoSuchProcess:
            return True

    def _acquire(self) -> None:
        if storage.create(self._uri, self._content()):
            return
        holder = self._current()
        waited_since = time.monotonic()
        while holder is not None and not self._abandoned(holder):
            time.sleep(1)
            if (now := self._current()) is not None and now != holder:
                raise RunError(
                    "destination_in_use",
                    f"another run holds this destination (process {holder.get('pid')} on {holder.get('host')})",
                    exit_code=3,
                )
            holder = now
            if time.monotonic() - waited_since > self.EXPIRY_SECONDS:
                break
        storage.write(self._uri, self._content())
        time.sleep(0.2)
        if (now := self._current()) is None or now["owner"] != self._owner:
            raise RunError("destination_in_use", "another run took this destination at the same moment", exit_code=3)

    def _renew(self) -> None:
        while not self._stop.wait(self.RENEWAL_SECONDS):
            try:
                now = self._current()
                if now is None or now["owner"] != self._owner:
                    self.lost.set()
                    return
                storage.write(self._uri, self._content())
            except Failure:
                continue

    @contextmanager
    def hold(self) -> Iterator[Lease]:
        """Hold the lease for the enclosed block; `lost` is set if another driver takes it. Raises
        RunError.
        """
        self._acquire()
        thread = threading.Thread(target=self._renew, name="lease", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(timeout=10)
            if not self.lost.is_set():
                with suppress(Failure):
                    storage.remove(self._uri)
