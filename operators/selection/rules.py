"""Rules: which texts one means, and what becomes of them. The first rule that fits decides.

A rule may mean a part of a line, such as the e-mail address in `Mail: jane@example.org`. It is
therefore asked about every character of what is read, and a text is parted where decisions change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from operators.masks.geometry import Polygon
from operators.selection.measures import Bounds, Length, Zone
from operators.selection.patterns import PATTERNS, compiled, matches, spans_of
from operators.selection.scripts import SCRIPTS, UNREAD, in_scripts
from operators.storage.manifest_paths import is_absolute, matches_path

Action = Literal["keep", "erase"]
REGION_KINDS = ("text", "mark", "mask")
"""The kinds of region, which need no reading."""
KINDS = (*REGION_KINDS, *PATTERNS)
OTHERWISE = "otherwise"
"""The name of the rule that decides about a text that no other rule means."""
MOST = "most"
"""The name of the bound of the area that goes, in the place of a rule's name."""


def _as_tuple(value: Any) -> Any:
    """A list of what may be one value alone."""
    if value is None or value == "" or (isinstance(value, list | tuple) and not value):
        raise ValueError("nothing is given")
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _one_of(names: Sequence[str], unread: Sequence[str] = ()) -> Any:
    def check(value: Any) -> Any:
        for name in (value := _as_tuple(value)):
            if name in unread:
                raise ValueError(f"the recogniser has no letters of {name!r}; choose from {', '.join(names)}")
            if name not in names:
                raise ValueError(f"there is no {name!r}; choose from {', '.join(names)}")
        return value

    return BeforeValidator(check)


def _check_patterns(value: Any) -> Any:
    for pattern in (value := tuple(map(str, _as_tuple(value)))):
        if not pattern.strip():
            raise ValueError("the expression is empty")
        try:
            compiled(pattern)
        except re.error as error:
            raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
    return value


def _check_with(parse: Any) -> Any:
    def check(value: Any) -> Any:
        value = tuple(map(str, _as_tuple(value)))
        for text in value:
            parse(text)
        return value

    return BeforeValidator(check)


def _check_one(parse: Any) -> Any:
    def check(value: Any) -> Any:
        if value is not None:
            parse(str(value))
        return None if value is None else str(value)

    return BeforeValidator(check)


def _check_most(text: str) -> None:
    most = Length.parse(text)
    if most.value <= 0:
        raise ValueError(f"with {text!r} nothing could go")
    if most.is_share and most.value > 1:
        raise ValueError(f"{text!r} is more than the picture")


Range = Annotated[str | None, _check_one(Bounds.parse)]
"""Bounds as text; see `Bounds.parse`."""
POSSIBLE: dict[str, tuple[float, float]] = {
    "height": (0, math.inf),
    "width": (0, math.inf),
    "size": (0, math.inf),
    "angle": (-90, 90),
    "opacity": (0, 1),
    "score": (0, 1),
}
"""The least and the most that each measurement can be."""


@dataclass(frozen=True)
class Text:
    """What rules may know of one text."""

    kind: str
    polygons: list[Polygon]
    height: float
    """Height of its line in pixels."""
    width: float
    """Length of its line in pixels."""
    angle: float
    """Degrees by which the line rises to the right, -90..90."""
    area: float
    """Pixels that its polygons cover."""
    score: float
    opacity: float
    """The largest alpha of a known mark, 0..1; NaN if it is unknown."""
    picture: tuple[int, int]
    """Width and height of the picture in pixels."""
    read: str = ""
    """What is read there; empty if nothing can be read or nothing was asked."""


