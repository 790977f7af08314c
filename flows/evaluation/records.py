"""The records of `evaluation.json` and of a calibration file as typed dictionaries.

Both files are JSON, which has no NaN: figures that could not be measured are null (None) there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict

from operators.decisions.gate import Promise, RungPromise
from operators.rows.records import JsonObject

Figures = Mapping[str, float | None]
"""Figures by name; a figure that could not be measured is NaN, or None once read from a file."""

TableRow = dict[str, Any]
"""One row of a table: column to value, in the order of the columns."""


OUTCOMES = ("accepted", "damaged", "missed")
"""What becomes of a picture: it is accepted, or it is changed and not acceptable, or its text is
left as it was.
"""


class EvaluatedFill(TypedDict):
    """One region of one image, filled by one rung."""

    file: str
    set: str
    bucket: str
    region: int
    rung: str
    place: JsonObject
    """The region's figures of `surface.FIGURES`, `border`, `strokes`, and the image's regions as
    `count`.
    """
    measured: Mapping[str, float]
    """The gate's measurements, which need no truth."""
    figures: Figures
    pixel_deviation: NotRequired[float]
    """Mean standard deviation of the edited pixels across seeds, in grey levels."""
    seed_deviation: NotRequired[float]
    """Standard deviation of the perceptual distance across seeds."""
    variance_picture: NotRequired[str]
    perturbed: NotRequired[Figures]
    """Perturbation of the mask to the perceptual distance of the fill made with it."""


class EvaluatedText(TypedDict):
    """One text of the suite in a delivered image, compared with the truth.

    From `characters_left` on see `acceptance.TextFigures`, which is the rule by which a text is
    accepted.
    """

    perceptual_distance: float
    psnr: float
    characters_read: int
    characters_left: int
    signal_left: float
    flat_error: float
    stain: float
    accepted: bool
    refusal: str | None
    """The first part of the rule that the text breaks, of `acceptance.REFUSALS`."""
    wrongly_refused: bool | None
    """Whether the flow refused a fill that the rule accepts; None if it refused none here."""


class EraseRecord(TypedDict):
    """`legibility.Eraseness` of a delivered image, and the recall on its source."""

    precision: float
    recall: float
    f: float
    recall_before: float


class EvaluatedImage(TypedDict):
    """One image as the whole flow delivers it."""

    file: str
    set: str
    bucket: str
    verdict: str
    reasons: list[str]
    regions: int
    rungs: list[str]
    fills: int
    picture: str
    accepted: NotRequired[bool]
    """Whether the rule of `flows.evaluation.acceptance` accepts the delivered picture; absent if
    the picture has texts and no truth.
    """
    refusal: NotRequired[str | None]
    """The first part of the rule that the picture breaks, of `acceptance.REFUSALS`."""
    outside: NotRequired[float]
    """Largest smoothed change outside all texts in grey levels."""
    outcome: NotRequired[str]
    """One of OUTCOMES."""
    timings: NotRequired[dict[str, float]]
    """Operator to milliseconds; kept in timings.json instead of evaluation.json."""
    figures: NotRequired[Figures]
    eraseness: NotRequired[EraseRecord]
    texts: NotRequired[list[EvaluatedText]]


class SuiteRecord(TypedDict):
    """The evaluated suite."""

    name: str
    checksum: str
    images: int


class CalibrationRecord(TypedDict):
    """The calibration that the gate used; all None if it was never calibrated."""

    suite: str | None
    suite_checksum: str | None
    date: str | None
    bad_error: float | None


class Evaluation(TypedDict):
    """The content of evaluation.json."""

    suite: SuiteRecord
    rungs: list[str]
    seed: int
    seeds: int
    settings: list[JsonObject]
    calibration: CalibrationRecord
    images: list[EvaluatedImage]
    fills: list[EvaluatedFill]


class GateJudgement(TypedDict):
    """How well the gate's model judges the fills of some regions."""

    regions: int
    bad: int
    auc: float
    auc_by_bound: dict[str, float]
    wrongly_refused: float
    wrongly_kept: float
    mean_error_of_all: float
    mean_error_of_kept: float


class RungCalibration(TypedDict):
    """One rung's model, how well it judges each set and each bucket of the set `report`, and what
    that promises about the fills that every check accepts.
    """

    model: JsonObject
    tune: GateJudgement
    report: GateJudgement
    report_buckets: dict[str, GateJudgement]
    promise: RungPromise
    promise_buckets: dict[str, Promise]


class Calibration(TypedDict):
    """The content of a calibration file."""

    suite: str
    suite_checksum: str
    date: str
    bad_error: float
    target: float
    """The share of bad fills among the accepted ones, 0..1, that thresholds are chosen for."""
    reviewed: NotRequired[dict[str, int]]
    """How many `fills` people have decided about, and the `bad` ones among them."""
    inputs: dict[str, list[float]]
    """Figure to the 1st, 50th and 99th percentile of the regions."""
    rungs: dict[str, RungCalibration]
