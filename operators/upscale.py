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
from operators.rows.records import JsonObject, ModelRecord, RegionRecord
from operators.rows.regions import OPEN
from operators.rows.table import Additions, Region, Row, fill_record, map_rows
from operators.upscalers.catalogue import find_upscaler
from operators.upscalers.detail_guard import Guard
from operators.upscalers.detail_loss import noise_level
from operators.upscalers.resample import resampled
from operators.upscalers.tiles import upscale_boxes
from operators.upscalers.upscaler import Colour
from operators.vision.text_detector import TEXT_THRESHOLD, Scale, has_contrast, text_detector, text_detector_identity

NOISE_IN_BANDS = (0.63, 0.057, 0.014, 0.0034)
"""Share of white noise's energy in each octave band, the finest first. It is subtracted, because
no network restores a picture's grain.
"""
LOCAL = (7, 7)
"""Pixels over which a band's energy is averaged before the median is taken."""
NO_LIMIT = float("nan")
"""The limit of checks that choose between two fills and do not decide whether one is accepted."""


@dataclass(frozen=True)
class Upscale(Operator):
    """Bring every fill to its crop's size, and rebuild detail where it has less than its ring.

    A generator that worked at less than the crop's resolution cannot fill its finest octaves. The
    network is tried only if the ring around the edit has these octaves and the resampled fill
    lacks more of them than `threshold`. The mask's confidence weighs the network's detail. The
    detail is kept only if it brings the fill closer to the ring's bands, with no more overshoot,
    no new text and no shift of colour. A fill of its crop's size passes at no cost.
    """

    by_content: ClassVar[bool] = True
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
    """The alias of the upscaler; see `upscalers.catalogue`."""
    threshold: float = 0.5
    """How far a lost band may be below the ring's, in octaves of energy (base-2 logarithm), before
    it is rebuilt.
    """
    most_text: float = 0.01
    """Share of the edit that may newly look like text."""
    most_colour_shift: float = 1.0
    """CIELAB distance that the edit's mean colour may move; 2.3 is just visible."""
    guard: Guard = Guard(stroke_overshoot=0.0)
    """Limits of the network's detail. An isolated stroke in a fill is not made stronger, because
    it may be the rest of a letter.
    """
    scale: Scale = Scale()

    def models(self) -> list[ModelRecord]:
        """The upscaler, and the detector that looks for new text."""
        return [find_upscaler(self.model, math.inf).identity(), text_detector_identity()]

    def open(self) -> None:
        """Load the detector that looks for new text."""
        text_detector()

    def settings(self) -> JsonObject:
        """The fields, and the identity of the weights that rebuild detail."""
        return {**super().settings(), "upscaler": find_upscaler(self.model, math.inf).identity()}

    def apply(self, batch: pa.Table) -> pa.Table:
        """Bring the fills of one batch to their crops' size."""
        return map_rows(batch, self.name, self.adds, self._upscale)

    def _upscale(self, row: Row) -> Additions | None:
        if not any(_has_other_size(region) for region in row.regions):
            return None
        factor = self.scale.factor(row["width"], row["height"])
        records = [self._resize(region, factor) for region in row.regions]
        return {
            "regions.fill": [record["fill"] for record in records],
            "regions.enhanced": [record["enhanced"] for record in records],
            "regions.checks": [record["checks"] for record in records],
        }

    def _resize(self, region: Region, factor: float) -> RegionRecord:
        fill = region.fill()
        if fill is None or not _has_other_size(region):
            return {"fill": region["fill"], "enhanced": region["enhanced"], "checks": region["checks"]}
        pixels, mask = region.array("pixels", 3), region.array("mask", 4)
        resized, figures = self.rebuild(pixels, mask, fill, factor)
        checks = [check(region["rung"], f"detail_{name}", value, NO_LIMIT) for name, value in figures.items()]
        return {
            "fill": fill_record(resized),
            "enhanced": bool(figures["kept"]),
            "checks": [*(region["checks"] or []), *checks],
        }

    def rebuild(self, pixels: Pixels, mask: Pixels, fill: Pixels, factor: float = 1.0) -> tuple[Pixels, dict[str, float]]:
        """A fill at its crop's size, and its measurements by name.

        - `deficit`: octaves of energy by which the lost bands are below the ring's.
        - `kept`: 1 if the network's detail was kept, else 0.
        - `bands_plain`, `bands_rebuilt`: how far all bands are from the ring's, in octaves.
        - `overshoot`, `colour_shift`, `text`: the rebuilt fill's against the plain one's.

        Only the first two are measured if the network was not tried, and `text` only if nothing
        else rules the detail out. `factor` is the detector's pixels per source pixel.
        """
        size, place = (pixels.shape[1], pixels.shape[0]), Surroundings.of(mask)
        source: Colour = fill.astype(np.float32) / np.float32(255)
        plain = _as_bytes(resampled(source, size))
        plain_result = pasted(pixels, plain, mask[:, :, BLEND])
        ratios = detail_ratios(plain_result, place, noise_level(luma(plain_result)))
        deficit = float(np.max(-np.array(ratios[: count_lost_octaves(fill, pixels)]), initial=0.0))
        if not deficit > self.threshold:
            return plain, {"deficit": deficit, "kept": 0.0}
        rebuilt = self.enhance(plain, mask, source)
        result = pasted(pixels, rebuilt, mask[:, :, BLEND])
        nearest = cv2.resize(fill, size, interpolation=cv2.INTER_NEAREST)
        figures = {
            "deficit": deficit,
            "bands_plain": _band_distance(ratios),
            "bands_rebuilt": _band_distance(detail_ratios(result, place, noise_level(luma(plain_result)))),
            "overshoot": overshoot_share(rebuilt, nearest, place.edited) - overshoot_share(plain, nearest, place.edited),
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
        return rebuilt if kept else plain, {**figures, "kept": float(kept)}

    def enhance(self, plain: Pixels, mask: Pixels, source: Colour) -> Pixels:
        """The resampled fill with the network's detail where the mask edits.

        The guard limits the detail, and the mask's confidence weighs it. `source` is the fill at
        its own size, values 0..1. The result is not judged here.
        """
        size, (height, width) = plain.shape[1::-1], source.shape[:2]
        chosen = find_upscaler(self.model, max(size[0] / width, size[1] / height))
        rows, columns = (np.flatnonzero((mask[:, :, BLEND] > 0).any(axis=axis)) for axis in (1, 0))
        down, right = height / size[1], width / size[0]
        left, top = math.floor(columns[0] * right), math.floor(rows[0] * down)
        last_x, last_y = math.ceil((columns[-1] + 1) * right), math.ceil((rows[-1] + 1) * down)
        box = Box(left, top, min(width, last_x) - left, min(height, last_y) - top)
        network, weight = upscale_boxes(chosen, source, [box])
        base = resampled(source, (width * chosen.scale, height * chosen.scale))
        detailed = self.guard.limit_bands(base + weight * (network - base), source, chosen.scale, base)
        confidence = mask[:, :, CONFIDENCE].astype(np.float32)[:, :, None] / np.float32(255)
        return _as_bytes(plain / np.float32(255) * (1 - confidence) + resampled(detailed, size) * confidence)


def count_lost_octaves(fill: Pixels, pixels: Pixels) -> int:
    """How many of the finest measured octaves a fill of this resolution cannot hold."""
    ratio = max(pixels.shape[0] / fill.shape[0], pixels.shape[1] / fill.shape[1])
    return min(BANDS, max(0, math.ceil(math.log2(ratio))))


def typical_energies(rgb: Pixels, where: Selection) -> list[float]:
    """The typical energy of each octave band in `where`, finest first, in squared grey levels.

    This is the median of local means. The strongest places would dominate a mean over all pixels:
    one edge, or letters left in a ring, would make a smooth picture look full of detail. NaN if
    `where` is empty.
    """
    if not where.any():
        return [float("nan")] * BANDS
    return [float(np.median(cv2.blur(np.square(band), LOCAL)[where])) for band in octave_bands(rgb)]


def detail_ratios(result: Pixels, place: Surroundings, noise: float) -> list[float]:
    """The typical energy in the edit over that in its ring, for each octave band, finest first.

    The ratios are base-2 logarithms. The energy of white noise of deviation `noise` (grey levels)
    is subtracted from the ring's, and one squared grey level is added to both. NaN if the edit or
    the ring is empty.
    """
    inside, around = (np.array(typical_energies(result, where)) for where in (place.edited, place.ring))
    detail = np.maximum(around - np.array(NOISE_IN_BANDS) * noise**2, 0)
    ratios: list[float] = np.log2((inside + 1) / (detail + 1)).tolist()
    return ratios


def _has_other_size(region: Region) -> bool:
    """Whether a region is open and has a fill of another size than its crop."""
    fill = region.fill() if region["state"] == OPEN else None
    return fill is not None and fill.shape[:2] != (region.crop.height, region.crop.width)


def _as_bytes(values: Colour) -> Pixels:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)


def _band_distance(ratios: list[float]) -> float:
    """How far an edit's bands are from the ring's: the mean absolute ratio, in octaves."""
    return float(np.mean(np.abs(ratios)))


def _colour_shift(before: Pixels, after: Pixels, place: Surroundings) -> float:
    """CIELAB distance between an edit's mean colours in two pictures of its crop."""
    both = np.concatenate([before, after])
    none = np.zeros_like(place.edited)
    return lab_difference(both, np.concatenate([place.edited, none]), np.concatenate([none, place.edited]))


def _text_share(result: Pixels, place: Surroundings, factor: float) -> float:
    """The share of the edit that the detector takes for text."""
    probability = text_detector().probability(result, factor)
    scaled = cv2.resize(probability, result.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return float(((scaled > TEXT_THRESHOLD) & has_contrast(result))[place.edited].mean())
