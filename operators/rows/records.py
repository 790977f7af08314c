"""The nested records of the row as typed dictionaries, as operators pass them to and from Arrow.

Each mirrors the Arrow struct of the same name in `operators.rows.schema`, which documents units
and ranges.
"""

from __future__ import annotations

from typing import Any, TypedDict

JsonObject = dict[str, Any]
"""An object of a JSON or YAML document without fixed keys, such as an operator's settings."""


class BoxRecord(TypedDict):
    """BOX: a rectangle in upright source pixels."""

    x: int
    y: int
    width: int
    height: int


class ProbabilityRecord(TypedDict):
    """PROBABILITY: a uint8 height x width map that spans `box`."""

    data: bytes
    width: int
    height: int
    box: BoxRecord


class FillRecord(TypedDict):
    """FILL: uint8 sRGB, height x width x 3."""

    data: bytes
    width: int
    height: int


class TransparencyRecord(TypedDict):
    """TRANSPARENCY: a crop's alpha, uint8 height x width, and the ground that it is seen on."""

    alpha: bytes
    ground: int


class OverlayRecord(TypedDict):
    """OVERLAY: the alpha and the colour of a translucent mark on `box`, float16."""

    alpha: bytes
    colour: bytes
    box: BoxRecord


class CheckRecord(TypedDict):
    """CHECK: one measurement of a fill, with its limit."""

    rung: str
    name: str
    value: float
    limit: float
    passed: bool


class BestFillRecord(TypedDict):
    """BEST_FILL: the best refused fill of a region, and which of the region's checks judge it."""

    fill: FillRecord
    mask: bytes
    rung: str
    seed: int
    prompt: str | None
    prompt_sha256: str | None
    repeatable: bool
    enhanced: bool | None
    first_check: int
    end_check: int


class TextCounts(TypedDict):
    """TEXTS: how many texts of an image were found, and how they ended."""

    found: int
    erased: int
    kept: int
    refused: int


class FailureRecord(TypedDict):
    """FAILURE: why a row could not be processed."""

    operator: str
    code: str
    message: str


class TimingRecord(TypedDict, total=False):
    """TIMING: milliseconds that an operator spent on a row, in all and by kind."""

    operator: str
    total: float
    model: float | None
    codec: float | None
    io: float | None


class RegionRecord(TypedDict, total=False):
    """REGION: one context crop and the text or mask to erase in it.

    Children that no operator has filled yet are missing or None.
    """

    polygons: list[list[list[float]]]
    score: float
    kind: str
    origin: str | None
    text: str | None
    text_confidence: float | None
    probability: ProbabilityRecord
    crop: BoxRecord
    pixels: bytes
    mask: bytes
    transparency: TransparencyRecord | None
    strokes: str
    mark: str | None
    opacity: float | None
    overlay: OverlayRecord | None
    fill: FillRecord | None
    rung: str | None
    seed: int | None
    passes: int
    prompt: str | None
    prompt_sha256: str | None
    repeatable: bool | None
    enhanced: bool | None
    checks: list[CheckRecord]
    best: BestFillRecord | None
    state: str | None
    reason: str | None
    rule: str | None
    route: str | None
    embedding: list[float] | None
    metadata: list[tuple[str, float]] | None


class ModelRecord(TypedDict, total=False):
    """A model as run.json records it."""

    alias: str
    revision: str
    licence: str
    source: str
    sha256: str | dict[str, str]
