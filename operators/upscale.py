"""`upscale`: which fills lost detail, and what is it?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import pyarrow as pa

from operators.masks.mask import BLEND, CONFIDENCE, pasted
from operators.metrics.continuity import lab_difference, luma
from operators.metrics.fills import Surroundings
from operators.metrics.naturalness import BANDS, octave_bands, overshoot_share
from operators.operator import Operator
from operators.rows.arrays import Pixels, Selection
from operators.rows.box import Box
from operators.rows.checks import check
from operators.rows.records import (
    JsonObject,
    ModelRecord,
    RegionRecord,
)
from operators.rows.table import Additions, Region, Row, fill_record, map_rows
from operators.upscalers.catalogue import upscaler
from operators.upscalers.detail_guard import Guard
from operators.upscalers.detail_loss import noise_level
from operators.upscalers.resample import resampled
from operators.upscalers.tiles import upscale_boxes
from operators.upscalers.upscaler import Colour
from operators.vision.text_detector import TEXT_THRESHOLD, Scale, has_contrast, text_detector, text_detector_identity

NOISE_IN_BANDS = (0.63, 0.057, 0.014, 0.0034)
"""Share of white noise's energy in each octave band, the finest first: no network brings back a
picture's grain.
"""
LOCAL = (7, 7)
"""Pixels over which a band's energy is averaged before the median is taken."""
NO_LIMIT = float("nan")
"""These checks decide which of two fills goes on, not whether it is accepted."""


@dataclass(frozen=True)
class Upscale(Operator):
    """Bring every fill to its crop's size, and rebuild the detail that was lost where the picture
    round it shows more.

    A generator that worked at less than the crop's resolution cannot give its finest octaves.
    Only where the ring round the edit has these octaves, and the resampled fill lacks more of
    them than `threshold`, is the network tried; its detail counts by the mask's confidence. It
    stays only if the fill then comes closer to the ring's bands, with no more overshoot, no text
    that was not there, and no shift of colour. A fill of its crop's size passes at no cost.
    """

    reads: ClassVar[tuple[str, ...]] = (
        "width",
        "height",
        "regions.crop",
        "regions.pixels",
        "regions.mask",
        "regions.fill",
        "regions.rung",
        "regions.state",
        "regions.checks",
    )
    adds: ClassVar[tuple[str, ...]] = ("regions.fill", "regions.enhanced", "regions.checks")
    model: str = "animevideov3"
    threshold: float = 0.5
    """Octaves of energy (base-2 logarithm) that a lost band may be below the ring's before it is
    rebuilt.
    """
    most_text: float = 0.01
    """Share of the edit that may look like text beyond what did before."""
    most_colour_shift: float = 1.0
    """CIELAB distance that the edit's mean colour may move; 2.3 is just visible."""
    guard: Guard = Guard(stroke_overshoot=0.0)
    """A stroke that stands alone in a fill is not made stronger: it may be what is left of a
    letter.
    """
    scale: Scale = Scale()

    def models(self) -> list[ModelRecord]:
        """The upscaler, and the detector that looks for new text."""
        return [upscaler(self.model, math.inf).identity(), text_detector_identity()]

    def open(self) -> None:
        """Load the detector that looks for new text."""
        text_detector()

    def settings(self) -> JsonObject:
        """The fields, and which weights rebuild detail."""
        return {**super().settings(), "upscaler": upscaler(self.model, math.inf).identity()}

    def apply(self, batch: pa.Table) -> pa.Table:
        """Bring the fills of one batch to their crops' size."""
        return map_rows(batch, self.name, self.adds, self._upscale)

    def _upscale(self, row: Row) -> Additions | None:
        if not any(_smaller(region) for region in row.regions):
            return None
        factor = self.scale.factor(row["width"], row["height"])
        made = [self._sized(region, factor) for region in row.regions]
        return {
            "regions.fill": [region["fill"] for region in made],
            "regions.enhanced": [region["enhanced"] for region in made],
            "regions.checks": [region["checks"] for region in made],
        }

    def _sized(self, region: Region, factor: float) -> RegionRecord:
        fill = region.fill()
        if fill is None or not _smaller(region):
            return {"fill": region["fill"], "enhanced": region["enhanced"], "checks": region["checks"]}
        pixels, mask = region.array("pixels", 3), region.array("mask", 4)
        better, figures = self.rebuild(pixels, mask, fill, factor)
        checks = [check(region["rung"], f"detail_{name}", value, NO_LIMIT) for name, value in figures.items()]
        return {
            "fill": fill_record(better),
            "enhanced": bool(figures["kept"]),
            "checks": [*(region["checks"] or []), *checks],
        }

    def rebuild(self, pixels: Pixels, mask: Pixels, fill: Pixels, factor: float = 1.0) -> tuple[Pixels, dict[str, float]]:
        """A fill at its crop's size, and what was measured of it.

        `deficit`: octaves of energy that its lost bands lack against the ring; `kept`: whether
        the network's detail stayed; and where it was tried, `bands_plain` and `bands_rebuilt`
        (how far all bands are from the ring's, in octaves), `overshoot`, `text` and
        `colour_shift` of the rebuilt fill beside the plain one. `factor` is the detector's pixels
        per source pixel.
        """
        size, place = (pixels.shape[1], pixels.shape[0]), Surroundings.of(mask)
        source: Colour = fill.astype(np.float32) / np.float32(255)
        plain = _stored(resampled(source, size))
        plain_result = pasted(pixels, plain, mask[:, :, BLEND])
        ratios = detail_ratios(plain_result, place, noise_level(luma(plain_result)))
        deficit = float(np.max(-np.array(ratios[: lost_octaves(fill, pixels)]), initial=0.0))
        if not deficit > self.threshold:
            return plain, {"deficit": deficit, "kept": 0.0}
        better = self.enhance(plain, mask, source)
        result = pasted(pixels, better, mask[:, :, BLEND])
        nearest = cv2.resize(fill, size, interpolation=cv2.INTER_NEAREST)
        figures = {
            "deficit": deficit,
            "bands_plain": _distance(ratios),
            "bands_rebuilt": _distance(detail_ratios(result, place, noise_level(luma(plain_result)))),
            "overshoot": overshoot_share(better, nearest, place.edited) - overshoot_share(plain, nearest, place.edited),
            "colour_shift": _colour_shift(plain_result, result, place),
        }
        kept = (
            figures["bands_rebuilt"] < figures["bands_plain"]
            and figures["overshoot"] <= 0
            and figures["colour_shift"] <= self.most_colour_shift
        )
        if kept:
            figures["text"] = _text_share(result, place, factor) - _text_share(plain_result, place, factor)
            kept = figures["text"] <= self.most_text
        return better if kept else plain, {**figures, "kept": float(kept)}

    def enhance(self, plain: Pixels, mask: Pixels, source: Colour) -> Pixels:
        """The resampled fill with the network's detail in what the mask edits, guarded and
        weighted by the mask's confidence.

        `source` is the fill as it was made, values 0..1; nothing is judged.
        """
        size, (height, width) = plain.shape[1::-1], source.shape[:2]
        chosen = upscaler(self.model, max(size[0] / width, size[1] / height))
        rows, columns = (np.flatnonzero((mask[:, :, BLEND] > 0).any(axis=axis)) for axis in (1, 0))
        down, right = height / size[1], width / size[0]
        left, top = math.floor(columns[0] * right), math.floor(rows[0] * down)
        last_x, last_y = math.ceil((columns[-1] + 1) * right), math.ceil((rows[-1] + 1) * down)
        box = Box(left, top, min(width, last_x) - left, min(height, last_y) - top)
        network, weight = upscale_boxes(chosen, source, [box])
        base = resampled(source, (width * chosen.scale, height * chosen.scale))
        made = self.guard.limit_bands(base + weight * (network - base), source, chosen.scale, base)
        sure = mask[:, :, CONFIDENCE].astype(np.float32)[:, :, None] / np.float32(255)
        return _stored(plain / np.float32(255) * (1 - sure) + resampled(made, size) * sure)


