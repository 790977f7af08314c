"""Does a run's input look like what the gate was calibrated on?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from operators.gate import calibration

TOLERATED = 0.25
"""Share of the places that may lie outside the calibrated range (its 5th to 95th percentile) without a warning."""


def warnings(places: Sequence[Mapping[str, Any]], rungs: Sequence[str]) -> list[str]:
    """One line for every figure of `surface.FIGURES` that drifts, and for every rung whose gate was never calibrated."""
    found = []
    for name, (low, _, high) in calibration().get("inputs", {}).items():
        values = [place[name] for place in places if name in place]
        outside = float(np.mean([not low <= value <= high for value in values])) if values else 0.0
        if outside > TOLERATED:
            found.append(f"{name}: {outside:.0%} of the places lie outside the calibrated range {low:.3g} to {high:.3g}")
    uncalibrated = [rung for rung in dict.fromkeys(rungs) if rung not in calibration()["rungs"]]
    return found + [f"rung {rung} has no calibrated gate" for rung in uncalibrated]
