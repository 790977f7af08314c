"""`select`: which of the found texts go?"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa

from operators.masks.geometry import bounding_box, covers, rasterised
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import JsonObject, ModelRecord, RegionRecord
from operators.rows.regions import KEPT, OPEN
from operators.rows.schema import SCHEMA
from operators.rows.table import Additions, Row, map_rows
from operators.selection.measures import Length
from operators.selection.rules import OTHERWISE, Decision, Rules, Selection, Text
from operators.vision.line_reading import LineReading, read_around, read_line
from operators.vision.recogniser import recogniser, recogniser_identity, upright_turn

KEPT_BY_RULE = "kept_by_rule"
NOT_SELECTED = "not_selected"
UNSURE_READING = "unsure_reading"
TOO_MUCH = "too_much"
"""The reasons of a text that stays: a rule keeps it, no rule erases it, it cannot be read surely
enough to know that no rule keeps it, or the rules would erase too much of the picture.
"""
SHARED = 0.25
"""Share of a text that another one covers, from which both have letters in common."""
LEAST_CONFIDENCE = 0.8
"""Mean probability of the characters (0..1) below which a text may say what a rule keeps."""
MOST = "most"
"""The name of the bound of the area, in the place of a rule's name."""


@dataclass(frozen=True)
class Part:
    """A part of a line with the same decision about all its characters."""

    start: int
    end: int
    decision: Decision
    reason: str | None = None
    """The reason if the part stays."""


