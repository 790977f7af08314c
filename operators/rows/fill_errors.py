"""The errors of fills: how a region's reason and a row's reasons name them, and their counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from operators.rows.checks import FILL_FAILED, judged_rungs
from operators.rows.failure import failure_of, first_line
from operators.rows.records import RegionRecord

SEPARATOR = "; "
"""What stands between the errors of several rungs in one reason."""


def add_error(reason: str | None, rung: str, error: Exception) -> str:
    """A region's reason with the error of one more fill; the same error is named once."""
    line = f"{FILL_FAILED} {rung}: {first_line(failure_of(error))}"
    lines = split_errors(reason)
    return SEPARATOR.join(lines if line in lines else [*lines, line])


def split_errors(reason: str | None) -> list[str]:
    """The errors that a region's reason names, one line for each."""
    lines = re.split(f"{SEPARATOR}(?={FILL_FAILED} )", reason or "")
    return [line for line in lines if line.startswith(f"{FILL_FAILED} ")]


@dataclass
class FillCounts:
    """How many fills each rung has tried, and how many of them ended with an error."""

    attempts: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    messages: dict[str, str] = field(default_factory=dict)
    """The code and the message of each rung's first error."""

    def add_image(self, regions: Iterable[RegionRecord], reasons: Iterable[str]) -> None:
        """Count the fills of one image, from the checks of its regions and from its reasons."""
        for region in regions:
            checks = region.get("checks") or []
            self.attempts.update(judged_rungs(checks))
            self.errors.update(check["rung"] for check in checks if check["name"] == FILL_FAILED)
        for line in reasons:
            if line.startswith(f"{FILL_FAILED} "):
                rung, _, message = line.removeprefix(f"{FILL_FAILED} ").partition(": ")
                self.messages.setdefault(rung, message)

    def add(self, rung: str, attempts: int, errors: int, message: str | None) -> None:
        """Count fills of one rung; `message` is the code and the message of the first error."""
        self.attempts[rung] += attempts
        self.errors[rung] += errors
        if message is not None:
            self.messages.setdefault(rung, message)

    def broken_rungs(self) -> list[str]:
        """The rungs whose every fill ended with an error."""
        return [rung for rung, errors in self.errors.items() if errors and errors == self.attempts[rung]]

    def lines(self) -> list[str]:
        """One line for each rung whose every fill ended with an error."""
        return [self._line(rung) for rung in self.broken_rungs()]

    def _line(self, rung: str) -> str:
        message = self.messages.get(rung)
        line = f"every fill of {rung} failed ({self.errors[rung]} of {self.attempts[rung]})"
        return line if message is None else f"{line}: {message}"
