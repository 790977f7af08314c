"""The nested records of the row as typed dictionaries: what operators hand to Arrow, and what
Arrow hands back.

Each mirrors the Arrow struct of the same name in `operators.rows.schema`, which documents units
and ranges.
"""

from __future__ import annotations

from typing import Any, TypedDict

JsonObject = dict[str, Any]
"""An object of a JSON or YAML document whose keys are not fixed, such as the settings of an
operator.
"""


class BoxRecord(TypedDict):
    """BOX: a rectangle in upright source pixels."""

    x: int
    y: int
    width: int
    height: int


class ProbabilityRecord(TypedDict):
    """PROBABILITY: a uint8 map, height x width, that spans `box`."""

    data: bytes
    width: int
    height: int
    box: BoxRecord


class FillRecord(TypedDict):
    """FILL: uint8 sRGB, height x width x 3."""

    data: bytes
    width: int
    height: int


class CheckRecord(TypedDict):
    """CHECK: one measurement of one fill beside its limit."""

    rung: str
    name: str
    value: float
    limit: float
    passed: bool


class FailureRecord(TypedDict):
    """FAILURE: why a row could not be worked."""

    operator: str
    code: str
    message: str


class RegionRecord(TypedDict, total=False):
    """REGION: one context crop and what is to be erased in it; children that no operator has
    filled yet are missing or None.
    """

    polygons: list[list[list[float]]]
    score: float
    kind: str
    probability: ProbabilityRecord
    crop: BoxRecord
    pixels: bytes
    mask: bytes
    strokes: str
    fill: FillRecord | None
    rung: str | None
    seed: int | None
    passes: int
    prompt: str | None
    prompt_sha256: str | None
    repeatable: bool | None
    enhanced: bool | None
    checks: list[CheckRecord]
    state: str
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
