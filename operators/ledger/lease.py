"""The lease: only one run at a time uses a destination."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TypedDict

import psutil

from operators.rows.failure import Failure, RunError
from operators.storage import files as storage


class _Content(TypedDict, total=False):
    """The content of a lease object; a lease that cannot be parsed has only an `owner`."""

    owner: str
    host: str
    pid: int
    started: float
    renewed: float


class Lease:
    """The right of one driver to use a destination.

    The lease is an object in the destination that its holder renews. A holder on the same host
    loses it as soon as its process has ended. Any other holder loses it after `EXPIRY_SECONDS`
    without a renewal, measured by the clock of the waiting driver, so that clocks need not agree.
    """

    RENEWAL_SECONDS = 5.0
    EXPIRY_SECONDS = 20.0

    lost: threading.Event
    """Set when another driver has taken the lease."""

    def __init__(self, dest: str) -> None:
        self._uri = storage.join(dest, "lease.json")
        self._owner = uuid.uuid4().hex
        self._stop = threading.Event()
        self.lost = threading.Event()

    def _encode(self) -> bytes:
        process = psutil.Process()
        content: _Content = {
            "owner": self._owner,
            "host": socket.gethostname(),
            "pid": process.pid,
            "started": process.create_time(),
            "renewed": time.time(),
        }
        return json.dumps(content).encode()

    def _read(self) -> _Content | None:
        try:
            content: _Content = json.loads(storage.read(self._uri))
        except Failure as failure:
            if failure.code == "key_missing":
                return None
            raise
        except ValueError:
            return {"owner": "unreadable"}
        return content

    @staticmethod
    def _is_abandoned(holder: _Content) -> bool:
        if holder.get("host") != socket.gethostname():
            return False
        try:
            return bool(abs(psutil.Process(holder["pid"]).create_time() - holder["started"]) > 1)
        except psutil.NoSuchProcess:
            return True

    def _acquire(self) -> None:
        if storage.create(self._uri, self._encode()):
            return
        self.wait_until_free()
        storage.write(self._uri, self._encode())
        time.sleep(0.2)
        if not self._is_owner():
            raise RunError("destination_in_use", "another run took this destination at the same moment", exit_code=3)

    def wait_until_free(self) -> None:
        """Wait until nobody holds the lease, which a holder that has died loses by time.

        Raises RunError destination_in_use as soon as a holder renews it.
        """
        holder = self._read()
        start = time.monotonic()
        while holder is not None and not self._is_abandoned(holder):
            time.sleep(1)
            if (current := self._read()) is not None and current != holder:
                raise RunError(
                    "destination_in_use",
                    f"another run is using this destination (process {holder.get('pid')} on {holder.get('host')})",
                    exit_code=3,
                )
            holder = current
            if time.monotonic() - start > self.EXPIRY_SECONDS:
                break

    def _is_owner(self) -> bool:
        current = self._read()
        return current is not None and current["owner"] == self._owner

    def _renew(self) -> None:
        while not self._stop.wait(self.RENEWAL_SECONDS):
            try:
                if not self._is_owner():
                    self.lost.set()
                    return
                storage.write(self._uri, self._encode())
            except Failure:
                continue

    @contextmanager
    def hold(self) -> Iterator[Lease]:
        """Hold the lease for the enclosed block; `lost` is set if another driver takes it.

        Raises RunError destination_in_use.
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
