"""What the calls of a run to models over HTTP may cost, what they have cost, and their answers.

Each process records the calls that it has started in one object under `DEST/calls/accounts`. It
records a call before it sends it, and only then reads the objects of all processes. So of two
processes that want the last call, at most one gets it, and the limits hold for all machines of a
run together, also after a crash. A call whose answer was lost counts.

Every answer that was paid for is kept under `DEST/calls/answers`. A run that is resumed, a worker
that takes over from another, and a review get it from there.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field

from operators.rows.failure import Failure
from operators.rows.records import JsonObject
from operators.storage import files as storage

FOLDER = "calls"
"""The folder in a destination."""
ACCOUNTS, ANSWERS = "accounts", "answers"
USUAL_CALLS = 1000
"""The most calls of a run if the user says nothing: a mistake should not cost a fortune."""


@dataclass(frozen=True)
class CallLimits:
    """What the calls of one run may cost, and how fast they may follow each other."""

    most_calls: int | None = None
    """Calls of the run, over all machines and attempts; None for no limit."""
    most_cost: float | None = None
    """The most that they may cost together; None for no limit."""
    call_cost: float = 0.0
    """What a call costs if the server does not say it."""
    per_minute: float | None = None
    """Calls a minute from one machine; None for no limit."""
    at_once: int = 4
    """Calls at the same time from one machine."""


@dataclass
class Totals:
    """The calls to one model."""

    calls: int = 0
    """Calls that were sent and may have been charged, without those that the server refused."""
    cost: float = 0.0
    """In the currency of `CallLimits.call_cost`."""
    answers: int = 0
    reported: Counter[str] = field(default_factory=Counter)
    """The models that the server says it has used, with the number of answers."""

    def add(self, other: Totals) -> None:
        """Add the calls of another process."""
        self.calls += other.calls
        self.cost += other.cost
        self.answers += other.answers
        self.reported += other.reported

    def record(self) -> JsonObject:
        """The fields, as JSON has them."""
        return {**asdict(self), "cost": round(self.cost, 6), "reported": dict(self.reported)}

    @classmethod
    def of(cls, record: JsonObject) -> Totals:
        """From a `record`."""
        return cls(**{**record, "reported": Counter(record["reported"])})


class CallsSpentError(Exception):
    """The run may make no further call; `value` is what it would have come to."""

    def __init__(self, value: float, limit: float) -> None:
        super().__init__(f"{value:g} > {limit:g}")
        self.value = value
        self.limit = limit


class Account:
    """The calls of one process for one destination; threads share it."""

    def __init__(self, dest: str) -> None:
        self._dest = dest
        self._name = f"{uuid.uuid4().hex}.json"
        self._own: dict[str, Totals] = {}
        self._lock = threading.Lock()

    def begin(self, alias: str, limits: CallLimits) -> None:
        """Add a call that is about to be made. Raises CallsSpentError, and Failure."""
        with self._lock:
            own = self._own.setdefault(alias, Totals())
            bounded = limits.most_calls is not None or limits.most_cost is not None
            if bounded:
                # Full limits are the common case once they are reached, and must cost no write.
                _check(self._totals(alias), limits, 1)
            own.calls += 1
            own.cost += limits.call_cost
            self._store()
            if bounded:
                try:
                    _check(self._totals(alias), limits, 0)
                except CallsSpentError:
                    self._take_back(own, limits)
                    raise

    def refused(self, alias: str, limits: CallLimits) -> None:
        """Take a call back that the server has refused, since nobody charges for it."""
        with self._lock:
            self._take_back(self._own[alias], limits)

    def answered(self, alias: str, limits: CallLimits, cost: float, model: str) -> None:
        """Note the answer of a call, its cost, and the model that the server reports."""
        with self._lock:
            own = self._own[alias]
            own.answers += 1
            own.cost += cost - limits.call_cost
            if model:
                own.reported[model] += 1
            self._store()

    def kept(self, key: str) -> bytes | None:
        """The answer to the same request of the same run, if there is one. Raises Failure."""
        if not self._dest:
            return None
        try:
            return storage.read(self._place(key))
        except Failure as failure:
            if failure.code == "key_missing":
                return None
            raise

    def keep(self, key: str, answer: bytes) -> None:
        """Keep an answer; one that cannot be kept is used all the same."""
        if self._dest:
            with suppress(Failure):
                storage.write(self._place(key), answer)

    def _place(self, key: str) -> str:
        return storage.join(self._dest, FOLDER, ANSWERS, key[:2], f"{key}.png")

    def _take_back(self, own: Totals, limits: CallLimits) -> None:
        own.calls -= 1
        own.cost -= limits.call_cost
        self._store()

    def _store(self) -> None:
        if self._dest:
            content = {alias: totals.record() for alias, totals in self._own.items()}
            storage.write(storage.join(self._dest, FOLDER, ACCOUNTS, self._name), json.dumps(content).encode())

    def _totals(self, alias: str) -> Totals:
        """The calls of all processes: this one's as it knows them, the others' as they say."""
        totals = Totals()
        totals.add(self._own.get(alias, Totals()))
        if self._dest:
            for uri in _objects(self._dest):
                if not uri.endswith(self._name):
                    totals.add(_read(uri).get(alias, Totals()))
        return totals


def totals_of(dest: str) -> dict[str, Totals]:
    """The calls of all processes of all runs into a destination, by the model's alias.

    Raises Failure.
    """
    totals: dict[str, Totals] = {}
    for uri in _objects(dest):
        for alias, each in _read(uri).items():
            totals.setdefault(alias, Totals()).add(each)
    return totals


def are_spent(totals: Totals, limits: CallLimits) -> bool:
    """Whether the limits allow no further call."""
    try:
        _check(totals, limits, 1)
    except CallsSpentError:
        return True
    return False


def account_of(dest: str) -> Account:
    """This process's account for a destination; "" keeps it in memory only."""
    with _lock:
        return _accounts.setdefault(dest, Account(dest))


_accounts: dict[str, Account] = {}
"""The accounts of this process by destination."""
_lock = threading.Lock()


def _check(totals: Totals, limits: CallLimits, more: int) -> None:
    """Raise CallsSpentError if `more` calls beyond the totals would exceed a limit."""
    if limits.most_calls is not None and totals.calls + more > limits.most_calls:
        raise CallsSpentError(totals.calls + more, limits.most_calls)
    cost = totals.cost + more * limits.call_cost
    # Sums of prices such as 0.04 are a little off.
    if limits.most_cost is not None and cost > limits.most_cost * (1 + 1e-9):
        raise CallsSpentError(cost, limits.most_cost)


def _objects(dest: str) -> list[str]:
    return storage.list_uris(storage.join(dest, FOLDER, ACCOUNTS))


def _read(uri: str) -> dict[str, Totals]:
    return {alias: Totals.of(record) for alias, record in json.loads(storage.read(uri)).items()}
