"""Detect inputs that differ from those that the gate was calibrated on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from operators.decisions.gate import calibration

TOLERATED = 0.25
"""Share of the regions that may lie outside the calibrated range without a warning.

The range goes from the 5th to the 95th percentile of a figure.
"""


class Drift:
    """Counts regions outside the calibrated range of each figure of `surface.FIGURES`."""

    def __init__(self) -> None:
        self._ranges = calibration().get("inputs", {})
        self._total: Counter[str] = Counter()
        self._outside: Counter[str] = Counter()

    def add(self, place: Mapping[str, Any]) -> None:
        """Add the figures of one described region."""
        for name, (low, _, high) in self._ranges.items():
            if name in place:
                self._total[name] += 1
                self._outside[name] += not low <= place[name] <= high

    def warnings(self, rungs: Sequence[str]) -> list[str]:
        """One line for each figure that drifts, and for each rung without a calibrated gate."""
        lines = []
        for name, (low, _, high) in self._ranges.items():
            outside = self._outside[name] / max(1, self._total[name])
            if outside > TOLERATED:
                lines.append(f"{name}: {outside:.0%} of the places lie outside the calibrated range {low:.3g} to {high:.3g}")
        uncalibrated = [rung for rung in dict.fromkeys(rungs) if rung not in calibration()["rungs"]]
        return lines + [f"rung {rung} has no calibrated gate" for rung in uncalibrated]


def warnings(places: Iterable[Mapping[str, Any]], rungs: Sequence[str]) -> list[str]:
    """`Drift.warnings` of regions in memory, each a mapping from figure to value."""
    drift = Drift()
    for place in places:
        drift.add(place)
    return drift.warnings(rungs)