def lost_octaves(fill: Pixels, pixels: Pixels) -> int:
    """How many of the measured octaves a fill's resolution cannot hold at its crop's size, the
    finest first.
    """
    ratio = max(pixels.shape[0] / fill.shape[0], pixels.shape[1] / fill.shape[1])
    return min(BANDS, max(0, math.ceil(math.log2(ratio))))


def typical_energies(rgb: Pixels, where: Selection) -> list[float]:
    """The energy of each octave band as most places in `where` have it (squared grey levels),
    finest first; NaN if it is empty.

    The median over local means. A mean over all would be that of the loudest places: one edge, or
    letters left in a ring, make a smooth picture look as if it were full of detail.
    """
    if not where.any():
        return [float("nan")] * BANDS
    return [float(np.median(cv2.blur(np.square(band), LOCAL)[where])) for band in octave_bands(rgb)]


def detail_ratios(result: Pixels, place: Surroundings, noise: float) -> list[float]:
    """Base-2 logarithm of the typical energy in the edit over that in its ring for each octave
    band, finest first.

    The energy of white noise of deviation `noise` (grey levels) is taken off the ring's; one
    squared grey level is added to both sides. NaN where either is empty.
    """
    inside, around = (np.array(typical_energies(result, where)) for where in (place.edited, place.ring))
    detail = np.maximum(around - np.array(NOISE_IN_BANDS) * noise**2, 0)
    ratios: list[float] = np.log2((inside + 1) / (detail + 1)).tolist()
    return ratios


def _smaller(region: Region) -> bool:
    fill, crop = region.fill(), region["crop"]
    return region["state"] == "open" and fill is not None and fill.shape[:2] != (crop["height"], crop["width"])


def _stored(values: Colour) -> Pixels:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _distance(ratios: list[float]) -> float:
    """How far an edit's bands are from the ring's: the mean of what their energies differ by, in
    octaves either way.
    """
    return float(np.mean(np.abs(ratios)))


def _colour_shift(before: Pixels, after: Pixels, place: Surroundings) -> float:
    """CIELAB distance between an edit's mean colours before and after."""
    both = np.concatenate([before, after])
    none = np.zeros_like(place.edited)
    return lab_difference(both, np.concatenate([place.edited, none]), np.concatenate([none, place.edited]))


def _text_share(result: Pixels, place: Surroundings, factor: float) -> float:
    """Share of the edit that the detector calls text."""
    seen = cv2.resize(text_detector().probability(result, factor), result.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return float(((seen > TEXT_THRESHOLD) & has_contrast(result))[place.edited].mean())
