"""`refine`: which strokes did the mask miss?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from operators.decisions.routing import REFINED
from operators.masks.geometry import Polygon, stroke_height
from operators.masks.mask import BLEND, CORE, pasted
from operators.masks.page_lines import page_lines
from operators.masks.protection import beside
from operators.masks.stroke_mask import StrokeMask
from operators.metrics.remains import letters_of_others, remains_of_line
from operators.operator import Operator
from operators.rows.arrays import Pixels
from operators.rows.records import CheckRecord, ModelRecord
from operators.rows.regions import KEPT
from operators.rows.table import Additions, Region, Row, map_rows
from operators.vision.stroke_network import stroke_network, stroke_network_identity


@dataclass(frozen=True)
class Refine(Operator):
    """Find the strokes that a refused fill still shows, and add them to the region's mask.

    Only fills that were refused for the text left in them are examined. A region whose mask grows
    takes the route REFINED, for a second fill by the same rung. All other regions pass unchanged.
    For a further pass, add one more `refine` to the ladder; its cost appears in the row's timings.
    """

    by_content: ClassVar[bool] = True
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
    """The rung whose fills are examined."""
    strokes: StrokeMask = StrokeMask()
    """How the network's probabilities become weights; the same as in `Soften`."""

    @property
    def name(self) -> str:
        """`refine_` and the rung."""
        return f"refine_{self.rung}"

    def models(self) -> list[ModelRecord]:
        """The stroke network."""
        return [stroke_network_identity()]

    def open(self) -> None:
        """Load the stroke network."""
        stroke_network()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Refine the open regions of one batch."""
        return map_rows(batch, self.name, self.adds, self._refine)

    def _refine(self, row: Row) -> Additions | None:
        regions = row.regions
        kept = [polygon for region in regions if region["state"] == KEPT and region["rule"] for polygon in region["polygons"]]
        masks = [self._grow_mask(region, kept) if self._was_refused(region) else None for region in regions]
        if all(mask is None for mask in masks):
            return None
        pairs = list(zip(regions, masks, strict=True))
        return {
            "regions.mask": [region["mask"] if mask is None else mask.tobytes() for region, mask in pairs],
            "regions.route": [region["route"] if mask is None else REFINED for region, mask in pairs],
        }

    def _was_refused(self, region: Region) -> bool:
        """Whether the region's last fill is this rung's and was refused for the text left in it."""
        last: dict[str, CheckRecord] = {check["name"]: check for check in region["checks"] or [] if check["rung"] == self.rung}
        residual_text = last.get("residual_text")
        return bool(
            region["state"] == "open"
            and region["kind"] == "text"
            and region["rung"] == self.rung
            and residual_text
            and not residual_text["passed"]
        )

    def _grow_mask(self, region: Region, kept: Sequence[Polygon]) -> Pixels | None:
        """The region's mask with the strokes that its fill still shows; None if there are none.

        The polygons `kept` are those of texts that the user's rules keep, whose pixels stay.
        """
        pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4).copy(), region.fill()
        if fill is None or fill.shape != pixels.shape:
            return None
        result = pasted(pixels, fill, mask[:, :, BLEND])
        before = mask[:, :, BLEND].copy()
        stays = beside(region["polygons"], kept, region.crop)
        if kept:
            stays |= (mask[:, :, CORE] > 0) & (before == 0)
        for polygon in region.polygons_on_crop():
            _, strokes = remains_of_line(result, polygon, letters_of_others(mask))
            height = max(1.0, stroke_height(polygon))
            found = np.where(strokes, 255, 0).astype(np.uint8)
            lines, _ = page_lines(pixels, found, height)
            core, _ = self.strokes.traced(pixels, found, height, lines)
            core = np.where(stays, 0, core).astype(np.uint8)
            for channel in (CORE, BLEND):
                mask[:, :, channel] = np.maximum(mask[:, :, channel], core)
        return mask if (mask[:, :, BLEND] > before).any() else None
