"""What people have decided about the pictures of a run: an append-only log beside its ledger.

Each writing process has its own files under DEST/review/decisions, so several processes can write
at the same time. A file is put again as a whole, atomically, for every decision that it gains: when
`append` returns, the decision is on the disk or in the store, and a crash leaves either the old
file or the new one. Nothing is ever changed or removed: a later decision replaces an earlier one
when they are read.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from typing import get_args, get_type_hints

from operators.rows.records import JsonObject
from operators.storage import files as storage

ACCEPT, REJECT, REDO = "accept", "reject", "redo"
ACTIONS = (ACCEPT, REJECT, REDO)
UNDECIDED, ACCEPTED, REJECTED, TO_REDO, REDONE = "undecided", "accepted", "rejected", "redo", "redone"
STATUSES = (UNDECIDED, ACCEPTED, REJECTED, TO_REDO, REDONE)
"""How a picture stands; a redone one waits for somebody to look at it again."""
REVIEWED = "reviewed: "
"""The beginning of the note of a row that decisions were carried out on; the plan's key follows."""
PER_FILE = 100
"""Decisions in one file: each of them costs one upload of its file."""
READS_AT_ONCE = 16


@dataclass(frozen=True)
class Decision:
    """One decision of one person about a picture, or about one region of it."""

    image_id: str
    path: str
    action: str
    """`accept` the picture as it is, `reject` it, so that the original is delivered again, or
    `redo` it.
    """
    who: str
    why: str = ""
    region: int | None = None
    """The region's place among those of the ledger's row, from 0; None for the whole picture."""
    rung: str = ""
    """The model that is to fill again; empty for the first one of the run."""
    seed: int | None = None
    """The seed of that fill; None for the run's."""
    mask: str = ""
    """File name of the mask to fill, under DEST/review/masks; empty for the mask of the run."""
    delivered: str = ""
    """The key of the plan that the delivered file had in it when it was looked at."""
    verdict: str = ""
    """What the run said of the picture when it was decided."""
    doubt: float = 0.0
    """How doubtful that was, as the page sorts it."""
    when: str = ""
    """UTC, ISO 8601 with microseconds; the log sets it."""
    decision_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for name, value in vars(self).items():
            if not isinstance(value, get_args(hints[name]) or hints[name]):
                raise ValueError(f"{name} is {type(value).__name__}")
        if self.action not in ACTIONS:
            raise ValueError(f"action {self.action!r}: choose from {', '.join(ACTIONS)}")
        if not self.who.strip():
            raise ValueError("who decides is missing")


@dataclass(frozen=True)
class Plan:
    """The changes that the reviewers want to one picture of the run."""

    whole: Decision | None = None
    """The rejection of the whole picture, or how all of it is filled again."""
    regions: Mapping[int, Decision] = field(default_factory=dict)
    """What differs for single regions; an `accept` brings back what the run made."""

    @property
    def decisions(self) -> list[Decision]:
        """The decision about the whole picture, then those about regions in their order."""
        return [*([self.whole] if self.whole else []), *(self.regions[number] for number in sorted(self.regions))]

    @property
    def key(self) -> str:
        """A hash of what is to be done, 16 hexadecimal digits; empty for nothing."""
        content = [[each.action, each.region, each.rung, each.seed, each.mask] for each in self.decisions]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16] if content else ""

    def of(self, region: int) -> Decision | None:
        """What is decided of a region: its own decision, or that about the whole picture."""
        return self.regions.get(region, self.whole)


@dataclass(frozen=True)
class Standing:
    """What holds for one picture after all decisions about it.

    A decision about the whole picture ends those about its regions before it. Whoever accepts a
    picture accepts what is delivered: its plan is that of the delivered file again.
    """

    plan: Plan = Plan()
    last: Decision | None = None
    earlier: Mapping[str, Plan] = field(default_factory=dict)
    """The plans that have held, by their keys."""

    def after(self, decision: Decision) -> Standing:
        """What holds after one more decision."""
        known = {**self.earlier, self.plan.key: self.plan}
        return Standing(self._changed(decision, known.get(decision.delivered, Plan())), decision, known)

    def _changed(self, decision: Decision, delivered: Plan) -> Plan:
        accepts = decision.action == ACCEPT
        if decision.region is None:
            return delivered if accepts else Plan(decision)
        regions = {number: each for number, each in self.plan.regions.items() if number != decision.region}
        changed = delivered.of(decision.region) if accepts else decision
        if changed is not None or self.plan.whole is not None:
            regions[decision.region] = changed or decision
        return Plan(self.plan.whole, regions)

    def status(self, delivered: str) -> str:
        """One of STATUSES, for a delivered file that has the plan with this key in it."""
        actions = {each.action for each in self.plan.decisions}
        if self.last is None:
            return UNDECIDED
        if REDO in actions:
            if self.plan.key != delivered:
                return TO_REDO
            return ACCEPTED if self.last.action == ACCEPT else REDONE
        return REJECTED if REJECT in actions else ACCEPTED


class DecisionLog:
    """Appends decisions to files of this process in a destination; safe to use from threads."""

    def __init__(self, dest: str) -> None:
        self._folder = decisions_folder(dest)
        self._writer = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:12]}"
        self._file = 0
        self._lines: list[str] = []
        self._last = 0
        self._lock = threading.Lock()

    def append(self, decision: Decision) -> Decision:
        """Store a decision durably before this returns, and return it with its time.

        The times of a log rise. Raises Failure; the decision may then be stored or not, and may be
        appended again.
        """
        with self._lock:
            self._last = max(time.time_ns() // 1000, self._last + 1)
            decision = replace(decision, when=_in_utc(self._last))
            if len(self._lines) >= PER_FILE:
                self._file, self._lines = self._file + 1, []
            lines = [*self._lines, json.dumps(asdict(decision), ensure_ascii=False)]
            uri = storage.join(self._folder, f"{self._writer}-{self._file:06d}.jsonl")
            storage.write(uri, "".join(f"{line}\n" for line in lines).encode())
            self._lines = lines
        return decision


def decisions_folder(dest: str) -> str:
    """The folder of the files of decisions."""
    return storage.join(dest, "review", "decisions")


def masks_folder(dest: str) -> str:
    """The folder of the masks that people have drawn."""
    return storage.join(dest, "review", "masks")


def applied_uri(dest: str) -> str:
    """An object that changes whenever decisions were carried out."""
    return storage.join(dest, "review", "applied")


def read_decisions(dest: str) -> list[Decision]:
    """All decisions in the order of their times, each once. Raises Failure."""
    uris = [uri for uri in storage.list_uris(decisions_folder(dest)) if uri.endswith(".jsonl")]
    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        contents = list(pool.map(storage.read, uris))
    records: list[JsonObject] = [json.loads(line) for content in contents for line in content.decode().splitlines()]
    unique = {record["decision_id"]: Decision(**record) for record in records}
    return sorted(unique.values(), key=lambda decision: (decision.when, decision.decision_id))


def standings(decisions: Iterable[Decision]) -> dict[str, Standing]:
    """What holds for each picture, by its image_id, after decisions in their order."""
    result: dict[str, Standing] = {}
    for decision in decisions:
        result[decision.image_id] = result.get(decision.image_id, Standing()).after(decision)
    return result


def carried_out(notes: Iterable[str] | None) -> str:
    """The key of the plan that was carried out on a row with these notes; empty without one."""
    return next((note.removeprefix(REVIEWED) for note in notes or () if note.startswith(REVIEWED)), "")


def _in_utc(microseconds: int) -> str:
    seconds, rest = divmod(microseconds, 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:06d}Z"
