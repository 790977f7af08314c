"""New regions: the columns that a detection fills, and the record that a region starts from."""

from __future__ import annotations

from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import RegionRecord

FOUND_COLUMNS = ("width", "height", "mode", "regions")
"""The columns that a detection replaces."""

DETECTED = (
    "width",
    "height",
    "mode",
    "regions.polygons",
    "regions.score",
    "regions.kind",
    "regions.probability",
    "regions.state",
    "regions.reason",
)
"""The columns that are filled after a detection; given masks fill the same ones."""


def new_region(
    polygons: list[list[list[float]]],
    score: float,
    kind: str,
    data: Pixels,
    box: Box,
    reason: str | None = None,
) -> RegionRecord:
    """A new region with its polygons and its uint8 probability map `data`, which spans `box`.

    With a `reason` the region is kept as it is in the picture.
    """
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
        "state": None if reason is None else "kept",
        "reason": reason,
    }
