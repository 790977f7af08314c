"""The gate: how visible the error of a fill is, predicted without knowing the truth.

Each rung has examples: fills whose truth was known. A new fill is compared with them by its
measurements and those of the ring around it; see `operators.metrics.fills`. The examples, their
weights and the bound are data: `cleanplate calibrate` writes them to
`operators/decisions/gate.json`, with the suite and its checksum.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from operators.rows.records import JsonObject

PATH = Path(__file__).parent / "gate.json"
FARTHEST = 3.0
"""Standard deviations at which features are clipped."""
REACH = 10.0
"""Distance between two fills, in standard deviations summed over all features, at which one says
about the other a third of what it says about itself.
"""
RIDGE = 0.3
"""How little a single example counts: at 0 the model repeats the error of each one."""
MOST_ERROR = 8.0
"""Visible error from which a fill is as bad as any."""
UNLIKE = 2.0
"""Visible error that is predicted for a fill unlike all examples: what nobody has seen is refused.
"""
MOSTLY_PLAIN = 0.9
"""Share of a text's pixels whose ground is known, from which the ring around it does not count."""
PLAIN_LENIENCE = 1.25
"""How much more error may be predicted for a fill of plain ground: it has been compared with that
ground, which says more than any likeness.
"""
DECIMALS = 2
"""Decimals of the examples' features in a calibration file."""
OFFSET = 0.1
"""Added to a visible error before its logarithm; smaller errors make no difference."""
MULTIPLYING = ("seam", "colour_shift", "spread", "structure", "residual_text", "jump", "flat_apart", "stain_apart")
"""Measurements whose logarithms are features."""
Array = npt.NDArray[np.float64]


def features(measurements: Mapping[str, float]) -> Array:
    """The measurements as the model's features.

    The ratios of bands lose their sign, and quantities that multiply become logarithms. NaN counts
    as 0.
    """
    values = {name: 0.0 if math.isnan(value) else value for name, value in measurements.items()}
    ratios = [abs(values[f"band_{octave}"]) for octave in range(4)]
    rings = [values[f"ring_{octave}"] for octave in range(4)]
    logarithms = [float(np.log2(values[name] + 1)) for name in MULTIPLYING]
    others = [values[name] for name in ("coverage", "thickness", "area", "trial", "grain", "plain")]
    return np.array([*ratios, *rings, *logarithms, *others], np.float64)


def _standardised(x: Array, mean: Array, scale: Array) -> Array:
    """Features in standard deviations from the calibration's mean, clipped at FARTHEST."""
    return np.clip((x - mean) / scale, -FARTHEST, FARTHEST)


@dataclass(frozen=True)
class Model:
    """One rung's examples, and how visible the error of a fill like them is.

    What is unlike all examples is predicted to be bad.
    """

    mean: Sequence[float]
    scale: Sequence[float]
    examples: Sequence[Sequence[float]]
    """The standardised features of each example."""
    weights: Sequence[float]
    """How much each example raises the logarithm of the error of a fill at its place."""
    bias: float
    """The logarithm of the error of a fill unlike all examples."""
    bound: float
    """The predicted error above which a fill off plain ground is refused."""

    def bound_of(self, measurements: Mapping[str, float]) -> float:
        """The predicted error above which a fill with these measurements is refused."""
        return self.bound * lenience(measurements)

    def predicted_error(self, measurements: Mapping[str, float]) -> float:
        """The predicted visible error of a fill: 1 is the most that a person accepts."""
        x = _standardised(features(measurements), np.array(self.mean), np.array(self.scale))
        alike = _likeness(x[None], np.array(self.examples))[0]
        return float(max(0.0, 2.0 ** (alike @ np.array(self.weights) + self.bias) - OFFSET))


def lenience(measurements: Mapping[str, float]) -> float:
    """How much more error may be predicted for a fill than for one off plain ground."""
    return PLAIN_LENIENCE if measurements["plain"] >= MOSTLY_PLAIN else 1.0


def fit_model(examples: Sequence[Mapping[str, float]], errors: Sequence[float], bound: float, ridge: float = RIDGE) -> Model:
    """The model fitted to fills whose visible errors are known.

    It is a kernel ridge regression of the error's logarithm on the standardised features, with a
    Laplacian kernel (Murphy, Machine Learning, 2012, 14.4). A linear model ranks fills worse,
    because what a measurement means depends on the place: detail is right in texture and wrong on
    a wall.
    """
    x, y = np.stack([features(example) for example in examples]), np.log2(np.minimum(errors, MOST_ERROR) + OFFSET)
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    design = np.round(_standardised(x, mean, scale), DECIMALS)
    bias = math.log2(UNLIKE + OFFSET)
    weights = np.linalg.solve(_likeness(design, design) + ridge * np.eye(len(design)), y - bias)
    return Model(mean.tolist(), scale.tolist(), design.tolist(), weights.tolist(), bias, bound)


def _likeness(first: Array, second: Array) -> Array:
    """How alike fills are, 1 for equal ones, for each of the first and each of the second."""
    distances = np.stack([np.abs(one - second).sum(axis=1) for one in first])
    return np.asarray(np.exp(-distances / REACH))


def area_under_curve(score: Array, bad: npt.NDArray[np.bool_]) -> float:
    """ROC AUC: the chance that a bad fill scores above a good one; ties count half.

    NaN unless there are both good and bad fills.
    """
    if bad.all() or not bad.any():
        return float("nan")
    above = score[bad][:, None] - score[~bad][None]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


class Promise(TypedDict):
    """How many accepted fills of some regions are bad, and what that promises about others."""

    set: str
    """The set of the suite that it was measured on; no threshold was chosen on it."""
    kept: int
    """Fills of that set that every check accepts."""
    bad: int
    """Bad ones among them."""
    most_bad: float
    """The largest share of bad ones that this does not contradict, 0..1; see `risk`."""
    confidence: float


class RungPromise(Promise):
    """What a calibration promises about all accepted fills of one rung."""

    target: float
    """The share that `most_bad` was to stay below when the threshold was chosen, 0..1."""
    target_met: bool
    """Whether the set that the threshold was chosen on shows that it does."""


@cache
def calibration(path: Path = PATH) -> JsonObject:
    """The calibration file, read once per process; without a file, no rung is calibrated."""
    content: JsonObject = json.loads(path.read_text()) if path.is_file() else {"rungs": {}}
    return content


def model_of(rung: str) -> Model | None:
    """The calibrated model of a rung; None if the rung is not calibrated."""
    entry = calibration()["rungs"].get(rung)
    return Model(**entry["model"]) if entry else None


def promises() -> dict[str, RungPromise]:
    """The promise of each calibrated rung that has one."""
    return {rung: entry["promise"] for rung, entry in calibration()["rungs"].items() if entry.get("promise")}