@dataclass(frozen=True)
class Select(Operator):
    """Decide which regions go and which stay, by the user's rules.

    Regions that stay become `kept`, with the reason and the name of the rule that decided. Of a
    line of which only a part is meant, such as the address in `Mail: jane@example.org`, the parts
    become regions of their own. The recogniser reads only where a rule depends on it. What is
    read is in the ledger unless `keeps_text` is false. A text that cannot be read for certain
    stays if a rule keeps texts for what they say. Regions that have a decision pass unchanged.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "bytes",
        "source_sha256",
        "path",
        "width",
        "height",
        "regions.polygons",
        "regions.score",
        "regions.kind",
        "regions.probability",
        "regions.state",
        "regions.reason",
    )
    adds: ClassVar[tuple[str, ...]] = (
        "regions.polygons",
        "regions.text",
        "regions.text_confidence",
        "regions.state",
        "regions.reason",
        "regions.rule",
    )
    selection: Selection = Selection()
    keeps_text: bool = True
    """Whether the ledger holds what was read."""
    limits: Limits = Limits()

    def models(self) -> list[ModelRecord]:
        """The recogniser, if a rule needs it."""
        return [recogniser_identity()] if self.selection.reads else []

    def open(self) -> None:
        """Load the recogniser, if a rule needs it."""
        if self.selection.reads:
            recogniser()

    def settings(self) -> JsonObject:
        """The fields, with the rules as data."""
        selection = self.selection.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return {"operator": self.name, "selection": selection, "keeps_text": self.keeps_text}

    def apply(self, batch: pa.Table) -> pa.Table:
        """Select the regions of one batch."""
        return map_rows(batch, self.name, ("regions",), self._select)

    def _select(self, row: Row) -> Additions | None:
        undecided = [region["state"] == OPEN and region["rule"] is None and region["crop"] is None for region in row.regions]
        if not any(undecided):
            return None
        own = {name: row[name] for name in row.columns if name in self.selection.columns and name not in SCHEMA.names}
        rules = self.selection.rules_for(row["path"], own)
        frame = (row["width"], row["height"])
        picture: list[Pixels] = []

        def rgb() -> Pixels:
            """The whole picture, decoded once and only if something must be read."""
            if not picture:
                picture.append(np.ascontiguousarray(FRAME_CACHE.picture(row, self.limits).rgb()))
            return picture[0]

        records: list[RegionRecord] = []
        for region, is_new in zip(row.regions, undecided, strict=True):
            record = region.record()
            records += self._decide(record, rules, frame, rgb) if is_new else [record]
        return {"regions": _within(_beside_kept(records, rules.protecting), Length.parse(rules.most), frame)}

    def _decide(self, record: RegionRecord, rules: Rules, frame: tuple[int, int], rgb: Any) -> list[RegionRecord]:
        """The record with its decision, or one record for each part of its line."""
        text = text_of(record, frame)
        if not rules.must_read(text):
            (decision,) = rules.decide(text)
            return [_decided(record, Part(0, 0, decision, _reason_of(decision)))]
        reading = read_line(rgb(), record["polygons"][0])
        parts = self._parts(text, reading, rules, rgb)
        read = {"text": reading.text if self.keeps_text else None, "text_confidence": reading.confidence}
        if len(parts) == 1:
            return [_decided({**record, **read}, parts[0])]  # type: ignore[typeddict-item]
        return [
            _decided(
                {
                    **record,
                    "polygons": [reading.part(part.start, part.end)],
                    "text": reading.text[part.start : part.end].strip() if self.keeps_text else None,
                    "text_confidence": reading.confidence,
                },
                part,
            )
            for part in parts
        ]

    def _parts(self, text: Text, reading: LineReading, rules: Rules, rgb: Any) -> list[Part]:
        """The parts of a line by what becomes of them."""
        parts = runs(reading.text, rules.decide(_with_reading(text, reading)))
        erased = any(part.decision.action == "erase" for part in parts)
        if rules.protecting and erased:
            if reading.confidence < LEAST_CONFIDENCE:
                return [Part(0, 0, Decision("keep", parts[0].decision.rule), UNSURE_READING)]
            for around in read_around(rgb(), reading.polygon):
                decisions = rules.decide(_with_reading(text, around))
                kept = [(number, each) for number, each in enumerate(decisions) if each.rule in rules.protecting]
                parts = [_protected(part, parts, reading, around, kept) for part in parts]
        if len(parts) > 1 and not reading.can_be_parted:
            return [part for part in parts if part.decision.action == "keep"][:1] or parts[:1]
        return parts


def _protected(
    part: Part, parts: Sequence[Part], reading: LineReading, around: LineReading, kept: Sequence[tuple[int, Decision]]
) -> Part:
    """A part that goes, kept if more of its line says something there that a rule keeps."""
    if part.decision.action == "keep":
        return part
    is_all = len(parts) == 1 or not reading.can_be_parted
    polygon = reading.polygon if is_all else reading.part(part.start, part.end)
    rule = next((decision for number, decision in kept if around.is_beside(number, polygon)), None)
    return part if rule is None else replace(part, decision=rule, reason=KEPT_BY_RULE)


def text_of(record: RegionRecord, frame: tuple[int, int]) -> Text:
    """What rules may know of a region before it is read, in a picture of this width and height."""
    polygon = record["polygons"][0]
    turn, (width, height) = upright_turn(polygon)
    angle = float(np.degrees(np.arctan2(turn[0, 1], turn[0, 0])))
    box = bounding_box(record["polygons"], *frame)
    return Text(
        kind=record["kind"],
        polygons=list(record["polygons"]),
        height=height,
        width=width,
        angle=-angle,
        area=float(np.count_nonzero(rasterised(record["polygons"], box))),
        score=record["score"],
        opacity=math.nan if record.get("opacity") is None else float(record["opacity"] or 0),
        picture=frame,
    )


def _with_reading(text: Text, reading: LineReading) -> Text:
    return replace(text, read=reading.text)


def runs(text: str, decisions: Sequence[Decision]) -> list[Part]:
    """The runs of characters with one decision; spaces go with the character before them."""
    if not text:
        return [Part(0, 0, decisions[0], _reason_of(decisions[0]))]
    letters = [number for number, character in enumerate(text) if not character.isspace()] or [0]
    parts = []
    for decision, numbers in groupby(letters, key=lambda number: decisions[number]):
        start = next(numbers)
        parts.append(Part(start, len(text), decision, _reason_of(decision)))
    return [
        Part(part.start, after, part.decision, part.reason) for part, after in zip(parts, _starts_after(parts), strict=True)
    ]


def _starts_after(parts: Sequence[Part]) -> list[int]:
    return [*(part.start for part in parts[1:]), parts[-1].end]


def _reason_of(decision: Decision) -> str | None:
    if decision.action == "erase":
        return None
    return NOT_SELECTED if decision.rule == OTHERWISE else KEPT_BY_RULE


def _decided(record: RegionRecord, part: Part) -> RegionRecord:
    kept = part.decision.action == "keep"
    return {**record, "state": KEPT if kept else OPEN, "reason": part.reason, "rule": part.decision.rule}


def _beside_kept(records: list[RegionRecord], protecting: Collection[str]) -> list[RegionRecord]:
    """The records, with those kept that share their letters with one that a rule keeps.

    The detector may see a part of a text once more, as a text by itself.
    """
    kept = [record for record in records if record["state"] == KEPT and record["rule"] in protecting]

    def twin(record: RegionRecord) -> RegionRecord | None:
        own = record["polygons"][0]
        others = (
            other for other in kept if covers(other["polygons"][0], own, SHARED) or covers(own, other["polygons"][0], SHARED)
        )
        return next(others, None) if record["state"] == OPEN and record["kind"] == "text" else None

    twins = [twin(record) for record in records]
    return [
        record if other is None else {**record, "state": KEPT, "reason": KEPT_BY_RULE, "rule": other["rule"]}
        for record, other in zip(records, twins, strict=True)
    ]


def _within(records: list[RegionRecord], most: Length, frame: tuple[int, int]) -> list[RegionRecord]:
    """The records, all kept if those that go cover more than the most that may be erased."""
    covered = np.zeros((frame[1], frame[0]), np.uint8)
    going = [record for record in records if record["state"] == OPEN]
    for record in going:
        box = bounding_box(record["polygons"], *frame)
        part = covered[box.inside(Box(0, 0, *frame))]
        cv2.bitwise_or(part, rasterised(record["polygons"], box), dst=part)
    if np.count_nonzero(covered) <= most.pixels(frame[0] * frame[1]):
        return records
    return [
        {**record, "state": KEPT, "reason": TOO_MUCH, "rule": MOST} if record["state"] == OPEN else record for record in records
    ]
