"""`see_through`: which picture shines through each translucent text or mark?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa

from operators.generators.classical import GROUND_NEAR, hybrid
from operators.generators.seeds import content_sha256, seed_of
from operators.masks.geometry import rasterised
from operators.masks.ground import estimate_ground
from operators.masks.mask import BLEND, CONFIDENCE, CORE, hole_of
from operators.masks.overlay import NOTHING, seen_through
from operators.masks.translucent import MOST_DEVIATION, SeenThrough, see_through
from operators.metrics.fills import measure_fill
from operators.metrics.overlay_trace import overlay_trace
from operators.metrics.remains import letters_of_others, visible_remains
from operators.operator import Operator
from operators.rows.arrays import Pixels, Selection
from operators.rows.checks import check
from operators.rows.overlay import Overlay
from operators.rows.records import CheckRecord, ModelRecord
from operators.rows.regions import ACCEPTED, OPEN
from operators.rows.table import Additions, Region, Row, fill_record, map_rows
from operators.vision.stroke_network import stroke_network, stroke_network_identity

ADDED = ("mask", "fill", "rung", "seed", "passes", "repeatable", "checks", "state", "opacity")
RUNG = "see_through"
FILL_VARIANCE = 400.0
"""Variance in squared grey levels of a fill's error, against which a recovered pixel is weighed."""
RECODED_NOISE = 4.0
"""Variance in squared grey levels of the errors that lossy files have."""
LIMITS: Mapping[str, float] = {"residual_text": 1.0, "jump": 40.0, "colour_shift": 25.0}
"""The largest value of each check that a recovered picture may have, as for fills."""
MOST_TRACE = 1.0
"""The largest `overlay_trace` of a recovered picture."""
MOST_SEAM = 2.0
"""The same for the `seam` of an estimated overlay: a step shows letters that were not found."""
MOSTLY_PLAIN = 0.9
"""Share of an estimated overlay's pixels with known ground from which fills continue that ground,
and are compared with it.
"""


@dataclass(frozen=True)
class Recovered:
    """What a region looks like without its overlay."""

    picture: Pixels
    """uint8 height x width x 3."""
    changed: Selection
    """The pixels on the overlay and its edges."""
    overlay: Overlay
    deviation: float | None = None
    """Standard deviation of an estimated opacity; None for a known overlay."""


