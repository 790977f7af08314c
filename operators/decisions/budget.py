"""A latency budget: which fills an image can afford, by predicted and not by measured time.

The prediction follows from the crop's area and from rates that were measured once, before the
run, and are kept in its `run.json`. The clock is never asked while images are worked, so the same
run gives the same bytes on a busy machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from operators.rows.checks import BUDGET_CHECK, check, judged_rungs
from operators.rows.records import (
    CheckRecord,
)


class Children(Protocol):
    """A region, read by the names of its children."""

    def __getitem__(self, name: str, /) -> Any:
        """A child as a Python value."""


@dataclass(frozen=True)
class Rate:
    """What one fill of a rung costs: `region` milliseconds for every crop, `megapixel` for each
    million of its pixels.
    """

    rung: str
    region: float
    megapixel: float

    def milliseconds(self, area: int) -> float:
        """The predicted cost of one crop of `area` pixels."""
        return self.region + self.megapixel * area / 1e6


@dataclass(frozen=True)
class Budget:
    """At most so many predicted milliseconds of filling for each image.

    Raises KeyError where a rung without a rate is asked for.
    """

    milliseconds: float
    rates: tuple[Rate, ...]

    def predicted(self, rung: str, area: int) -> float:
        """What one fill of a crop of `area` pixels costs, in milliseconds."""
        return {rate.rung: rate for rate in self.rates}[rung].milliseconds(area)

    def spent(self, regions: Sequence[Children]) -> float:
        """What the fills already made of an image's regions were predicted to cost: their checks
        name the rungs.
        """
        return sum(self.predicted(rung, _area(region)) for region in regions for rung in judged_rungs(region["checks"] or []))

    def affords(self, regions: Sequence[Children], chosen: Sequence[int], rung: str) -> list[int]:
        """Which of the `chosen` regions of an image can still be filled by `rung`, the first ones
        first.
        """
        left, kept = self.milliseconds - self.spent(regions), []
        for number in chosen:
            cost = self.predicted(rung, _area(regions[number]))
            if cost <= left:
                kept.append(number)
                left -= cost
        return kept

    def refusal(self, rung: str, region: Children, regions: Sequence[Children]) -> CheckRecord:
        """The check of a fill that was not made: what the image would have cost with it, beside
        the budget.
        """
        value = self.spent(regions) + self.predicted(rung, _area(region))
        return check(rung, BUDGET_CHECK, value, self.milliseconds)


def _area(region: Children) -> int:
    return int(region["crop"]["width"] * region["crop"]["height"])
