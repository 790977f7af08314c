"""The name of a stage: an operator, and its number if the flow has that operator several times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DEFAULT = "default"
"""The entry that serves every operator that has no entry."""


@dataclass(frozen=True)
class StageName:
    """An operator's name and its number in the flow.

    As text it is `verify`, or `verify (2)` for the second one. An operator's family is the part
    of its name before the first underscore: `inpaint_telea` is of the family `inpaint`.
    """

    operator: str
    number: int | None = None
    """Counts from 1; None if the flow has the operator once."""

    @classmethod
    def parse(cls, text: str) -> StageName:
        """Parse the text of a stage name; the reverse of `str`."""
        numbered = re.fullmatch(r"(.+) \((\d+)\)", text)
        return cls(numbered[1], int(numbered[2])) if numbered else cls(text)

    @classmethod
    def number_all(cls, operators: Sequence[str]) -> list[StageName]:
        """The stage names of a flow's operators, in order; only repeated operators get numbers."""
        return [
            cls(name, operators[:position].count(name) + 1 if operators.count(name) > 1 else None)
            for position, name in enumerate(operators)
        ]

    def __str__(self) -> str:
        return self.operator if self.number is None else f"{self.operator} ({self.number})"

    def entry(self, entries: Iterable[str]) -> str | None:
        """The most specific of a profile's entries for this stage; None if there is none.

        That is the entry of the stage itself, of its operator, of the operator's family, or
        `default`.
        """
        existing = set(entries)
        candidates = (str(self), self.operator, self.operator.partition("_")[0], DEFAULT)
        return next((name for name in candidates if name in existing), None)
