"""`verify`: is each fill better than none?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import pyarrow as pa

from operators.decisions.best_fill import CHILDREN, accept_best, better_fill
from operators.decisions.gate import MOSTLY_PLAIN, calibration, model_of, promises
from operators.masks.alpha import paste_on_grounds
from operators.masks.mask import BLEND, pasted
from operators.metrics.fills import measure_fill
from operators.metrics.remains import letters_of_others, visible_remains
from operators.operator import Operator
from operators.rows.checks import MISSING, check, judged_rungs
from operators.rows.records import CheckRecord, JsonObject, ModelRecord
from operators.rows.regions import ACCEPTED, OPEN
from operators.rows.table import Additions, Region, Row, map_rows
from operators.vision.stroke_network import stroke_network, stroke_network_identity

JUDGED = ("regions.checks", "regions.state")
"""The columns that every verification changes."""

ON_FACE = 0.02
"""Share of a text's edit on a face from which its fill is judged more strictly."""
FACE_STRICTNESS = 0.5
"""The part of the gate's bound that is left to such a fill."""


@dataclass(frozen=True)
class CheckLimits:
    """The largest value of each check that passes.

    Where the ground of a text is known, its fill is compared with that ground (`structure`).
    Elsewhere the fill is also compared with the ring around it (`colour_shift`, `jump`, `seam`).
    A fill that exceeds any of them stays open for the next rung.
    """

    missing: float = 0.0
    """The value is 1 if a fill is missing or has another size than its crop."""
    residual_text: float = 1.0
    """Visibility of the most visible stroke that is left; see `visible_remains`."""
    structure: float = 7.0
    """Grey levels by which a fill of plain ground differs from it; see `structure_in_fill`."""
    colour_shift: float = 25.0
    """CIELAB distance between edit and ring; see `lab_difference`."""
    jump: float = 40.0
    """Grey levels by which steps across the edit's border exceed those of the ring; see `jump`."""
    seam: float = 2.5
    """Luma step across the edit's border, divided by the step in the ring; see `seam_ratio`."""
    face_damage: float = 0.03
    """Widths of the face by which strokes of text may cover what makes it a face; see
    `face_figures`.
    """


