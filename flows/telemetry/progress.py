"""How far a run is, how fast it goes, and what each operator is doing: figures for the terminal
and for metrics.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from cluster.profile import Profile
    from flows.flow import Flow

WINDOW_SECONDS = 60.0
"""Rates are those of the last minute, so that a warm-up and a stop are seen as such."""


@dataclass(frozen=True)
class StageCounts:
    """What the engine counts of one stage; None where it does not count it, or not yet."""

    queued: int | None = None
    """Images that wait before the stage."""
    at_work: int | None = None
    """Images that the stage has taken and not yet handed on."""
    processes: int | None = None
    """Living processes of its pool; None for tasks."""


@dataclass(frozen=True)
class Activity:
    """What one operator is doing."""

    name: str
    stage: str
    """The pool or kind of task that it is in; several operators share one where they are fused.
    """
    queued: int | None
    """Images that wait before its stage; None before Ray has begun."""
    at_work: int | None
    """Images that its stage has taken and not yet handed on."""
    busy: float
    """Seconds that it worked on images for each second that went by: how many were worked at a
    time.
    """
    workers: int | None
    """Processes of its pool; None for short tasks."""
    milliseconds: float
    """For one image, on average."""

    @property
    def share(self) -> float | None:
        """The share of its workers' time that it was busy, 0..1; None for short tasks."""
        return self.busy / self.workers if self.workers else None


@dataclass(frozen=True)
class Progress:
    """A run at one moment. Counts are over this run and those before it into the same
    destination.
    """

    total: int
    """Images of the source; 0 while it is listed for the first time."""
    listed: int
    done: int
    verdicts: Mapping[str, int]
    failures: Mapping[str, int]
    seconds: float
    """Since the first image was waited for."""
    images_per_second: float
    """Over the last minute, as the following ones."""
    gigabytes_per_second: float
    """Of source files, in units of 10^9 bytes."""
    seconds_left: float | None
    """At the rate of the whole run so far; None before the first image."""
    operators: tuple[Activity, ...]


@dataclass
class _Moment:
    at: float
    images: int
    bytes: int
    milliseconds: Counter[str]
    """By operator."""


@dataclass
class Pace:
    """What a run's blocks tell as they arrive. Times are of a monotonic clock, in seconds."""

    started: float | None = None
    worked: int = 0
    _moments: deque[_Moment] = field(default_factory=deque)
    _layout: tuple[tuple[str, tuple[str, ...], int | None], ...] = ()
    _counts: Callable[[], Sequence[StageCounts]] | None = None

    def watch(self, flow: Flow, profile: Profile, counts: Callable[[], Sequence[StageCounts]] | None = None) -> None:
        """Begin: images of `flow`, laid out by `profile`, will come; `counts` asks the engine for
        the counts of each stage.
        """
        self.started = time.monotonic()
        self._counts = counts
        layout = []
        for name, operator in flow.stages(profile):
            members = tuple(step.name for step in operator.steps)
            pool = profile.stage(name).pool
            layout.append((name, members, pool[1] if pool else None))
        self._layout = tuple(layout)

    def saw(self, block: pa.Table) -> None:
        """A block of finished rows has arrived."""
        spent: Counter[str] = Counter()
        for timings in block["timings"].to_pylist():
            for timing in timings or []:
                spent[timing["operator"]] += timing["total"]
        self.worked += len(block)
        size = sum(value or 0 for value in block["size"].to_pylist())
        now = time.monotonic()
        self._moments.append(_Moment(now, len(block), size, spent))
        while self._moments[0].at < now - WINDOW_SECONDS:
            self._moments.popleft()

    def rates(self) -> tuple[float, float, Counter[str], int]:
        """Images a second, bytes a second, milliseconds by operator a second, and images, all of
        the last minute.
        """
        now = time.monotonic()
        recent = [moment for moment in list(self._moments) if moment.at >= now - WINDOW_SECONDS]
        if not recent or self.started is None:
            return 0.0, 0.0, Counter(), 0
        seconds = max(min(WINDOW_SECONDS, now - self.started), 1e-3)
        spent: Counter[str] = Counter()
        for moment in recent:
            spent.update(moment.milliseconds)
        images = sum(moment.images for moment in recent)
        per_second = Counter({name: value / seconds for name, value in spent.items()})
        return images / seconds, sum(moment.bytes for moment in recent) / seconds, per_second, images

    def seconds(self) -> float:
        """Since the first image was waited for."""
        return 0.0 if self.started is None else time.monotonic() - self.started

    def activities(self) -> tuple[Activity, ...]:
        """One for each operator, in the flow's order."""
        rate, _, spent, _ = self.rates()
        counts = self._counts() if self._counts else [StageCounts()] * len(self._layout)
        return tuple(
            Activity(
                name=member,
                stage=stage,
                queued=stage_counts.queued,
                at_work=stage_counts.at_work,
                busy=spent[member] / 1000,
                workers=stage_counts.processes or workers,
                milliseconds=spent[member] / rate if rate else 0.0,
            )
            for (stage, members, workers), stage_counts in zip(self._layout, counts, strict=True)
            for member in members
        )
