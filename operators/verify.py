"""`verify`: is each fill better than none?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import cv2
import pyarrow as pa

from operators.decisions.gate import calibration, model_of
from operators.masks.geometry import rasterised
from operators.masks.mask import BLEND, pasted
from operators.metrics.fills import measure_fill
from operators.operator import Operator
from operators.rows.arrays import Pixels, Selection
from operators.rows.checks import check, judged_rungs
from operators.rows.records import (
    CheckRecord,
    JsonObject,
    ModelRecord,
)
from operators.rows.table import Additions, Region, Row, map_rows
from operators.vision.stroke_network import Line, stroke_network, stroke_network_identity
from operators.vision.text_detector import (
    TEXT_THRESHOLD,
    Probability,
    Scale,
    has_contrast,
    text_detector,
    text_detector_identity,
)


@dataclass(frozen=True)
class Limits:
    """The most that each check may be; a fill that exceeds one of them stays open for the next
    rung.
    """

    missing: float = 0.0
    """1 where a fill is missing or of another size than its crop."""
    residual_text: float = 0.1
    """Share of the text's own pixels that still look like text."""
    colour_shift: float = 25.0
    """CIELAB distance between edit and ring; see `lab_difference`."""
    seam: float = 2.5
    """Luma step across the edit's border over the step in the ring; see `seam_ratio`."""


@dataclass(frozen=True)
class Verify(Operator):
    """Measure every fill that is still open, then decide: accepted, or left to the next rung.

    Only what is known without the truth counts: the detector's second look, the ring round the
    edit, the fill itself. The check `predicted_distance` is the calibrated gate's. A value that
    cannot be measured (no ring, say) is NaN and passes; a missing fill never does.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "width",
        "height",
        "regions.polygons",
        "regions.kind",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.fill",
        "regions.rung",
        "regions.passes",
        "regions.checks",
        "regions.state",
    )
    adds: ClassVar[tuple[str, ...]] = ("regions.checks", "regions.state")
    limits: Limits = Limits()
    scale: Scale = Scale()
    gated: bool = True
    """Whether the calibrated gate decides too, beside the limits."""

    def models(self) -> list[ModelRecord]:
        """The text detector and the stroke network."""
        return [text_detector_identity(), stroke_network_identity()]

    def open(self) -> None:
        """Load the text detector and the stroke network."""
        text_detector()
        stroke_network()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Verify the open regions of one batch."""
        return map_rows(batch, self.name, self.adds, self._verify)

    def settings(self) -> JsonObject:
        """The fields, and which calibration the gate follows."""
        return {**super().settings(), "calibration": calibration().get("suite_checksum")}

    def _verify(self, row: Row) -> Additions | None:
        regions = row.regions
        if not any(_unjudged(region) for region in regions):
            return None
        factor = self.scale.factor(row["width"], row["height"])
        checks, states = [], []
        for region in regions:
            made, state = region["checks"], region["state"]
            if _unjudged(region):
                new = self.check_fill(region["rung"], measured_region(region, factor))
                made = [*made, *new]
                state = "accepted" if all(one["passed"] for one in new) else "open"
            checks.append(made)
            states.append(state)
        return {"regions.checks": checks, "regions.state": states}

    def check_fill(self, rung: str, measurements: Mapping[str, float] | None) -> list[CheckRecord]:
        """The checks of one fill: what was measured beside its limits; `measurements` is None for
        a missing fill.
        """
        if measurements is None:
            return [check(rung, "missing", 1.0, self.limits.missing)]
        made = [
            check(rung, name, measurements[name], getattr(self.limits, name))
            for name in ("residual_text", "colour_shift", "seam")
        ]
        model = model_of(rung) if self.gated else None
        return (
            [*made, check(rung, "predicted_distance", model.predicted_distance(measurements), model.bound)] if model else made
        )


def measured_region(region: Region, factor: float) -> dict[str, float] | None:
    """The gate's measurements of a region's fill, the detector looking at `factor` times its
    size; None without a fill.
    """
    pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4), region.fill()
    if fill is None or fill.shape != pixels.shape:
        return None
    result = pasted(pixels, fill, mask[:, :, BLEND])
    residual = strokes = 0.0
    if region["kind"] == "text":
        text = rasterised(region["polygons"], region.crop) > 0
        residual = _share_read(text_detector().probability(result, factor), text, has_contrast(result))
        strokes = _strokes_left(result, region)
    return measure_fill(result, mask, residual, strokes)


def _strokes_left(result: Pixels, region: Region) -> float:
    """The largest share of a polygon that the stroke network still calls touched by text, among
    the region's polygons.
    """
    crop, left = region.crop, 0.0
    for polygon in region.polygons_on_crop():
        line = Line.of([polygon], crop.width, crop.height)
        found = stroke_network().line_probability(result[line.place], line)
        inside = line.inside > 0
        left = max(left, float(found[inside].mean()) if inside.any() else 0.0)
    return left


def _unjudged(region: Region) -> bool:
    """Whether a region has had a fill, or an attempt at one, that no check stands for yet."""
    return bool(region["state"] == "open" and (region["passes"] or 0) > len(judged_rungs(region["checks"] or [])))


def _share_read(probability: Probability, text: Selection, visible: Selection) -> float:
    """The share of `text` pixels that the detector's map (at its own resolution) still calls text
    (above 0.3).

    Only where something is `visible`: the detector calls some perfectly flat pictures text.
    """
    scaled = cv2.resize(probability, text.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return float(((scaled > TEXT_THRESHOLD) & visible)[text].mean()) if text.any() else 0.0
