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
    "regions.origin",
    "regions.probability",
    "regions.state",
    "regions.reason",
    "regions.overlay",
)
"""The columns that are filled after a detection; given masks fill the same ones. New regions have
no overlay; `find_marks` gives one to the marks that it finds.
"""


OPEN = "open"
"""The state of a region without a good fill."""
ACCEPTED = "accepted"
"""The state of a region with a good fill."""
KEPT = "kept"
"""The state of a region that is not to be erased."""
ERASED = "erased"
"""The final state of a region whose fill the picture shows."""
REFUSED = "refused"
"""The final state of a region that keeps its pixels because no fill was good enough."""


def new_region(
    polygons: list[list[list[float]]],
    score: float,
    kind: str,
    data: Pixels,
    box: Box,
    kept: str | None = None,
    origin: str | None = None,
) -> RegionRecord:
    """A new region with its polygons and its uint8 probability map `data`, which spans `box`.

    The region is open, or kept for the reason `kept`. `origin` says who found it.
    """
    return {
        "polygons": polygons,
        "score": score,
        "kind": kind,
        "origin": origin,
        "probability": {
            "data": data.tobytes(),
            "width": data.shape[1],
            "height": data.shape[0],
            "box": box.record(),
        },
        "state": OPEN if kept is None else KEPT,
        "reason": kept,
    }
