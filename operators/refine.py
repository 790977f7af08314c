"""`refine`: what did the mask miss?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa

from operators.decisions.routing import REFINED
from operators.inpaint import pasted
from operators.masks.mask import BLEND, CORE, Box, bounding_box, rasterised, stroke_height
from operators.operator import Operator
from operators.rows.table import Additions, Pixels, Region, Row, map_rows
from operators.soften import Soften
from operators.vision.stroke_network import round_line, stroke_network
from operators.vision.text_detector import has_contrast


@dataclass(frozen=True)
class Refine(Operator):
    """Look once more at fills that were refused for the text left in them, and grow the mask where strokes remain.

    Such a region takes the route REFINED, for a second fill by the same rung; regions in which nothing more is found, or that
    were refused for other reasons, pass as they are. Each further pass is one more `refine` in the ladder, and its cost
    stands in the row's timings.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "regions.polygons",
        "regions.kind",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.fill",
        "regions.rung",
        "regions.checks",
        "regions.state",
    )
    adds: ClassVar[tuple[str, ...]] = ("regions.mask", "regions.route")
    rung: str = "patchmatch"
    """The rung whose fills are looked at."""
    soften: Soften = Soften()
    """The settings by which the masks were made."""

    @property
    def name(self) -> str:
        """`refine_` and the rung."""
        return f"refine_{self.rung}"

    def open(self) -> None:
        """Load the stroke network."""
        stroke_network()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Refine the open regions of one batch."""
        return map_rows(batch, self.name, self.adds, self._refine)

    def _refine(self, row: Row) -> Additions | None:
        grown = [self._grown(region) if self._refused(region) else None for region in row.regions]
        if all(mask is None for mask in grown):
            return None
        pairs = list(zip(row.regions, grown, strict=True))
        return {
            "regions.mask": [region.array("mask", 4).tobytes() if mask is None else mask.tobytes() for region, mask in pairs],
            "regions.route": [region["route"] if mask is None else REFINED for region, mask in pairs],
        }

    def _refused(self, region: Region) -> bool:
        """Whether the region's last fill is this rung's, and was refused for the text left in it."""
        last: dict[str, Any] = {check["name"]: check for check in region["checks"] or [] if check["rung"] == self.rung}
        left = last.get("residual_text")
        return bool(
            region["state"] == "open"
            and region["kind"] == "text"
            and region["rung"] == self.rung
            and left
            and not left["passed"]
        )

    def _grown(self, region: Region) -> Pixels | None:
        """The region's mask with the strokes that its fill still shows; None where there are none."""
        pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4).copy(), region.fill()
        if fill is None or fill.shape != pixels.shape:
            return None
        crop = Box(**region["crop"])
        result = pasted(pixels, fill, mask[:, :, BLEND])
        visible = has_contrast(result)
        before = mask[:, :, BLEND].copy()
        for polygon in region["polygons"]:
            moved = [[x - crop.x, y - crop.y] for x, y in polygon]
            height = max(1.0, stroke_height(moved))
            reach = round_line(bounding_box([moved], crop.width, crop.height), height, crop.width, crop.height)
            place = np.s_[reach.y : reach.y + reach.height, reach.x : reach.x + reach.width]
            inside = rasterised([moved], reach)
            found = stroke_network().probability(np.ascontiguousarray(result[place]), inside, height, self.soften.seen_height)
            strokes = np.where((found >= self.soften.least_probability) & visible[place], 255, 0).astype(np.uint8)
            core = self.soften.grown(strokes, height)
            mask[place][:, :, CORE] = np.maximum(mask[place][:, :, CORE], core)
            mask[place][:, :, BLEND] = np.maximum(mask[place][:, :, BLEND], core)
        return mask if (mask[:, :, BLEND] > before).any() else None