@dataclass(frozen=True)
class Verify(Operator):
    """Decide whether each new fill is better than none: measure it, then accept or refuse it.

    The true picture is not known, so the checks use the fill itself, the ground around the edit,
    and a second look by the stroke network. The calibrated gate adds the check
    `predicted_error`. A text over a face has the check `face_damage` as well, and half the gate's
    bound, if `describe` looked for faces. A value that cannot be measured, for lack of a ring for
    example, is NaN and passes. A missing fill never passes. A refused region stays open for the
    next rung. With `remembers`, the best refused fill of each region is kept, and `delivers`
    accepts it with all its doubts.
    """

    by_content: ClassVar[bool] = True
    reads: ClassVar[tuple[str, ...]] = (
        "regions.polygons",
        "regions.kind",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.transparency",
        "regions.fill",
        "regions.rung",
        "regions.passes",
        "regions.seed",
        "regions.prompt",
        "regions.prompt_sha256",
        "regions.repeatable",
        "regions.enhanced",
        "regions.checks",
        "regions.state",
    )
    adds: ClassVar[tuple[str, ...]] = (
        *JUDGED,
        "regions.best",
        *(f"regions.{name}" for name in CHILDREN),
    )
    limits: CheckLimits = CheckLimits()
    gated: bool = True
    """Whether the calibrated gate decides in addition to the limits."""
    remembers: bool = False
    """Whether the best refused fill of each region is kept."""
    delivers: bool = False
    """Whether the best refused fill of each open region is accepted; for the end of a ladder."""

    def models(self) -> list[ModelRecord]:
        """The stroke network."""
        return [stroke_network_identity()]

    def open(self) -> None:
        """Load the stroke network."""
        stroke_network()

    def apply(self, batch: pa.Table) -> pa.Table:
        """Verify the open regions of one batch."""
        return map_rows(batch, self.name, self._added(), self._verify)

    def _added(self) -> tuple[str, ...]:
        """The columns that this operator changes; the larger ones only if it has a use for them."""
        if self.delivers:
            return self.adds
        return (*JUDGED, "regions.best") if self.remembers else JUDGED

    def settings(self) -> JsonObject:
        """The fields, the checksum of the suite that the gate was calibrated on, and what the
        calibration promises about each rung.
        """
        return {**super().settings(), "calibration": calibration().get("suite_checksum"), "promise": promises()}

    def _verify(self, row: Row) -> Additions | None:
        regions = row.regions
        if not any(_is_unjudged(region) or (self.delivers and region["state"] == OPEN) for region in regions):
            return None
        checks, states = [], []
        for region in regions:
            region_checks, state = region["checks"], region["state"]
            if _is_unjudged(region):
                new = self.check_fill(region["rung"], measure_region(region), face_of(region))
                region_checks = [*region_checks, *new]
                state = ACCEPTED if all(record["passed"] for record in new) else OPEN
            checks.append(region_checks)
            states.append(state)
        judged = {"regions.checks": checks, "regions.state": states}
        return {**judged, **self._keep_best(regions, checks, states)}

    def _keep_best(
        self, regions: Sequence[Region], checks: Sequence[list[CheckRecord]], states: Sequence[str | None]
    ) -> Additions:
        """The best fills of the regions that are still open, accepted if this operator delivers."""
        if not (self.remembers or self.delivers):
            return {}
        judged = list(zip(regions, checks, states, strict=True))
        bests = [better_fill(region, own) if state == OPEN else None for region, own, state in judged]
        if not self.delivers:
            return {"regions.best": bests}
        ends = [
            accept_best({**{name: region[name] for name in CHILDREN}, "checks": own, "state": state, "best": best})
            for (region, own, state), best in zip(judged, bests, strict=True)
        ]
        return {path: [end[path.removeprefix("regions.")] for end in ends] for path in self.adds}

    def check_fill(self, rung: str, measurements: Mapping[str, float] | None, face: float | None = None) -> list[CheckRecord]:
        """The checks of one fill by `rung`.

        `measurements` is None for a missing fill. `face` is what `face_of` says of its region.
        """
        if measurements is None:
            return [check(rung, MISSING, 1.0, self.limits.missing)]
        plain = measurements["plain"] >= MOSTLY_PLAIN
        checked = ("structure",) if plain else ("structure", "colour_shift", "jump", "seam")
        checks = [check(rung, name, measurements[name], getattr(self.limits, name)) for name in ("residual_text", *checked)]
        if face is not None:
            checks.append(check(rung, "face_damage", face, self.limits.face_damage))
        model = model_of(rung) if self.gated else None
        if model is not None:
            bound = model.bound_of(measurements) * (1.0 if face is None else FACE_STRICTNESS)
            checks.append(check(rung, "predicted_error", model.predicted_error(measurements), bound))
        return checks


def measure_region(region: Region) -> dict[str, float] | None:
    """The gate's measurements of a region's fill; see `measure_fill`.

    What is left of a text is measured on every ground that a transparent picture may be laid on.
    None if the fill is missing or has another size than its crop.
    """
    pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4), region.fill()
    if fill is None or fill.shape != pixels.shape:
        return None
    seen = region.transparency()
    results = [pasted(pixels, fill, mask[:, :, BLEND])] if seen is None else paste_on_grounds(pixels, fill, mask, seen)
    residual = 0.0
    if region["kind"] == "text":
        residual = max(visible_remains(result, region.polygons_on_crop(), letters_of_others(mask)) for result in results)
    return measure_fill(pixels, results[0], mask, residual)


def face_of(region: Region) -> float | None:
    """The figure `face_strokes` of a text that lies on a face, None for any other region.

    None as well for a region that `describe` has not described, and for an area that the user
    chose, which may be meant to remove a face.
    """
    figures = dict(region["metadata"] or ())
    on_face = region["kind"] == "text" and figures.get("on_face", 0.0) >= ON_FACE
    return float(figures["face_strokes"]) if on_face else None


def _is_unjudged(region: Region) -> bool:
    """Whether a region has had a fill, or an attempt at one, that has no checks yet.

    A fill that ended with an error has its check already.
    """
    return bool(region["state"] == OPEN and (region["passes"] or 0) > len(judged_rungs(region["checks"] or [])))
