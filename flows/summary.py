"""What a run did: images by verdict, failures by code, and its pace."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from operators.failure import CODES


@dataclass
class Summary:
    """What a run did: images by verdict, failures by code, and its pace."""

    total: int = 0
    before: int = 0
    """Images that an earlier run had finished."""
    verdicts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    report: str = ""

    @property
    def worked(self) -> int:
        """Images worked by this run."""
        return sum(self.verdicts.values())

    @property
    def transient(self) -> int:
        """Images that a later run should try again."""
        return sum(count for code, count in self.failures.items() if CODES[code].transient)

    def line(self) -> str:
        """The one line that ends a run."""
        parts = [f"{self.total} images"]
        if self.before:
            parts.append(f"{self.before} done before")
        parts += [f"{self.verdicts[name]} {name.replace('_', ' ')}" for name in VERDICTS if self.verdicts[name]]
        codes = ", ".join(f"{code} {count}" for code, count in sorted(self.failures.items()))
        pace = f"{self.worked / self.seconds:.2f} images/s" if self.seconds and self.worked else ""
        return " | ".join(part for part in (", ".join(parts), codes, pace, self.report) if part)


VERDICTS = ("edited", "untouched", "rolled_back", "skipped", "failed")
