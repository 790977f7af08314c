"""A rectangle of pixels."""

from __future__ import annotations

from dataclasses import dataclass

from operators.rows.records import BoxRecord


@dataclass(frozen=True)
class Box:
    """A rectangle in upright source pixels."""

    x: int
    y: int
    width: int
    height: int

    def record(self) -> BoxRecord:
        """The box as the row's BOX struct."""
        return {"x": self.x, "y": self.y, "width": self.width, "height": self.height}

    @property
    def area(self) -> int:
        """The number of pixels in the box."""
        return self.width * self.height

    def union(self, other: Box) -> Box:
        """The smallest box that contains both."""
        x, y = min(self.x, other.x), min(self.y, other.y)
        right = max(self.x + self.width, other.x + other.width)
        bottom = max(self.y + self.height, other.y + other.height)
        return Box(x, y, right - x, bottom - y)

    def overlaps(self, other: Box) -> bool:
        """Whether the two boxes share a pixel."""
        return (
            self.x < other.x + other.width
            and other.x < self.x + self.width
            and self.y < other.y + other.height
            and other.y < self.y + self.height
        )

    def inside(self, other: Box) -> tuple[slice, slice]:
        """The rows and columns of this box in an array that spans `other`, which contains it."""
        x, y = self.x - other.x, self.y - other.y
        return slice(y, y + self.height), slice(x, x + self.width)

    def grown(self, margin: int, width: int, height: int) -> Box:
        """The box grown by `margin` pixels on each side, clipped to a width x height picture."""
        x, y = max(0, self.x - margin), max(0, self.y - margin)
        right, bottom = min(width, self.x + self.width + margin), min(height, self.y + self.height + margin)
        return Box(x, y, right - x, bottom - y)
