"""The progress of a run, its rates, and what each operator is doing, for terminal and metrics."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from cluster.profile import Profile
    from flows.flow import Flow

WINDOW_SECONDS = 60.0
"""Rates cover the last minute, so that they show a warm-up or a standstill."""


@dataclass(frozen=True)
class StageCounts:
    """The engine's counts of one stage; None for a count that is not known, or not yet."""

    queued: int | None = None
    """Images that wait for the stage."""
    at_work: int | None = None
    """Images that the stage has taken and not yet passed on."""
    processes: int | None = None
    """Living processes of its pool; None for tasks."""


@dataclass(frozen=True)
class Activity:
    """The activity of one operator."""

    name: str
    stage: str
    """The pool or kind of task to which it belongs; fused operators share one."""
    queued: int | None
    """Images that wait for its stage; None before Ray has started."""
    at_work: int | None
    """Images that its stage has taken and not yet passed on."""
    busy: float
    """Working seconds per second, which is how many images it processes at a time."""
    workers: int | None
    """Processes of its pool; None for short tasks."""
    milliseconds: float
    """Average time per image."""
    storage: bool = False
    """Whether it waits for storage, with several images at a time, while others compute."""

    @property
    def share(self) -> float | None:
        """The share of its workers' time that it is busy, 0..1.

        None for short tasks, and for an operator that waits for storage.
        """
        return self.busy / self.workers if self.workers and not self.storage else None


@dataclass(frozen=True)
class Progress:
    """A snapshot of a run. Counts include the earlier runs into the same destination."""

    total: int
    """Images of the source; 0 while the source is being listed for the first time."""
    listed: int
    """Images that the listing has found so far."""
    done: int
    verdicts: Mapping[str, int]
    """Images by verdict."""
    failures: Mapping[str, int]
    """Failed images by code."""
    seconds: float
    """Since the run started to wait for its first image."""
    images_per_second: float
    """Over the last minute."""
    gigabytes_per_second: float
    """Source files over the last minute, in units of 10^9 bytes."""
    seconds_left: float | None
    """Estimated from the rate of the whole run so far; None before the first image."""
    operators: tuple[Activity, ...]

    def figures(self) -> dict[str, Any]:
        """The snapshot as JSON has it, with each operator once."""
        plain = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            **plain,
            "verdicts": dict(self.verdicts),
            "failures": dict(self.failures),
            "operators": [asdict(operator) for operator in operators_once(self.operators)],
        }


def operators_once(activities: Sequence[Activity]) -> list[Activity]:
    """One activity for each name: an operator that a flow has several times is shown once.

    Its counts are the sums over its stages; its times are already those of all of them.
    """
    stages: dict[str, dict[str, Activity]] = {}
    for activity in activities:
        stages.setdefault(activity.name, {}).setdefault(activity.stage, activity)
    return [
        replace(
            next(iter(parts.values())),
            queued=_total(part.queued for part in parts.values()),
            at_work=_total(part.at_work for part in parts.values()),
            workers=_total(part.workers for part in parts.values()),
        )
        for parts in stages.values()
    ]


def _total(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


@dataclass
class _Arrival:
    """One block of finished rows."""

    time: float
    images: int
    bytes: int
    milliseconds: Counter[str]
    """By operator."""


class _Stage(NamedTuple):
    """One stage of the flow as the profile lays it out."""

    name: str
    operators: tuple[str, ...]
    largest_pool: int | None
    """None for tasks."""
    storage: frozenset[str] = frozenset()
    """Those of the operators that wait for storage."""


class Rates(NamedTuple):
    """Rates over the last minute."""

    images_per_second: float
    bytes_per_second: float
    milliseconds_per_second: Counter[str]
    """Working time by operator."""


@dataclass
class Pace:
    """The speed of a run, from its blocks as they arrive.

    Times are of a monotonic clock, in seconds.
    """

    started: float | None = None
    worked: int = 0
    """Images that have arrived."""
    _arrivals: deque[_Arrival] = field(default_factory=deque)
    """Those of the last minute."""
    _stages: tuple[_Stage, ...] = ()
    _counts: Callable[[], Sequence[StageCounts]] | None = None

    def watch(self, flow: Flow, profile: Profile, counts: Callable[[], Sequence[StageCounts]] | None = None) -> None:
        """Start the clock for images of `flow`, laid out by `profile`.

        `counts` returns the engine's counts of each stage, in order.
        """
        self.started = time.monotonic()
        self._counts = counts
        stages = []
        for name, operator in flow.stages(profile):
            pool = profile.stage(name).pool
            waiting = frozenset(step.name for step in operator.steps if step.storage)
            stages.append(_Stage(name, tuple(step.name for step in operator.steps), pool[1] if pool else None, waiting))
        self._stages = tuple(stages)

    def add_block(self, block: pa.Table) -> None:
        """Record the arrival of a block of finished rows."""
        spent: Counter[str] = Counter()
        for timings in block["timings"].to_pylist():
            for timing in timings or []:
                spent[timing["operator"]] += timing["total"]
        self.worked += len(block)
        size = sum(value or 0 for value in block["size"].to_pylist())
        now = time.monotonic()
        self._arrivals.append(_Arrival(now, len(block), size, spent))
        while self._arrivals[0].time < now - WINDOW_SECONDS:
            self._arrivals.popleft()

    def rates(self) -> Rates:
        """The rates over the last minute."""
        now = time.monotonic()
        # A copy, since another thread may add a block meanwhile.
        recent = [arrival for arrival in list(self._arrivals) if arrival.time >= now - WINDOW_SECONDS]
        if not recent or self.started is None:
            return Rates(0.0, 0.0, Counter())
        seconds = max(min(WINDOW_SECONDS, now - self.started), 1e-3)
        spent: Counter[str] = Counter()
        for arrival in recent:
            spent.update(arrival.milliseconds)
        return Rates(
            images_per_second=sum(arrival.images for arrival in recent) / seconds,
            bytes_per_second=sum(arrival.bytes for arrival in recent) / seconds,
            milliseconds_per_second=Counter({name: value / seconds for name, value in spent.items()}),
        )

    def seconds(self) -> float:
        """Seconds since `watch` was called; 0 before."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    def activities(self) -> tuple[Activity, ...]:
        """The activity of each operator, in the flow's order."""
        rates = self.rates()
        spent, rate = rates.milliseconds_per_second, rates.images_per_second
        counts = self._counts() if self._counts else [StageCounts()] * len(self._stages)
        return tuple(
            Activity(
                name=operator,
                stage=stage.name,
                queued=stage_counts.queued,
                at_work=stage_counts.at_work,
                busy=spent[operator] / 1000,
                workers=stage_counts.processes or stage.largest_pool,
                milliseconds=spent[operator] / rate if rate else 0.0,
                storage=operator in stage.storage,
            )
            for stage, stage_counts in zip(self._stages, counts, strict=True)
            for operator in stage.operators
        )
