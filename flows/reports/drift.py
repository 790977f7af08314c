"""Does a run's input look like what the gate was calibrated on?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from operators.decisions.gate import calibration

TOLERATED = 0.25
"""Share of the places that may lie outside the calibrated range (its 5th to 95th percentile)
without a warning.
"""


class Drift:
    """Counts places inside and outside of the calibrated range of each figure of
    `surface.FIGURES`.
    """

    def __init__(self) -> None:
        self._ranges = calibration().get("inputs", {})
        self._seen: Counter[str] = Counter()
        self._outside: Counter[str] = Counter()

    def add(self, place: Mapping[str, Any]) -> None:
        """The figures of one region that was described."""
        for name, (low, _, high) in self._ranges.items():
            if name in place:
                self._seen[name] += 1
                self._outside[name] += not low <= place[name] <= high

    def warnings(self, rungs: Sequence[str]) -> list[str]:
        """One line for every figure that drifts, and for every rung whose gate was never
        calibrated.
        """
        found = []
        for name, (low, _, high) in self._ranges.items():
            outside = self._outside[name] / max(1, self._seen[name])
            if outside > TOLERATED:
                found.append(f"{name}: {outside:.0%} of the places lie outside the calibrated range {low:.3g} to {high:.3g}")
        uncalibrated = [rung for rung in dict.fromkeys(rungs) if rung not in calibration()["rungs"]]
        return found + [f"rung {rung} has no calibrated gate" for rung in uncalibrated]


def warnings(places: Iterable[Mapping[str, Any]], rungs: Sequence[str]) -> list[str]:
    """`Drift.warnings` of places that are all there."""
    drift = Drift()
    for place in places:
        drift.add(place)
    return drift.warnings(rungs)