class Conditions(BaseModel):
    """What a rule asks of a text: all that is given must hold; of a list, one entry is enough."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    text: Annotated[tuple[str, ...], BeforeValidator(_check_patterns)] = ()
    """Regular expressions that match what is read, or a part of it; see `compiled`."""
    kind: Annotated[tuple[str, ...], _one_of(KINDS)] = ()
    script: Annotated[tuple[str, ...], _one_of(tuple(SCRIPTS), UNREAD)] = ()
    zone: Annotated[tuple[str, ...], _check_with(Zone.parse)] = ()
    height: Range = None
    """Height of the line, in pixels or as a share of the picture's height."""
    width: Range = None
    """Length of the line, in pixels or as a share of the picture's width."""
    size: Range = None
    """Area of the text, in pixels or as a share of the picture's."""
    angle: Range = None
    """Degrees by which the line rises to the right, -90..90."""
    opacity: Range = None
    """The largest alpha of a known mark, 0..1; nothing else has one."""
    score: Range = None
    """The detector's score, 0..1."""
    unless: Conditions | None = Field(None, alias="not")
    """What must not hold."""

    @model_validator(mode="after")
    def _check_bounds(self) -> Conditions:
        """Bounds are possible; angles, opacities and scores are no shares of a picture."""
        for name, (low, high) in POSSIBLE.items():
            value = getattr(self, name)
            if value is None:
                continue
            bounds = Bounds.parse(value)
            if bounds.has_shares and math.isfinite(high):
                raise ValueError(f"{name} has no shares of the picture: {value}")
            try:
                bounds.check_within(low, high)
            except ValueError as error:
                raise ValueError(f"{name} cannot be {value}: {error}") from None
        return self

    @property
    def asks_reading(self) -> bool:
        """Whether something must be read for the conditions to hold."""
        return bool(self.text or self.script or (self.kind and set(self.kind) <= set(PATTERNS)))

    @property
    def zones(self) -> tuple[str, ...]:
        """Every zone that is named, also by what must not hold."""
        return (*self.zone, *(() if self.unless is None else self.unless.zones))

    @property
    def needs_reading(self) -> bool:
        """Whether only what is read can tell."""
        asks = self.asks_reading or bool(set(self.kind) & set(PATTERNS))
        return asks or (self.unless is not None and self.unless.needs_reading)

    def holds_anywhere(self, text: Text) -> bool:
        """Whether the conditions that need no reading hold; reading cannot help where not."""
        width, height = text.picture
        measured = (
            (self.height, text.height, height),
            (self.width, text.width, width),
            (self.size, text.area, width * height),
            (self.angle, text.angle, 1),
            (self.opacity, text.opacity, 1),
            (self.score, text.score, 1),
        )
        if any(bounds is not None and not Bounds.parse(bounds).contain(value, side) for bounds, value, side in measured):
            return False
        if self.zone and not any(Zone.parse(zone).contains(text.polygons, width, height) for zone in self.zone):
            return False
        return not self.kind or text.kind in self.kind or bool(set(self.kind) & set(PATTERNS))

    def holds(self, text: Text) -> list[bool]:
        """Whether the conditions hold, for each character read; one value if none is read."""
        count = max(1, len(text.read))
        if not self.holds_anywhere(text):
            return [False] * count
        result = [True] * count
        if self.text:
            result = _both(
                result,
                _inside(
                    [span for pattern in self.text for span in matches(compiled(pattern), text.read)],
                    text.read,
                ),
            )
        if self.kind and text.kind not in self.kind:
            result = _both(
                result,
                _inside([span for kind in self.kind if kind in PATTERNS for span in spans_of(kind, text.read)], text.read),
            )
        if self.script:
            result = _both(result, in_scripts(text.read, self.script) or [False])
        if self.unless is not None:
            result = _both(result, [not value for value in self.unless.holds(text)])
        return result


def _both(first: list[bool], second: list[bool]) -> list[bool]:
    return [a and b for a, b in zip(first, second, strict=True)]


def _inside(spans: Sequence[tuple[int, int]], text: str) -> list[bool]:
    inside = [False] * max(1, len(text))
    for start, end in spans:
        inside[start:end] = [True] * (end - start)
    return inside


