"""The result of a run: images by verdict, failures by code, and its pace."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from flows.telemetry.calls import Calls
from flows.telemetry.progress import Pace, Progress
from operators.ledger.counts import TEXT_ENDS, Counts
from operators.rows.counted import plural
from operators.rows.failure import CODES
from operators.rows.fill_errors import FillCounts
from operators.storage.left_out import LeftOut
from operators.storage.names import printable


@dataclass
class Summary:
    """The counts and the pace of a run, updated while it works."""

    part: str = ""
    """Which part of the run these figures are about, such as `3/16`; empty for an undivided run."""
    total: int = 0
    """Images of the source, or of the part; 0 until it is listed."""
    before: int = 0
    """Images that earlier runs have finished."""
    listed: int = 0
    """Images that the listing has found so far."""
    verdicts: Counter[str] = field(default_factory=Counter)
    """Images that this run has processed, by verdict."""
    failures: Counter[str] = field(default_factory=Counter)
    """Those of them that have a failure, by code."""
    texts: Counter[str] = field(default_factory=Counter)
    """Texts of the images that this run has processed: found, erased, kept and refused."""
    zones_outside: int = 0
    """Images of this run in which a zone of the user's rules holds no pixel."""
    counts_before: Counts = field(default_factory=Counts)
    """The outcome of the images that earlier runs have finished."""
    seconds: float = 0.0
    """Time until the last block arrived."""
    fills: FillCounts = field(default_factory=FillCounts)
    """How the fills of this run went, by rung."""
    left_out: LeftOut = field(default_factory=LeftOut)
    """What is under the source and is no image, by reason."""
    calls: list[Calls] = field(default_factory=list)
    """The calls of all runs into the destination to models over HTTP."""
    report: str = ""
    """The address of the report; empty until it is written."""
    pace: Pace = field(default_factory=Pace)

    @property
    def worked(self) -> int:
        """Images processed by this run."""
        return sum(self.verdicts.values())

    @property
    def transient(self) -> int:
        """Images that a later run should try again."""
        return sum(count for code, count in self.failures.items() if CODES[code].transient)

    def progress(self) -> Progress:
        """A snapshot of the run. Other threads may call this while the run goes on."""
        rates = self.pace.rates()
        done, seconds = self.before + self.worked, self.pace.seconds()
        return Progress(
            total=self.total,
            listed=self.listed,
            done=done,
            verdicts=_add_counts(self.counts_before.verdicts, self.verdicts),
            failures=_add_counts(self.counts_before.failures, self.failures),
            seconds=seconds,
            images_per_second=rates.images_per_second,
            gigabytes_per_second=rates.bytes_per_second / 1e9,
            seconds_left=(self.total - done) * seconds / self.worked if self.worked else None,
            operators=self.pace.activities(),
        )

    def line(self) -> str:
        """The last line that a run prints.

        Its verdicts, texts and failures are those of all runs into the destination. A rung whose
        every fill in this run ended with an error is named, with its first error.
        """
        parts = [f"{f'part {self.part}: ' if self.part else ''}{self.total} {plural(self.total, 'image')}"]
        if self.before:
            parts.append(f"{self.before} done before")
        parts.append(count_text(_add_counts(self.counts_before.verdicts, self.verdicts)))
        texts = text_counts(_add_counts(self.counts_before.texts, self.texts))
        failures = _add_counts(self.counts_before.failures, self.failures)
        codes = ", ".join(f"{code} {count}" for code, count in sorted(failures.items()))
        pace = f"{self.worked / self.seconds:.2f} images/s" if self.seconds and self.worked else ""
        counts = ", ".join(filter(None, parts))
        left_out = f"left out: {'; '.join(self.left_out.lines())}" if self.left_out.total else ""
        zones = f"a zone lies outside {self.zones_outside} {plural(self.zones_outside, 'image')}" if self.zones_outside else ""
        rungs = [*self.fills.lines(), *(each.line() for each in self.calls)]
        parts = [counts, texts, codes, left_out, zones, *rungs, pace, printable(self.report)]
        return " | ".join(part for part in parts if part)

    def figures(self) -> dict[str, Any]:
        """The figures of the last line, as JSON has them."""
        return {
            **({"part": self.part} if self.part else {}),
            "images": self.total,
            "done_before": self.before,
            "verdicts": dict(_add_counts(self.counts_before.verdicts, self.verdicts)),
            "texts": dict(_add_counts(self.counts_before.texts, self.texts)),
            "failures": dict(_add_counts(self.counts_before.failures, self.failures)),
            "left_out": self.left_out.record(),
            "zones_outside": self.zones_outside,
            "calls": {each.alias: each.record() for each in self.calls},
            "seconds": round(self.seconds, 3),
            "report": self.report,
        }


def _add_counts(before: Counter[str], now: Counter[str]) -> Counter[str]:
    """The sum of two counters; copies each in one step, since the run may be counting meanwhile."""
    return Counter(dict(before)) + Counter(dict(now))


VERDICTS = ("edited", "partly_edited", "untouched", "rolled_back", "found", "nothing_found", "skipped", "failed")
"""Every verdict, in the order in which counts are printed."""


def count_text(verdicts: Counter[str]) -> str:
    """The counts in words, such as `3 edited, 1 failed`."""
    return ", ".join(f"{verdicts[name]} {name.replace('_', ' ')}" for name in VERDICTS if verdicts[name])


def text_counts(texts: Counter[str]) -> str:
    """The counts of texts in words, such as `3 texts: 2 erased, 1 kept`; empty without texts."""
    ends = ", ".join(f"{texts[end]} {end}" for end in TEXT_ENDS if texts[end])
    found = f"{texts['found']} {plural(texts['found'], 'text')}"
    return (f"{found}: {ends}" if ends else found) if texts["found"] else ""