@dataclass(frozen=True)
class SeeThrough(Operator):
    """Recover the picture below translucent texts and marks, instead of inventing one.

    The overlay of a known mark is in its region. For other texts opacity, colour and coverage are
    estimated from the picture; see `operators.masks.translucent`. A text that is opaque, or lies
    on a plain ground, is left to the rungs that fill. What is recovered is judged at once; a region
    that fails a check keeps its mask and stays open for the next rung.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = (
        "source_sha256",
        "regions.polygons",
        "regions.kind",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.transparency",
        "regions.overlay",
        "regions.strokes",
        "regions.passes",
        "regions.checks",
        "regions.state",
    )
    adds: ClassVar[tuple[str, ...]] = tuple(f"regions.{name}" for name in ADDED)
    seed: int = 0
    estimates: bool = False
    """Whether overlays that are not known are estimated."""
    most_pixels: int = 1_000_000
    """Pixels of a crop above which an overlay is not estimated, because of its cost."""

    @property
    def name(self) -> str:
        """`see_through`."""
        return RUNG

    def models(self) -> list[ModelRecord]:
        """The stroke network, which judges what is left."""
        return [stroke_network_identity()]

    def open(self) -> None:
        """Load the stroke network."""
        stroke_network()

    def apply(self, batch: pa.Table) -> pa.Table:
        """See through the open regions of one batch."""
        return map_rows(batch, self.name, self.adds, self._see)

    def _see(self, row: Row) -> Additions | None:
        regions = row.regions
        recovered = [self._recover(content_sha256(row), region) for region in regions]
        if all(one is None for one in recovered):
            return None
        ends = [
            {name: region[name] for name in ADDED} if one is None else self._record(content_sha256(row), region, one)
            for region, one in zip(regions, recovered, strict=True)
        ]
        return {f"regions.{name}": [end[name] for end in ends] for name in ADDED}

    def _recover(self, content: str, region: Region) -> Recovered | None:
        """The region without its overlay; None if it has none that can be seen through."""
        if region["state"] != OPEN or region["crop"] is None or region["passes"] or region.transparency() is not None:
            return None
        pixels, mask, overlay = region.array("pixels", 3), region.array("mask", 4), region.overlay()
        if overlay is not None:
            fill = hybrid(pixels, hole_of(mask), self._seed(content, region))
            picture = seen_through(pixels, overlay, fill, FILL_VARIANCE, RECODED_NOISE)
            return Recovered(picture, overlay.alpha >= NOTHING, overlay)
        if (
            not self.estimates
            or region["kind"] != "text"
            or region["strokes"] != "found"
            or mask[:, :, 0].size > self.most_pixels
        ):
            return None
        found = self._estimate(region, pixels, mask)
        if found is None or _lies_on_plain_ground(pixels, found.changed):
            return None
        return Recovered(found.picture, found.changed, found.overlay, found.deviation)

    def _estimate(self, region: Region, pixels: Pixels, mask: Pixels) -> SeenThrough | None:
        others = letters_of_others(mask)
        inside = rasterised(region["polygons"], region.crop) > 0
        probability = mask[:, :, CONFIDENCE].astype(np.float32) / np.float32(255)
        return see_through(pixels, hole_of(mask) > 0, probability, inside & ~others)

    def _seed(self, content: str, region: Region) -> int:
        return seed_of(self.seed, content, region["crop"], RUNG, 1)

    def _record(self, content: str, region: Region, recovered: Recovered) -> dict[str, object]:
        """The region's children after it has been seen through and judged."""
        before = region.array("mask", 4)
        mask = before.copy()
        mask[:, :, CORE] = np.maximum(mask[:, :, CORE], np.where(recovered.changed, 255, 0))
        mask[:, :, BLEND] = np.where(recovered.changed, 255, 0)
        checks = _judge(region, recovered, mask)
        good = all(record["passed"] for record in checks)
        return {
            "mask": (mask if good else before).tobytes(),
            "fill": fill_record(recovered.picture) if good else None,
            "rung": RUNG,
            "seed": self._seed(content, region),
            "passes": 1,
            "repeatable": True,
            "checks": [*(region["checks"] or []), *checks],
            "state": ACCEPTED if good else OPEN,
            "opacity": float(recovered.overlay.alpha.max()),
        }


def _lies_on_plain_ground(pixels: Pixels, changed: Selection) -> bool:
    """Whether the ground of an overlay is known from the pixels around it."""
    return estimate_ground(pixels, changed, GROUND_NEAR).share(changed) >= MOSTLY_PLAIN


def _judge(region: Region, recovered: Recovered, mask: Pixels) -> list[CheckRecord]:
    """The checks of a recovered crop, after what was found out about an estimated overlay."""
    picture, overlay = recovered.picture, recovered.overlay
    residual = visible_remains(picture, region.polygons_on_crop(), letters_of_others(mask))
    figures = measure_fill(region.array("pixels", 3), picture, mask, residual)
    checks = [check(RUNG, name, figures[name], limit) for name, limit in LIMITS.items()]
    checks.append(check(RUNG, "overlay_trace", overlay_trace(picture, overlay), MOST_TRACE))
    if recovered.deviation is None:
        return checks
    values = (float(overlay.alpha.max()), *overlay.colour.ravel().tolist())
    described = [
        check(RUNG, f"overlay_{name}", value, math.nan)
        for name, value in zip(("opacity", "red", "green", "blue"), values, strict=True)
    ]
    deviation = check(RUNG, "overlay_deviation", recovered.deviation, MOST_DEVIATION)
    return [*described, deviation, *checks, check(RUNG, "seam", figures["seam"], MOST_SEAM)]
