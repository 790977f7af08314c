"""`select`: which of the found texts go?"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa

from operators.masks.geometry import Polygon, bounding_box, covers, rasterised, upright_turn
from operators.operator import Operator
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import JsonObject, ModelRecord, RegionRecord
from operators.rows.regions import ACCEPTED, KEPT, OPEN
from operators.rows.schema import SCHEMA
from operators.rows.table import Additions, Row, map_rows
from operators.selection.measures import Length
from operators.selection.rules import MOST, Decision, Rules, Selection, Text
from operators.selection.zone_notes import outside_notes
from operators.vision.line_reading import EDGE, LineReading, PageLines, read_along, read_around, read_line
from operators.vision.recogniser import recogniser, recogniser_identity

KEPT_BY_RULE = "kept_by_rule"
NOT_SELECTED = "not_selected"
UNSURE_READING = "unsure_reading"
TOO_MUCH = "too_much"
"""The reasons of a text that stays: a rule keeps it, nothing asks for it, it cannot be read surely
enough to know that no rule keeps it, or the rules would erase too much of the picture.
"""
SHARED = 0.25
"""Share of a text that another one covers, from which both have letters in common."""
LEAST_CONFIDENCE = 0.8
"""Mean probability of the characters (0..1) below which a text may say what a rule keeps."""


@dataclass(frozen=True)
class Part:
    """A part of a line with the same decision about all its characters."""

    start: int
    end: int
    decision: Decision
    reason: str | None = None
    """The reason if the part stays."""


@dataclass(frozen=True)
class Surrounding:
    """More of a line than the detector saw, and what of it a rule keeps for what it says."""

    reading: LineReading
    kept: Sequence[Part]
    along_page: bool
    """Whether it runs as the lines of the page do, and not as the text that the detector saw."""

    def match_of(self, polygon: Polygon, edge: float = EDGE) -> Part | None:
        """What is kept of which a letter stands in a polygon; `edge` as in `is_beside`."""
        return next((part for part in self.kept if self._touches(part, polygon, edge)), None)

    def _touches(self, part: Part, polygon: Polygon, edge: float) -> bool:
        letters = (number for number in range(part.start, part.end) if not self.reading.text[number].isspace())
        return any(self.reading.is_beside(number, polygon, edge) for number in letters)


@dataclass(frozen=True)
class Select(Operator):
    """Decide which regions go and which stay, by the user's rules.

    Regions that stay become `kept`, with the reason and the name of the rule that decided. Of a
    line of which only a part is meant, such as the address in `Mail: jane@example.org`, the parts
    become regions of their own. The recogniser reads only where a rule depends on it. What is
    read is in the ledger unless `keeps_text` is false. A text that cannot be read for certain
    stays if a rule keeps texts for what they say. The polygons of a text that such a rule keeps
    reach as far as what the rule means. Regions that have a decision pass unchanged, but for fills
    that have erased a part of a text of which only a later look shows that a rule keeps it: they
    are given up.
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
        "notes",
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

    def beyond_bytes(self, path: str, own: Mapping[str, Any]) -> str:
        """The rules of the image."""
        return self.selection.rules_for(path, own).model_dump_json()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Select the regions of one batch."""
        return map_rows(batch, self.name, ("regions", "notes"), self._select)

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

        page = PageLines.of([region["polygons"][0] for region in row.regions if region["kind"] == "text"])
        records: list[RegionRecord] = []
        for region, is_new in zip(row.regions, undecided, strict=True):
            record = region.record()
            records += self._decide(record, rules, frame, page, rgb) if is_new else [record]
        decided = _within(_beside_kept(records, rules.protecting), rules, frame)
        notes = dict.fromkeys([*(row["notes"] or []), *outside_notes(rules.zones_outside(*frame))])
        return {"regions": decided, "notes": list(notes) or None}

    def _decide(
        self, record: RegionRecord, rules: Rules, frame: tuple[int, int], page: PageLines, rgb: Any
    ) -> list[RegionRecord]:
        """The record with its decision, or one record for each part of its line."""
        text = text_of(record, frame)
        if not rules.must_read(text):
            (decision,) = rules.decide(text)
            return [_decided(record, Part(0, 0, decision, _reason_of(decision)))]
        reading = read_line(rgb(), record["polygons"][0])
        surroundings = self._surroundings(text, reading, rules, page, rgb)
        parts = _parts(text, reading, rules, surroundings)
        read = {"text": reading.text if self.keeps_text else None, "text_confidence": reading.confidence}
        if len(parts) == 1:
            whole: RegionRecord = {**record, **read}  # type: ignore[typeddict-item]
            return [_decided(_stretched(whole, parts[0], surroundings), parts[0])]
        return [
            _decided(
                _stretched(
                    {
                        **record,
                        "polygons": [reading.part(part.start, part.end)],
                        "text": reading.text[part.start : part.end].strip() if self.keeps_text else None,
                        "text_confidence": reading.confidence,
                    },
                    part,
                    surroundings,
                ),
                part,
            )
            for part in parts
        ]

    def _surroundings(self, text: Text, reading: LineReading, rules: Rules, page: PageLines, rgb: Any) -> list[Surrounding]:
        """More of the line than a text shows, and what a rule keeps in it for what it says."""
        if not rules.protecting:
            return []
        polygon = reading.polygon
        readings = [(around, False) for around in read_around(rgb(), polygon)]
        if page.crosses(polygon):
            readings += [(along, True) for along in read_along(rgb(), polygon, page)]
        surroundings = []
        for around, along_page in readings:
            decisions = rules.decide(_with_reading(text, around))
            kept = [run for run in runs(around.text, decisions) if run.decision.rule in rules.protecting]
            surroundings.append(Surrounding(around, kept, along_page))
        return surroundings


def _parts(text: Text, reading: LineReading, rules: Rules, surroundings: Sequence[Surrounding]) -> list[Part]:
    """The parts of a line by what becomes of them."""
    parts = runs(reading.text, rules.decide(_with_reading(text, reading)))
    kept_around = [each for each in surroundings if each.match_of(reading.polygon) is not None]
    erased = any(part.decision.action == "erase" for part in parts)
    if rules.protecting and erased:
        if reading.confidence < LEAST_CONFIDENCE and not kept_around:
            return [Part(0, 0, Decision("keep", ", ".join(rules.protecting)), UNSURE_READING)]
        for around in kept_around:
            parts = [_protected(part, parts, reading, around) for part in parts]
    if len(parts) > 1 and not reading.can_be_parted:
        return [part for part in parts if part.decision.action == "keep"][:1] or parts[:1]
    return parts


def _protected(part: Part, parts: Sequence[Part], reading: LineReading, around: Surrounding) -> Part:
    """A part that goes, kept if more of its line says something there that a rule keeps.

    Letters at the edge may be those of the next part, because their places are not exact.
    """
    if part.decision.action == "keep":
        return part
    is_all = len(parts) == 1 or not reading.can_be_parted
    match = around.match_of(reading.polygon) if is_all else around.match_of(reading.part(part.start, part.end), -EDGE)
    return part if match is None else replace(part, decision=match.decision, reason=KEPT_BY_RULE)


def _stretched(record: RegionRecord, part: Part, surroundings: Sequence[Surrounding]) -> RegionRecord:
    """The record of a text that stays, with polygons that reach as far as what the rule keeps."""
    if part.decision.action != "keep":
        return record
    polygon = record["polygons"][0]
    found = [(each, match) for each in surroundings if (match := each.match_of(polygon)) is not None]
    lines = [each.reading.letters(match.start, match.end) for each, match in found if each.along_page]
    for each, match in found:
        if not each.along_page:
            polygon = each.reading.stretched(polygon, match.start, match.end)
    return {**record, "polygons": [polygon, *record["polygons"][1:], *lines]}


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
    return NOT_SELECTED if decision.is_limit else KEPT_BY_RULE


def _decided(record: RegionRecord, part: Part) -> RegionRecord:
    kept = part.decision.action == "keep"
    return {**record, "state": KEPT if kept else OPEN, "reason": part.reason, "rule": part.decision.rule}


def _beside_kept(records: list[RegionRecord], protecting: Collection[str]) -> list[RegionRecord]:
    """The records, with those kept that share their letters with one that a rule keeps.

    The detector may see a part of a text once more, as a text by itself. Fills are given up too,
    because what stays may be found only when its neighbours are gone.
    """
    kept = [record for record in records if record["reason"] == KEPT_BY_RULE and record["rule"] in protecting]

    def twin(record: RegionRecord) -> RegionRecord | None:
        if record["state"] not in (OPEN, ACCEPTED) or record["kind"] != "text":
            return None
        own = record["polygons"][0]
        return next((other for other in kept if any(_share(own, polygon) for polygon in other["polygons"])), None)

    twins = [twin(record) for record in records]
    return [
        record if other is None else {**record, "state": KEPT, "reason": KEPT_BY_RULE, "rule": other["rule"]}
        for record, other in zip(records, twins, strict=True)
    ]


def _share(polygon: Polygon, other: Polygon) -> bool:
    return covers(other, polygon, SHARED) or covers(polygon, other, SHARED)


def _within(records: list[RegionRecord], rules: Rules, frame: tuple[int, int]) -> list[RegionRecord]:
    """The records, all kept if those that go cover more than the most that may be erased."""
    covered = np.zeros((frame[1], frame[0]), np.uint8)
    going = [record for record in records if record["state"] == OPEN]
    for record in going:
        box = bounding_box(record["polygons"], *frame)
        part = covered[box.inside(Box(0, 0, *frame))]
        cv2.bitwise_or(part, rasterised(record["polygons"], box), dst=part)
    if np.count_nonzero(covered) <= Length.parse(rules.most).pixels(frame[0] * frame[1]):
        return records
    kept = {"state": KEPT, "reason": TOO_MUCH, "rule": rules.name_of(MOST)}
    return [{**record, **kept} if record["state"] == OPEN else record for record in records]  # type: ignore[typeddict-item]
