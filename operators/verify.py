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
from operators.rows.records import CheckRecord, JsonObject, ModelRecord
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
class CheckLimits:
    """The largest value of each check that passes.

    A fill that exceeds any of them stays open for the next rung.
    """

    missing: float = 0.0
    """The value is 1 if a fill is missing or has another size than its crop."""
    residual_text: float = 0.1
    """Share of the text's pixels that still look like text."""
    colour_shift: float = 25.0
    """CIELAB distance between edit and ring; see `lab_difference`."""
    seam: float = 2.5
    """Luma step across the edit's border, divided by the step in the ring; see `seam_ratio`."""


@dataclass(frozen=True)
class Verify(Operator):
    """Decide whether each new fill is better than none: measure it, then accept or refuse it.

    The true picture is not known, so the checks use the fill itself, the ring around the edit, and
    a second look by the detector and the stroke network. The calibrated gate adds the check
    `predicted_distance`. A value that cannot be measured, for lack of a ring for example, is NaN
    and passes. A missing fill never passes. A refused region stays open for the next rung.
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
    limits: CheckLimits = CheckLimits()
    scale: Scale = Scale()
    gated: bool = True
    """Whether the calibrated gate decides in addition to the limits."""

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
        """The fields, and the checksum of the suite that the gate was calibrated on."""
        return {**super().settings(), "calibration": calibration().get("suite_checksum")}

    def _verify(self, row: Row) -> Additions | None:
        regions = row.regions
        if not any(_is_unjudged(region) for region in regions):
            return None
        factor = self.scale.factor(row["width"], row["height"])
        checks, states = [], []
        for region in regions:
            region_checks, state = region["checks"], region["state"]
            if _is_unjudged(region):
                new = self.check_fill(region["rung"], measure_region(region, factor))
                region_checks = [*region_checks, *new]
                state = "accepted" if all(record["passed"] for record in new) else "open"
            checks.append(region_checks)
            states.append(state)
        return {"regions.checks": checks, "regions.state": states}

    def check_fill(self, rung: str, measurements: Mapping[str, float] | None) -> list[CheckRecord]:
        """The checks of one fill by `rung`; `measurements` is None for a missing fill."""
        if measurements is None:
            return [check(rung, "missing", 1.0, self.limits.missing)]
        checks = [
            check(rung, name, measurements[name], getattr(self.limits, name))
            for name in ("residual_text", "colour_shift", "seam")
        ]
        model = model_of(rung) if self.gated else None
        if model is not None:
            checks.append(check(rung, "predicted_distance", model.predicted_distance(measurements), model.bound))
        return checks


def measure_region(region: Region, factor: float) -> dict[str, float] | None:
    """The gate's measurements of a region's fill; see `measure_fill`.

    The detector looks at the pasted fill at `factor` times its size. None if the fill is missing
    or has another size than its crop.
    """
    pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4), region.fill()
    if fill is None or fill.shape != pixels.shape:
        return None
    result = pasted(pixels, fill, mask[:, :, BLEND])
    residual = strokes = 0.0
    if region["kind"] == "text":
        text = rasterised(region["polygons"], region.crop) > 0
        residual = _text_share(text_detector().probability(result, factor), text, has_contrast(result))
        strokes = _stroke_share(result, region)
    return measure_fill(result, mask, residual, strokes)


def _stroke_share(result: Pixels, region: Region) -> float:
    """The mean stroke probability inside a polygon, the largest of the region's polygons."""
    crop, largest = region.crop, 0.0
    for polygon in region.polygons_on_crop():
        line = Line.of([polygon], crop.width, crop.height)
        probability = stroke_network().line_probability(result[line.place], line)
        inside = line.inside > 0
        if inside.any():
            largest = max(largest, float(probability[inside].mean()))
    return largest


def _is_unjudged(region: Region) -> bool:
    """Whether a region has had a fill, or an attempt at one, that has no checks yet."""
    return bool(region["state"] == "open" and (region["passes"] or 0) > len(judged_rungs(region["checks"] or [])))


def _text_share(probability: Probability, text: Selection, visible: Selection) -> float:
    """The share of `text` pixels that are `visible` and still look like text to the detector.

    `probability` is the detector's map at its own resolution; text is above TEXT_THRESHOLD. Only
    visible pixels count, because the detector takes some perfectly flat pictures for text.
    """
    scaled = cv2.resize(probability, text.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return float(((scaled > TEXT_THRESHOLD) & visible)[text].mean()) if text.any() else 0.0
