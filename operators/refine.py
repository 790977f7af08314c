"""`refine`: what did the mask miss?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from operators.decisions.routing import REFINED
from operators.masks.mask import BLEND, CORE, pasted
from operators.masks.stroke_mask import StrokeMask
from operators.operator import Operator
from operators.rows.arrays import Pixels
from operators.rows.records import (
    CheckRecord,
    ModelRecord,
)
from operators.rows.table import Additions, Region, Row, map_rows
from operators.vision.stroke_network import LINE_HEIGHT, Line, stroke_network, stroke_network_identity
from operators.vision.text_detector import has_contrast


@dataclass(frozen=True)
class Refine(Operator):
    """Look once more at fills that were refused for the text left in them, and grow the mask
    where strokes remain.

    Such a region takes the route REFINED, for a second fill by the same rung; regions in which
    nothing more is found, or that were refused for other reasons, pass as they are. Each further
    pass is one more `refine` in the ladder, and its cost stands in the row's timings.
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
    strokes: StrokeMask = StrokeMask()
    """How the network's probabilities become weights; the same as in `Soften`."""
    seen_height: int = LINE_HEIGHT
    """Pixels that a line is high when the stroke network sees it; the same as in `Soften`."""

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
        last: dict[str, CheckRecord] = {check["name"]: check for check in region["checks"] or [] if check["rung"] == self.rung}
        left = last.get("residual_text")
        return bool(
            region["state"] == "open"
            and region["kind"] == "text"
            and region["rung"] == self.rung
            and left
            and not left["passed"]
        )

    def _grown(self, region: Region) -> Pixels | None:
        """The region's mask with the strokes that its fill still shows; None where there are
        none.
        """
        pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4).copy(), region.fill()
        if fill is None or fill.shape != pixels.shape:
            return None
        crop = region.crop
        result = pasted(pixels, fill, mask[:, :, BLEND])
        visible = has_contrast(result)
        before = mask[:, :, BLEND].copy()
        for polygon in region.polygons_on_crop():
            line = Line.of([polygon], crop.width, crop.height)
            found = stroke_network().line_probability(result[line.place], line, self.seen_height)
            strokes = np.where(self.strokes.touched(found) & visible[line.place], 255, 0).astype(np.uint8)
            core = self.strokes.grown(strokes, line.height)
            part = mask[line.place]
            part[:, :, CORE] = np.maximum(part[:, :, CORE], core)
            part[:, :, BLEND] = np.maximum(part[:, :, BLEND], core)
        return mask if (mask[:, :, BLEND] > before).any() else None