class Rule(BaseModel):
    """What is kept or erased, under a name that the ledger repeats."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    keep: Conditions | None = None
    erase: Conditions | None = None

    @model_validator(mode="after")
    def _check_action(self) -> Rule:
        """A rule does one thing."""
        if (self.keep is None) == (self.erase is None):
            raise ValueError("a rule has either keep or erase")
        return self

    @property
    def action(self) -> Action:
        """What becomes of the texts that the rule means."""
        return "erase" if self.keep is None else "keep"

    @property
    def is_limit(self) -> bool:
        """Whether the rule keeps all but something, as a limit such as `--zone` does."""
        return self.keep is not None and self.keep.unless is not None and self.keep == Conditions(unless=self.keep.unless)

    @property
    def conditions(self) -> Conditions:
        """Which texts the rule means."""
        conditions = self.erase if self.keep is None else self.keep
        assert conditions is not None
        return conditions


@dataclass(frozen=True)
class Decision:
    """What becomes of a text or a part of it, and the name of the rule that decided."""

    action: Action
    rule: str
    is_limit: bool = False
    """Whether a text stays only because nothing asks for it, by `otherwise` or by a limit."""


class Rules(BaseModel):
    """Rules in order, and what becomes of a text that none of them means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...] = ()
    otherwise: Action | None = None
    """What becomes of a text that no rule means; None for the opposite of what the rules do."""
    most: Annotated[str, _check_one(_check_most)] = "75%"
    """The largest area that is erased, in pixels or as a share of the picture. A picture of which
    the rules would erase more keeps all its texts.
    """

    @model_validator(mode="after")
    def _check_otherwise(self) -> Rules:
        """Rules that keep beside rules that erase do not say what becomes of all other texts."""
        if self.otherwise is None and len({rule.action for rule in self.rules}) > 1:
            raise ValueError("some rules keep and some erase: add otherwise: keep, or otherwise: erase, for all other texts")
        return self

    @property
    def rest(self) -> Action:
        """What becomes of a text that no rule means.

        Who only says what to erase means to keep the rest, and the reverse. Without any rule, every
        text goes.
        """
        if self.otherwise is not None:
            return self.otherwise
        return "keep" if any(rule.action == "erase" for rule in self.rules) else "erase"

    def decide(self, text: Text) -> list[Decision]:
        """The decision about each character read; one if none is read."""
        decisions: list[Decision | None] = [None] * max(1, len(text.read))
        for rule, name in zip(self.rules, self._names, strict=True):
            decision = Decision(rule.action, name, rule.is_limit)
            held = rule.conditions.holds(text)
            decisions = [old or (decision if holds else None) for old, holds in zip(decisions, held, strict=True)]
        rest = Decision(self.rest, self.name_of(OTHERWISE), is_limit=True)
        return [decision or rest for decision in decisions]

    def must_read(self, text: Text) -> bool:
        """Whether the decision about a text depends on what is read there."""
        if text.kind != "text" or not self.needs_reading:
            return False
        for rule in self.rules:
            if not rule.conditions.holds_anywhere(text):
                continue
            if rule.conditions.needs_reading:
                return True
            if all(rule.conditions.holds(text)):
                return False
        return False

    def zones_outside(self, width: int, height: int) -> list[str]:
        """The zones that hold no pixel of a width x height picture, so that no text is in them."""
        zones = dict.fromkeys(zone for rule in self.rules for zone in rule.conditions.zones)
        return [zone for zone in zones if Zone.parse(zone).box(width, height).area <= 0]

    @property
    def needs_reading(self) -> bool:
        """Whether any rule asks what a text says."""
        return any(rule.conditions.needs_reading for rule in self.rules)

    @property
    def protecting(self) -> list[str]:
        """The names of the rules that keep a text for what it says, in order."""
        named = zip(self.rules, self._names, strict=True)
        return [name for rule, name in named if rule.keep is not None and rule.keep.asks_reading]

    @property
    def _names(self) -> list[str]:
        return [self.name_of(rule.name or f"rule {number}") for number, rule in enumerate(self.rules, 1)]

    def name_of(self, rule: str) -> str:
        """How the ledger names a rule of these."""
        return rule


def _spelled(value: Any) -> str:
    """A value of a column as a user writes it: `7` also where missing values made it 7.0."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


class Source(Rules):
    """The rules of one supplier, found by the paths of its pictures or by a manifest's column."""

    path: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Patterns of paths, with `*` and `?`; see `matches_path`."""
    column: str | None = None
    equals: tuple[str, ...] = ()
    """Values of the column."""

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, data: Any) -> Any:
        """One value may stand for a list of one, and numbers for their digits."""
        if isinstance(data, dict) and "equals" in data:
            data = {**data, "equals": tuple(map(_spelled, _as_tuple(data["equals"])))}
        return data

    @model_validator(mode="after")
    def _check_match(self) -> Source:
        """A source says which pictures it means."""
        if (self.column is None) != (not self.equals):
            raise ValueError("column and equals belong together")
        if not self.path and self.column is None:
            raise ValueError("a source has a path, or a column and what it equals")
        return self

    def name_of(self, rule: str) -> str:
        """How the ledger names a rule of this source, such as `acme/*: prices`."""
        patterns, values = ", ".join(self.path), ", ".join(self.equals)
        of_column = "" if self.column is None else f"{self.column} {values}"
        return f"{' and '.join(filter(None, (patterns, of_column)))}: {rule}"

    def takes(self, path: str, own: Mapping[str, Any]) -> bool:
        """Whether a picture belongs to this source."""
        if self.path and not any(matches_path(path, pattern) for pattern in self.path):
            return False
        return self.column is None or _spelled(own.get(self.column)) in self.equals


class Selection(Rules):
    """Which of the found texts go: the rules of each source, and those of all other pictures."""

    sources: tuple[Source, ...] = ()

    @property
    def rest(self) -> Action:
        """What becomes of a text that no rule means.

        Rules that are all about sources ask nothing of other pictures, so these keep their texts.
        """
        asks_nothing = self.otherwise is None and not self.rules
        return "keep" if self.sources and asks_nothing else super().rest

    def rules_for(self, path: str, own: Mapping[str, Any]) -> Rules:
        """The rules of a picture: those of the first source that takes it, or the general ones."""
        return next((source for source in self.sources if source.takes(path, own)), self)

    @property
    def columns(self) -> list[str]:
        """The columns of the manifest that decide which rules apply."""
        return list(dict.fromkeys(source.column for source in self.sources if source.column is not None))

    @property
    def absolute_patterns(self) -> list[str]:
        """The patterns of sources that mean absolute paths or URLs."""
        return [pattern for source in self.sources for pattern in source.path if is_absolute(pattern)]

    @property
    def reads(self) -> bool:
        """Whether any rule of any source asks what a text says."""
        return self.needs_reading or any(source.needs_reading for source in self.sources)
