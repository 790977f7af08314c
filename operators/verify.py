"""`verify`: is each fill better than none?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import pyarrow as pa

from operators.inpaint import pasted
from operators.mask import BLEND, CORE, Box, rasterised, ring
from operators.metrics.continuity import Selection, lab_difference, seam_ratio
from operators.metrics.naturalness import detail_ratio
from operators.operator import Operator
from operators.table import Additions, Region, Row, map_rows
from operators.text_detector import Probability, Scale, text_detector


@dataclass(frozen=True)
class Limits:
    """The most that each measurement may be; a fill that exceeds one of them stays open for the next rung."""

    missing: float = 0.0
    """1 where a fill is missing or of another size than its crop."""
    residual_text: float = 0.1
    """Share of the text's own pixels that still look like text."""
    seam: float = 2.0
    """Luma step across the edit's border over the step in the ring; see `seam_ratio`."""
    colour_shift: float = 20.0
    """CIELAB distance between edit and ring; see `lab_difference`."""
    detail_loss: float = 0.8
    """Octaves by which the edit has less fine detail than the ring; see `detail_ratio`."""
    detail_gain: float = 1.2
    """Octaves by which it has more."""


@dataclass(frozen=True)
class Verify(Operator):
    """Measure every fill that is still open, then decide: accepted, or left to the next rung.

    Only what is known without the truth counts: the detector's second look, the ring round the edit, the fill itself. A
    value that cannot be measured (no ring, say) is NaN and passes; a missing fill never does.
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
        "regions.state",
    )
    adds: ClassVar[tuple[str, ...]] = ("regions.checks", "regions.state")
    limits: Limits = Limits()
    scale: Scale = Scale()
    ring_width: int = 12

    def open(self) -> None:
        """Load the text detector."""
        text_detector()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Verify the open regions of one batch."""
        return map_rows(batch, self.name, self.adds, self._verify)

    def _verify(self, row: Row) -> Additions | None:
        regions = row.regions
        if all(region["state"] != "open" for region in regions):
            return None
        factor = self.scale.factor(row["width"], row["height"])
        checks, states = [], []
        for region in regions:
            made, state = region["checks"], region["state"]
            if state == "open":
                new = self._decided(region["rung"], self._measured(region, factor))
                made = [*made, *new]
                state = "accepted" if all(check["passed"] for check in new) else "open"
            checks.append(made)
            states.append(state)
        return {"regions.checks": checks, "regions.state": states}

    def _measured(self, region: Region, factor: float) -> dict[str, float]:
        pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4), region.fill()
        if fill is None or fill.shape != pixels.shape:
            return {"missing": 1.0}
        result = pasted(pixels, fill, mask[:, :, BLEND])
        edited = mask[:, :, BLEND] > 127
        around = ring(edited, (mask[:, :, CORE] > 0) | (mask[:, :, BLEND] > 0), self.ring_width)
        border = ring(edited, mask[:, :, CORE] > 0, 1) | around
        detail = detail_ratio(result, edited, around)
        measured = {
            "missing": 0.0,
            "seam": seam_ratio(result, edited, border),
            "colour_shift": lab_difference(result, edited, around),
            "detail_loss": max(0.0, -detail),
            "detail_gain": max(0.0, detail),
        }
        if region["kind"] == "text":
            crop = Box(**region["crop"])
            text = rasterised(region["polygons"], crop) > 0
            probability = text_detector().probability(result, factor)
            measured["residual_text"] = _share_read(probability, text)
        return measured

    def _decided(self, rung: str, measured: dict[str, float]) -> Sequence[dict[str, Any]]:
        limits = {name: float(getattr(self.limits, name)) for name in measured}
        return [
            {"rung": rung, "name": name, "value": value, "limit": limits[name], "passed": not value > limits[name]}
            for name, value in measured.items()
        ]


def _share_read(probability: Probability, text: Selection) -> float:
    """The share of `text` pixels that the detector's map (at its own resolution) still calls text (above 0.3)."""
    scaled = cv2.resize(probability, text.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return float((scaled[text] > 0.3).mean()) if text.any() else 0.0


def reasons_of(checks: Sequence[dict[str, Any]]) -> list[str]:
    """One line for every check that did not pass, naming rung, measurement, value and limit."""
    return [
        f"{check['rung']}: {check['name']} {check['value']:.3g} > {check['limit']:.3g}"
        for check in checks
        if not check["passed"]
    ]
