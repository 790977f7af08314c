"""What a run did: images by verdict, failures by code, and its pace."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from flows.telemetry.progress import Pace, Progress
from operators.rows.failure import CODES


@dataclass
class Summary:
    """What a run did: images by verdict, failures by code, and its pace."""

    total: int = 0
    before: int = 0
    """Images that an earlier run had finished."""
    listed: int = 0
    """Images that the listing has met so far."""
    verdicts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    verdicts_before: Counter[str] = field(default_factory=Counter)
    failures_before: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    report: str = ""
    pace: Pace = field(default_factory=Pace)

    @property
    def worked(self) -> int:
        """Images worked by this run."""
        return sum(self.verdicts.values())

    @property
    def transient(self) -> int:
        """Images that a later run should try again."""
        return sum(count for code, count in self.failures.items() if CODES[code].transient)

    def progress(self) -> Progress:
        """How far the run is now; may be asked by another thread."""
        images_per_second, bytes_per_second, _, _ = self.pace.rates()
        done, seconds = self.before + self.worked, self.pace.seconds()
        return Progress(
            total=self.total,
            listed=self.listed,
            done=done,
            verdicts=_together(self.verdicts_before, self.verdicts),
            failures=_together(self.failures_before, self.failures),
            seconds=seconds,
            images_per_second=images_per_second,
            gigabytes_per_second=bytes_per_second / 1e9,
            seconds_left=(self.total - done) * seconds / self.worked if self.worked else None,
            operators=self.pace.activities(),
        )

    def line(self) -> str:
        """The one line that ends a run. Verdicts and failures are those of all runs into the
        destination.
        """
        parts = [f"{self.total} images"]
        if self.before:
            parts.append(f"{self.before} done before")
        parts.append(count_text(_together(self.verdicts_before, self.verdicts)))
        failures = _together(self.failures_before, self.failures)
        codes = ", ".join(f"{code} {count}" for code, count in sorted(failures.items()))
        pace = f"{self.worked / self.seconds:.2f} images/s" if self.seconds and self.worked else ""
        return " | ".join(part for part in (", ".join(filter(None, parts)), codes, pace, self.report) if part)


def _together(before: Counter[str], now: Counter[str]) -> Counter[str]:
    """A sum of copies, each made in one step: the run may be counting meanwhile."""
    return Counter(dict(before)) + Counter(dict(now))


VERDICTS = ("edited", "untouched", "rolled_back", "skipped", "failed")


def count_text(verdicts: Counter[str]) -> str:
    """Images by verdict in words."""
    return ", ".join(f"{verdicts[name]} {name.replace('_', ' ')}" for name in VERDICTS if verdicts[name])
