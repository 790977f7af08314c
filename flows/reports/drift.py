"""Detect inputs that differ from those that the gate was calibrated on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from operators.decisions.gate import calibration
from operators.metrics.surface import FIGURES

TOLERATED = 0.2
"""Share of the texts that may lie outside the calibrated range without a warning; of the texts of
the calibration about 0.02 do.
"""
MARGIN = 0.25
"""Share of the calibrated range (1st to 99th percentile) that is added at both ends."""
LEAST_TEXTS = 30
"""Texts from which a run is compared; fewer say nothing about a kind of picture."""
ADVICE = "Calibrate the gate on pictures like yours: cleanplate calibrate --suite FOLDER"
_UNITS = {figure.name: figure.unit for figure in FIGURES}


class Drift:
    """Counts texts outside the calibrated range of each figure of `surface.FIGURES`.

    A figure that was the same for all texts of the calibration is not compared.
    """

    def __init__(self) -> None:
        inputs = calibration().get("inputs", {})
        self._ranges = {name: _widened(low, high) for name, (low, _, high) in inputs.items() if low < high}
        self._total: Counter[str] = Counter()
        self._outside: Counter[str] = Counter()

    def add(self, place: Mapping[str, Any]) -> None:
        """Add the figures of one described region."""
        for name, (low, high) in self._ranges.items():
            if name in place:
                self._total[name] += 1
                self._outside[name] += not low <= place[name] <= high

    def warnings(self, rungs: Sequence[str]) -> list[str]:
        """A sentence for each figure that drifts and each rung without a calibrated gate.

        ADVICE follows if there are any.
        """
        lines = []
        for name, (low, high) in self._ranges.items():
            total = self._total[name]
            if total >= LEAST_TEXTS and self._outside[name] > TOLERATED * total:
                lines.append(
                    f"The {name.replace('_', ' ')} of {self._outside[name] / total:.0%} of {total} texts is unlike the "
                    f"calibration's: not within {max(0.0, low):.3g} to {high:.3g} {_UNITS[name]}."
                )
        rungs_calibrated = calibration()["rungs"]
        uncalibrated = [rung for rung in dict.fromkeys(rungs) if rung not in rungs_calibrated]
        lines += [f"The gate is not calibrated for the rung {rung}." for rung in uncalibrated]
        return [*lines, ADVICE] if lines else []


def _widened(low: float, high: float) -> tuple[float, float]:
    margin = MARGIN * (high - low)
    return low - margin, high + margin


def warnings(places: Iterable[Mapping[str, Any]], rungs: Sequence[str]) -> list[str]:
    """`Drift.warnings` of regions in memory, each a mapping from figure to value."""
    drift = Drift()
    for place in places:
        drift.add(place)
    return drift.warnings(rungs)
