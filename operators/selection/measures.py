"""Numbers in rules: lengths in pixels or as shares of the picture, bounds of them, and zones."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

from operators.masks.geometry import Polygon, bounding_box, rasterised
from operators.rows.box import Box

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_LENGTH = re.compile(rf"({_NUMBER})\s*(%|px|)")
_BOUNDS = re.compile(rf"(?:({_NUMBER}\s*(?:%|px|)))?\s*\.\.\s*(?:({_NUMBER}\s*(?:%|px|)))?")
_ZONE = re.compile(r"\s*([a-z-]+|[^:,]+,[^:,]+)\s*:\s*([^x]+)x([^x]+?)\s*")

_ROWS, _COLUMNS = {"top": 0.0, "bottom": 1.0}, {"left": 0.0, "right": 1.0}
ANCHORS: dict[str, tuple[float, float]] = {
    "centre": (0.5, 0.5),
    "center": (0.5, 0.5),
    **{name: (0.5, y) for name, y in _ROWS.items()},
    **{name: (x, 0.5) for name, x in _COLUMNS.items()},
    **{f"{row}-{column}": (x, y) for row, y in _ROWS.items() for column, x in _COLUMNS.items()},
}
"""The places of a zone, as the shares of the free width and height to its left and above it."""
LEAST_INSIDE = 0.5
"""Share of a text's area from which it is in a zone."""


@dataclass(frozen=True)
class Length:
    """A number of pixels, or a share of a side of the picture."""

    value: float
    """Pixels, or a share where 1 is the whole side."""
    is_share: bool

    @classmethod
    def parse(cls, text: str) -> Length:
        """The length that `12`, `12px` or `1.5%` means. Raises ValueError."""
        match = _LENGTH.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text.strip()!r} is neither a number of pixels nor a share such as 15%")
        return cls(float(match[1]) / (100 if match[2] == "%" else 1), match[2] == "%")

    def pixels(self, side: float) -> float:
        """The length in pixels, in a picture whose side is that long."""
        return self.value * side if self.is_share else self.value


@dataclass(frozen=True)
class Bounds:
    """The least and the most that a measurement may be; both are inside."""

    least: Length | None
    most: Length | None

    @classmethod
    def parse(cls, text: str) -> Bounds:
        """The bounds that `10..40`, `..2%` or `0.6..` mean. Raises ValueError."""
        match = _BOUNDS.fullmatch(text.strip())
        if match is None or match[1] == match[2] is None:
            raise ValueError(f"{text!r} is no range such as 10..40, 2%.. or ..0.5")
        least, most = (None if part is None else Length.parse(part) for part in match.groups())
        if least and most and least.is_share == most.is_share and least.value > most.value:
            raise ValueError(f"{text!r} starts above its end")
        return cls(least, most)

    @property
    def has_shares(self) -> bool:
        """Whether one of the bounds is a share of the picture."""
        return any(length is not None and length.is_share for length in (self.least, self.most))

    def check_within(self, low: float, high: float) -> None:
        """Raise ValueError for a bound outside of what can be measured, `low` to `high`.

        Shares of a picture lie in 0..100% whatever is measured.
        """
        for length in (self.least, self.most):
            first, last = (0.0, 1.0) if length is not None and length.is_share else (low, high)
            if length is not None and not first <= length.value <= last:
                raise ValueError(f"only {_spelled(first, last, length.is_share)} is possible")

    def contain(self, value: float, side: float = math.nan) -> bool:
        """Whether a value is within the bounds; NaN never is. Shares are shares of `side`."""
        low = self.least is None or value >= self.least.pixels(side)
        return not math.isnan(value) and low and (self.most is None or value <= self.most.pixels(side))


def _spelled(low: float, high: float, are_shares: bool) -> str:
    ends = ["" if math.isinf(end) else f"{end:.0%}" if are_shares else f"{end:g}" for end in (low, high)]
    return "..".join(ends)


class Span(NamedTuple):
    """The part of one side of a picture that a zone takes, in pixels."""

    start: float
    end: float


@dataclass(frozen=True)
class Zone:
    """A rectangle of the upright picture, at one of its edges or corners or at a given place."""

    x: Length | None
    y: Length | None
    """The left upper corner; None for a zone with an anchor."""
    anchor: tuple[float, float]
    width: Length
    height: Length

    @classmethod
    def parse(cls, text: str) -> Zone:
        """The zone that `bottom-right:30%x15%` or `10,20:200x5%` means.

        Raises ValueError, also for a zone that reaches beyond every picture.
        """
        match = _ZONE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is no zone such as bottom-right:30%x15% or 10,20%:200x50")
        place, *sizes = match.groups()
        width, height = map(Length.parse, sizes)
        if min(width.value, height.value) <= 0:
            raise ValueError(f"{text!r} covers nothing")
        x = y = None
        if "," in place:
            x, y = map(Length.parse, place.split(","))
        elif place not in ANCHORS:
            raise ValueError(f"{place!r} is no place of a zone; choose from {', '.join(ANCHORS)}, or give X,Y")
        for start, length in ((x, width), (y, height)):
            share = sum(each.value for each in (start, length) if each is not None and each.is_share)
            if share > 1 + 1e-9 or (start is not None and (start.value < 0 or (start.is_share and start.value >= 1))):
                raise ValueError(f"{text!r} reaches outside the picture")
        return cls(x, y, ANCHORS.get(place, (0.0, 0.0)), width, height)

    def spans(self, width: int, height: int) -> tuple[Span, Span]:
        """The columns and rows of a width x height picture that the zone covers."""
        return (
            _span(self.x, self.width, self.anchor[0], width),
            _span(self.y, self.height, self.anchor[1], height),
        )

    def contains(self, polygons: list[Polygon], width: int, height: int) -> bool:
        """Whether at least LEAST_INSIDE of the area of the polygons is in the zone."""
        box = bounding_box(polygons, width, height)
        area = rasterised(polygons, box) > 0
        columns, rows = self.spans(width, height)
        inside = area[_indices(rows, box.y, box.height), _indices(columns, box.x, box.width)]
        return bool(inside.sum() >= LEAST_INSIDE * area.sum() > 0)

    def box(self, width: int, height: int) -> Box:
        """The zone in whole pixels of a width x height picture; empty if it is outside."""
        columns, rows = self.spans(width, height)
        left, right = (min(max(round(value), 0), width) for value in columns)
        top, bottom = (min(max(round(value), 0), height) for value in rows)
        return Box(left, top, right - left, bottom - top)


def _span(start: Length | None, length: Length, anchor: float, side: int) -> Span:
    size = min(length.pixels(side), side) if start is None else length.pixels(side)
    begin = anchor * (side - size) if start is None else start.pixels(side)
    return Span(begin, begin + size)


def _indices(span: Span, offset: int, size: int) -> slice:
    """The pixels of a box whose middles are in a span of the picture.

    The middle of pixel 0 is half a pixel from the picture's edge.
    """
    first, after = (min(max(math.ceil(edge - 0.5) - offset, 0), size) for edge in span)
    return slice(first, after)
