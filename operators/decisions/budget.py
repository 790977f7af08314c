"""A latency budget: which fills an image can afford, by predicted instead of measured time.

The prediction follows from the crop's area and from rates. USUAL_RATES are the same on every
machine. For a budget that the user sets, they are measured once, before the run, and stored in its
`run.json`. The clock is not read while images are processed, so the same run gives the same bytes
on a busy machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from operators.rows.checks import BUDGET_CHECK, check, judged_rungs
from operators.rows.records import CheckRecord


class RegionView(Protocol):
    """A region whose children are read by name, such as `table.Region` or a dictionary."""

    def __getitem__(self, name: str, /) -> Any:
        """A child as a Python value."""


@dataclass(frozen=True)
class Rate:
    """The cost of one fill of a rung."""

    rung: str
    region: float
    """Milliseconds for every crop."""
    megapixel: float
    """Milliseconds for each million pixels of a crop."""

    def milliseconds(self, area: int) -> float:
        """The predicted cost of one crop of `area` pixels."""
        return self.region + self.megapixel * area / 1e6


@dataclass(frozen=True)
class Budget:
    """The most predicted milliseconds that the fills of one image may take.

    A rung without a rate costs nothing: its fills are not bounded.
    """

    milliseconds: float
    rates: tuple[Rate, ...]

    def predicted(self, rung: str, area: int) -> float:
        """The cost in milliseconds of one fill of a crop of `area` pixels."""
        return next((rate.milliseconds(area) for rate in self.rates if rate.rung == rung), 0.0)

    def spent(self, regions: Sequence[RegionView]) -> float:
        """The predicted cost of the fills that an image has had; the checks name their rungs."""
        return sum(self.predicted(rung, _area(region)) for region in regions for rung in judged_rungs(region["checks"] or []))

    def affords(self, regions: Sequence[RegionView], chosen: Sequence[int], rung: str) -> list[int]:
        """Which of the `chosen` regions of an image `rung` can still fill, taken in their order.

        A region that costs too much is passed over; later, cheaper ones may still be filled.
        """
        remaining, affordable = self.milliseconds - self.spent(regions), []
        for number in chosen:
            cost = self.predicted(rung, _area(regions[number]))
            if cost <= remaining:
                affordable.append(number)
                remaining -= cost
        return affordable

    def refusal(self, rung: str, region: RegionView, regions: Sequence[RegionView]) -> CheckRecord:
        """The check of a fill that was not made: the image's cost with it, against the budget."""
        value = self.spent(regions) + self.predicted(rung, _area(region))
        return check(rung, BUDGET_CHECK, value, self.milliseconds)


USUAL_RATES = (
    Rate("ground", 3, 1_100),
    Rate("hybrid", 1, 5_900),
    Rate("patchmatch", 1, 5_300),
    Rate("builtin", 18, 7_100),
)
"""Rates of the shipped rungs on one core, as `python -m benchmarks.fill_rates` prints them on a
machine that does nothing else.

They are those of busy texture; plain ground costs `hybrid` as much as `ground`.
"""
USUAL_BUDGET = Budget(120_000, USUAL_RATES)
"""What the fills of one image may cost if the user sets no budget: two minutes of one core."""


def _area(region: RegionView) -> int:
    return int(region["crop"]["width"] * region["crop"]["height"])
