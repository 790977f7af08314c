"""`see_through`: which picture shines through each translucent text or mark?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from operators.generators.classical import GROUND_NEAR, hybrid
from operators.generators.seeds import content_sha256, seed_of
from operators.masks.geometry import rasterised
from operators.masks.ground import estimate_ground
from operators.masks.mask import BLEND, CONFIDENCE, CORE, hole_of
from operators.masks.overlay import NOTHING, seen_through
from operators.masks.overlay_fit import Fit
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
from operators.vision.coverage_network import coverage_network, coverage_network_identity
from operators.vision.stroke_network import Line, stroke_network, stroke_network_identity

End = dict[str, object]
"""The children of a region after it has been seen through and judged."""
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
    fit: Fit | None = None
    """How an overlay was estimated; None for a known one."""


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
        """The stroke network, which judges what is left, and the one that estimates coverage."""
        return [stroke_network_identity(), *([coverage_network_identity()] if self.estimates else [])]

    def open(self) -> None:
        """Load the networks."""
        stroke_network()
        if self.estimates:
            coverage_network()

    def apply(self, batch: pa.Table) -> pa.Table:
        """See through the open regions of one batch."""
        return map_rows(batch, self.name, self.adds, self._see)

    def _see(self, row: Row) -> Additions | None:
        regions, content = row.regions, content_sha256(row)
        recovered = [self._recover(content, region) for region in regions]
        pairs = zip(regions, recovered, strict=True)
        ends = [None if one is None else self._record(content, region, one) for region, one in pairs]
        surest = _surest_fit(recovered, ends)
        if surest is not None:
            # A mark mostly lies on a picture with one opacity and one colour.
            for number, region in enumerate(regions):
                if (
                    region.overlay() is None
                    and not _is_accepted(ends[number])
                    and (again := self._recover(content, region, surest)) is not None
                ):
                    end = self._record(content, region, again)
                    ends[number] = end if ends[number] is None or _is_accepted(end) else ends[number]
        if not any(ends):
            return None
        kept = [end or {name: region[name] for name in ADDED} for region, end in zip(regions, ends, strict=True)]
        return {f"regions.{name}": [end[name] for end in kept] for name in ADDED}

    def _recover(self, content: str, region: Region, like: Fit | None = None) -> Recovered | None:
        """The region without its overlay; None if it has none that can be seen through.

        `like` is the overlay of another region, which is taken for that of this one.
        """
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
        found = self._estimate(region, pixels, mask, like)
        if found is None or _lies_on_plain_ground(pixels, found.changed):
            return None
        return Recovered(found.picture, found.changed, found.overlay, found.fit)

    def _estimate(self, region: Region, pixels: Pixels, mask: Pixels, like: Fit | None) -> SeenThrough | None:
        others = letters_of_others(mask)
        inside = rasterised(region["polygons"], region.crop) > 0
        probability = mask[:, :, CONFIDENCE].astype(np.float32) / np.float32(255)
        line = Line.of(region.polygons_on_crop(), pixels.shape[1], pixels.shape[0])
        rgb = np.ascontiguousarray(pixels[line.place])

        def probability_of(opacity: float, colour: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
            seen = np.zeros(mask.shape[:2], np.float32)
            seen[line.place] = coverage_network().coverage(rgb, line, opacity, colour)
            return seen

        return see_through(pixels, hole_of(mask) > 0, probability, inside & ~others, probability_of, like)

    def _seed(self, content: str, region: Region) -> int:
        return seed_of(self.seed, content, region["crop"], RUNG, 1)

    def _record(self, content: str, region: Region, recovered: Recovered) -> End:
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


def _is_accepted(end: End | None) -> bool:
    return end is not None and end["state"] == ACCEPTED


def _surest_fit(recovered: Sequence[Recovered | None], ends: Sequence[End | None]) -> Fit | None:
    """The surest of the overlays that were estimated and passed their checks; None without one."""
    pairs = zip(recovered, ends, strict=True)
    fits = [one.fit for one, end in pairs if one is not None and one.fit is not None and _is_accepted(end)]
    return min(fits, key=lambda fit: fit.deviation, default=None)


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
    if recovered.fit is None:
        return checks
    values = (float(overlay.alpha.max()), *overlay.colour.ravel().tolist())
    described = [
        check(RUNG, f"overlay_{name}", value, math.nan)
        for name, value in zip(("opacity", "red", "green", "blue"), values, strict=True)
    ]
    deviation = check(RUNG, "overlay_deviation", recovered.fit.deviation, MOST_DEVIATION)
    return [*described, deviation, *checks, check(RUNG, "seam", figures["seam"], MOST_SEAM)]
