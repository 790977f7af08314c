"""`cover`: hide what is to go for good, instead of continuing the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import ClassVar

import numpy as np
import pyarrow as pa

from operators.generators.covers import COVERS
from operators.generators.seeds import seed_of
from operators.masks.geometry import Polygon, rasterised, stroke_height
from operators.masks.mask import BLEND, CONFIDENCE, CORE, dilated, empty_mask, pasted
from operators.masks.protection import beside, whole_letters
from operators.operator import Operator
from operators.rows.arrays import Pixels, Selection
from operators.rows.checks import check
from operators.rows.failure import RunError
from operators.rows.records import CheckRecord, ModelRecord
from operators.rows.regions import ACCEPTED, KEPT, OPEN
from operators.rows.table import Additions, Region, Row, fill_record, map_rows
from operators.vision.line_reading import read_line
from operators.vision.recogniser import recogniser, recogniser_identity

ADDED = ("mask", "fill", "rung", "seed", "passes", "repeatable", "checks", "state")
MARGIN = 0.12
"""How far a cover reaches out of the polygon, in heights of the line."""
LEAST_MARGIN = 2
"""The same at least, in pixels."""
READ_SURELY = 0.5
"""Mean probability of the characters (0..1) from which a covered text counts as read."""


@dataclass(frozen=True)
class Cover(Operator):
    """Cover each open region as a whole: with one colour, with blocks, or with a blur.

    Nothing of the letters enters a cover; see `operators.generators.covers`. It takes the place of
    the ladder, after `soften`. A covered text is read again. If anything of it can be read, one
    colour is tried instead. A region that fails its checks stays open, and so is refused.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = (
        "regions.polygons",
        "regions.kind",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.passes",
        "regions.checks",
        "regions.state",
    )
    adds: ClassVar[tuple[str, ...]] = tuple(f"regions.{name}" for name in ADDED)
    how: str = "color"
    """A key of COVERS."""
    seed: int = 0
    most_readable: float = 0.34
    """The largest share of the characters read before that may be read again."""

    def __post_init__(self) -> None:
        if self.how not in COVERS:
            raise RunError("option_invalid", f"--fill {self.how}: choose from {', '.join(COVERS)}")

    def models(self) -> list[ModelRecord]:
        """The recogniser."""
        return [recogniser_identity()]

    def open(self) -> None:
        """Load the recogniser."""
        recogniser()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Cover the open regions of one batch."""
        return map_rows(batch, self.name, self.adds, self._cover)

    def _cover(self, row: Row) -> Additions | None:
        regions = row.regions
        new = [region["state"] == OPEN and region["crop"] is not None and region["passes"] == 0 for region in regions]
        if not any(new):
            return None
        kept = [polygon for region in regions if region["state"] == KEPT and region["rule"] for polygon in region["polygons"]]
        ends = [
            self._covered(region, kept) if is_new else {name: region[name] for name in ADDED}
            for region, is_new in zip(regions, new, strict=True)
        ]
        return {f"regions.{name}": [end[name] for end in ends] for name in ADDED}

    def _covered(self, region: Region, kept: Sequence[Polygon]) -> dict[str, object]:
        """The children of a region with its cover and the checks of it."""
        pixels, before = region.array("pixels", 3), region.array("mask", 4)
        area = self._area(region, before, kept)
        mask = empty_mask(region.crop)
        for channel in (CORE, BLEND, CONFIDENCE):
            mask[:, :, channel][area] = 255
        strokes = before[:, :, CORE] > 0
        height = max(stroke_height(polygon) for polygon in region["polygons"])
        # The seed must not depend on the picture, so that nobody can test guesses with it.
        seed = seed_of(self.seed, "", region["crop"], self.how, 1)
        checks: list[CheckRecord] = []
        for how in dict.fromkeys((self.how, "color")):
            fill = COVERS[how](pixels, area, strokes, height, seed) if area.any() else pixels.copy()
            readable = self._readable(region, pixels, pasted(pixels, fill, mask[:, :, BLEND]))
            checks.append(check(how, "readable", readable, self.most_readable))
            if checks[-1]["passed"]:
                break
        return {
            "mask": mask.tobytes(),
            "fill": fill_record(fill),
            "rung": how,
            "seed": seed,
            "passes": 1,
            "repeatable": True,
            "checks": [*(region["checks"] or []), *checks],
            "state": ACCEPTED if checks[-1]["passed"] else OPEN,
        }

    def _area(self, region: Region, mask: Pixels, kept: Sequence[Polygon]) -> Selection:
        """The pixels that are covered: the polygon and all strokes, without what stays."""
        own: Selection = mask[:, :, BLEND] > 0
        if region["kind"] != "text":
            return own
        polygons = region.polygons_on_crop()
        height = max(stroke_height(polygon) for polygon in polygons)
        inside = rasterised(region["polygons"], region.crop)
        area: Selection = (dilated(inside, max(LEAST_MARGIN, round(MARGIN * height))) > 0) | own
        protected = beside(region["polygons"], kept, region.crop)
        if protected.any():
            others = np.where((mask[:, :, CORE] > 0) & ~own, 255, 0).astype(np.uint8)
            area &= ~whole_letters(protected, others)
        return area

    def _readable(self, region: Region, before: Pixels, after: Pixels) -> float:
        """The share of the characters read before that are read again, in the same order, 0..1."""
        if region["kind"] != "text":
            return 0.0
        shares = [0.0]
        for polygon in region.polygons_on_crop():
            again = read_line(np.ascontiguousarray(after), polygon, LEAST_MARGIN)
            if again.confidence < READ_SURELY:
                continue
            text = read_line(np.ascontiguousarray(before), polygon, LEAST_MARGIN).text
            blocks = SequenceMatcher(None, text, again.text, autojunk=False).get_matching_blocks()
            shares.append(sum(block.size for block in blocks) / max(1, len(text)))
        return max(shares)
