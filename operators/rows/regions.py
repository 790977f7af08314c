"""What a region is when it is new: the columns that finding fills, and the record it starts from."""

from __future__ import annotations

from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import (
    RegionRecord,
)

FOUND_COLUMNS = ("width", "height", "mode", "regions")
"""The columns that a detection replaces as a whole."""

DETECTED = (
    "width",
    "height",
    "mode",
    "regions.polygons",
    "regions.score",
    "regions.kind",
    "regions.probability",
)
"""What stands in the row after a detection, given masks included."""


def new_region(polygons: list[list[list[float]]], score: float, kind: str, data: Pixels, box: Box) -> RegionRecord:
    """A new region: its polygons, and the uint8 probability `data` that spans `box`."""
    return {
        "polygons": polygons,
        "score": score,
        "kind": kind,
        "probability": {
            "data": data.tobytes(),
            "width": data.shape[1],
            "height": data.shape[0],
            "box": box.record(),
        },
    }
