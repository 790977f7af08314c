"""Fills measured against the truth: each region of a suite by each rung, and what the whole flow
delivers.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from flows.evaluation.suite import Entry, Suite
from flows.flow import Flow
from operators.detect import Detect
from operators.fetch import Fetch
from operators.inpaint import Inpaint
from operators.masks.geometry import bounding_box
from operators.masks.mask import BLEND, CORE, dilated, pasted
from operators.metrics import legibility, quality
from operators.metrics.continuity import lab_difference, seam_ratio
from operators.metrics.fills import Surroundings
from operators.metrics.naturalness import band_ratios, overshoot_share
from operators.metrics.perceptual import perceptual_distance
from operators.metrics.surface import region_figures, text_smoothed_over
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.schema import complete
from operators.rows.table import Region, row_views, swap_children
from operators.soften import Soften
from operators.verify import measured_region
from operators.vision.text_detector import Scale

PADDING = 16
"""Pixels round an edit that are compared with the truth too: what a viewer sees beside it."""
QUALITY = {
    "psnr": quality.psnr,
    "ssim": quality.ssim,
    "mse": quality.mse,
    "age": quality.age,
    "error_pixels": quality.error_pixels,
    "clustered_error_pixels": quality.clustered_error_pixels,
}


@dataclass(frozen=True)
class Perturbation:
    """A change to a region's mask before it is filled, to see how much a generator depends on a
    perfect one.
    """

    name: str

    def __call__(self, mask: Pixels, seed: int) -> Pixels:
        """The mask (uint8 height x width x 4) shifted by 3 pixels, grown by 4, or with 2 % of its
        surroundings speckled.
        """
        changed = mask.copy()
        for channel in (CORE, BLEND):
            plane = mask[:, :, channel]
            if self.name == "shifted":
                changed[:, :, channel] = np.roll(plane, (3, 3), axis=(0, 1))
            elif self.name == "grown":
                changed[:, :, channel] = dilated(np.ascontiguousarray(plane), 4)
            else:
                near = dilated(np.ascontiguousarray(plane), 12) > 0
                speckled = near & (np.random.default_rng(seed).random(plane.shape) < 0.02)
                changed[:, :, channel] = np.where(speckled, 255, plane)
        return changed


PERTURBATIONS = tuple(Perturbation(name) for name in ("shifted", "grown", "noisy"))


def _index_row(entry: Entry, path: Path) -> pa.Table:
    columns = {"image_id": [entry.file], "uri": [str(path)], "path": [entry.file], "shard": pa.array([0], pa.int32())}
    return complete(pa.table(columns))


def detect_and_soften(suite: Suite, entry: Entry) -> pa.Table:
    """One image of a suite, detected and softened: a one-row table."""
    return Flow((Fetch(), Detect(), Soften())).run(_index_row(entry, suite.image(entry)))


def crop_of(region: Region, picture: Pixels) -> Pixels:
    """What a picture (uint8 height x width x 3) shows in a region's crop."""
    crop = region.crop
    return picture[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]


def compared_area(mask: Pixels) -> tuple[slice, slice]:
    """The rows and columns of a crop that hold its edit and PADDING pixels round it."""
    rows, columns = (np.flatnonzero((mask[:, :, BLEND] > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return (
        slice(max(0, int(rows[0]) - PADDING), int(rows[-1]) + PADDING + 1),
        slice(max(0, int(columns[0]) - PADDING), int(columns[-1]) + PADDING + 1),
    )


def against_truth(result: Pixels, truth: Pixels) -> dict[str, float]:
    """Every quality figure of one padded crop against its truth, the perceptual distance
    included.
    """
    figures = {name: measure(result, truth) for name, measure in QUALITY.items()}
    return {**figures, "perceptual_distance": perceptual_distance().distance(result, truth)}


def place_of(region: Region, frame: Box) -> dict[str, float | str | bool]:
    """What kind of place a region is: the buckets of the failure tables are cut along these."""
    mask = region.array("mask", 4)
    shown = text_smoothed_over(region.array("pixels", 3), mask)
    figures = region_figures(shown, mask, region["polygons"], max(frame.width, frame.height))
    box = bounding_box(region["polygons"], frame.width, frame.height)
    at_border = box.x <= 2 or box.y <= 2 or box.x + box.width >= frame.width - 2 or box.y + box.height >= frame.height - 2
    return {**figures, "border": at_border, "strokes": region["strokes"]}


def fill_figures(region: Region, truth: Pixels | None) -> dict[str, float]:
    """All figures of one filled region, against its clean crop where there is one; empty for a
    missing fill.

    Quality and legibility need the truth; continuity and naturalness do not.
    """
    pixels, fill, mask = region.array("pixels", 3), region.fill(), region.array("mask", 4)
    area = compared_area(mask)
    if fill is None or fill.shape != pixels.shape or not pixels[area].size:
        return {}
    result, place = pasted(pixels, fill, mask[:, :, BLEND]), Surroundings.of(mask)
    bands = band_ratios(result, place.edited, place.ring)
    figures = {
        "seam": seam_ratio(result, place.edited, place.border),
        "colour_shift": lab_difference(result, place.edited, place.ring),
        **{f"band_{octave}": ratio for octave, ratio in enumerate(bands)},
    }
    if truth is None:
        return figures
    polygons = region.polygons_on_crop()
    read, there = (sum(legibility.characters_read(shown, polygon) for polygon in polygons) for shown in (result, truth))
    quality_figures = against_truth(np.ascontiguousarray(result[area]), np.ascontiguousarray(truth[area]))
    overshoot = overshoot_share(result, truth, place.edited)
    return {**figures, **quality_figures, "overshoot": overshoot, "characters_read": max(0, read - there)}


@dataclass(frozen=True)
class FillJob:
    """One image to be filled by every rung: with several `seeds`, random rungs also by other
    seeds and on worse masks.

    Pictures of the variance across seeds go to `pictures` if it is given.
    """

    suite: Suite
    entry: Entry
    rungs: tuple[str, ...]
    seed: int = 0
    seeds: int = 1
    pictures: str | None = None


def rung_records(job: FillJob) -> list[dict[str, Any]]:
    """Every region of one image filled by each rung: what is known of it with and without the
    truth.
    """
    table, truth = detect_and_soften(job.suite, job.entry), job.suite.truth(job.entry)
    return [record for rung in job.rungs for record in _of_rung(job, rung, table, truth)]


def _of_rung(job: FillJob, rung: str, table: pa.Table, truth: Pixels | None) -> Iterator[dict[str, Any]]:
    filled = row_views(Inpaint(rung, job.seed).apply(table))[0]
    frame = Box(0, 0, filled["width"], filled["height"])
    others = [
        row_views(Inpaint(rung, job.seed + more).apply(table))[0] for more in range(1, job.seeds if rung in RANDOM else 1)
    ]
    worse = {p: row_views(Inpaint(rung, job.seed).apply(_with_masks(table, p)))[0] for p in PERTURBATIONS if job.seeds > 1}
    for number, region in enumerate(filled.regions):
        clean = crop_of(region, truth) if truth is not None else None
        figures = fill_figures(region, clean)
        measurements = measured_region(region, Scale().factor(frame.width, frame.height))
        if not figures or measurements is None:
            continue
        record = {
            "file": job.entry.file,
            "set": job.entry.set,
            "bucket": job.entry.bucket,
            "region": number,
            "rung": rung,
            "place": {**place_of(region, frame), "count": len(filled.regions)},
            "measured": measurements,
            "figures": figures,
        }
        if others:
            record |= _variance(job, region, [row.regions[number] for row in others], clean)
        if worse and clean is not None:
            record["perturbed"] = {
                p.name: fill_figures(row.regions[number], clean).get("perceptual_distance") for p, row in worse.items()
            }
        yield record


def _variance(job: FillJob, region: Region, others: Sequence[Region], clean: Pixels | None) -> dict[str, Any]:
    """How much a region's fill depends on the seed: of its perceptual distance, and of its pixels
    (grey levels).
    """
    blend = region.array("mask", 4)[:, :, BLEND] > 0
    fills = np.stack([fill for one in (region, *others) if (fill := one.fill()) is not None]).astype(np.float32)
    spread = fills.std(axis=0).mean(axis=2) * blend
    found: dict[str, Any] = {"pixel_deviation": float(spread[blend].mean())}
    if clean is not None:
        distances = [fill_figures(one, clean)["perceptual_distance"] for one in (region, *others)]
        found["seed_deviation"] = float(np.std(distances))
    if job.pictures is not None:
        name = f"{Path(job.entry.file).stem}-{region['crop']['x']}-{region['crop']['y']}.png"
        Path(job.pictures).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(spread * 4, 0, 255).astype(np.uint8)).save(Path(job.pictures) / name)
        found["variance_picture"] = name
    return found


RANDOM = ("patchmatch", "builtin")
"""The rungs whose fills depend on the seed."""


def _with_masks(table: pa.Table, perturbation: Perturbation) -> pa.Table:
    regions = row_views(table)[0].regions
    masks = [perturbation(region.array("mask", 4), number).tobytes() for number, region in enumerate(regions)]
    return swap_children(table, {"mask": pa.array(masks, pa.large_binary())})


@dataclass(frozen=True)
class FlowJob:
    """One image to be sent through a whole flow; its delivered picture is kept as PNG in
    `pictures`.
    """

    suite: Suite
    entry: Entry
    flow: Flow
    pictures: str


def deliver(job: FlowJob) -> dict[str, Any]:
    """One image through a whole flow: its verdict, its timings, and the delivered picture against
    the truth.
    """
    path = job.suite.image(job.entry)
    row = row_views(job.flow.run(_index_row(job.entry, path)))[0]
    encoded, truth = row.data("encoded"), job.suite.truth(job.entry)
    source = np.asarray(Image.open(path).convert("RGB"))
    shown = source if encoded is None else np.asarray(Image.open(io.BytesIO(bytes(encoded))).convert("RGB"))
    name = Path(job.entry.file).stem + ".png"
    Path(job.pictures).mkdir(parents=True, exist_ok=True)
    Image.fromarray(shown).save(Path(job.pictures) / name)
    timings: dict[str, float] = {}
    for timing in row["timings"]:
        timings[timing["operator"]] = timings.get(timing["operator"], 0.0) + timing["total"]
    return {
        "file": job.entry.file,
        "set": job.entry.set,
        "bucket": job.entry.bucket,
        "verdict": row["verdict"],
        "reasons": row["reasons"],
        "regions": len(row.regions),
        "rungs": [region["rung"] for region in row.regions if region["state"] == "accepted"],
        "fills": sum(region["passes"] or 0 for region in row.regions),
        "picture": name,
        "timings": timings,
        **_against_texts(job.entry, source, shown, truth),
    }


def _against_texts(entry: Entry, source: Pixels, shown: Pixels, truth: Pixels | None) -> dict[str, Any]:
    """What a delivered picture is like at the suite's texts: found, read, and how far from the
    truth.
    """
    found: dict[str, Any] = {}
    if truth is not None:
        found["figures"] = {
            **{name: measure(shown, truth) for name, measure in QUALITY.items()},
            "ms_ssim": quality.ms_ssim(shown, truth),
            "ms_ssim_unscaled": quality.ms_ssim_unscaled(shown, truth),
        }
    if entry.texts:
        after, before = (legibility.eraseness(picture, entry.texts, truth) for picture in (shown, source))
        found["eraseness"] = {**vars(after), "recall_before": before.recall}
    if entry.texts and truth is not None:
        found["texts"] = [
            {
                "perceptual_distance": perceptual_distance().distance(_cut(shown, polygon), _cut(truth, polygon)),
                "psnr": min(99.0, quality.psnr(_cut(shown, polygon), _cut(truth, polygon))),
                "characters_read": legibility.characters_read(shown, polygon),
            }
            for polygon in entry.texts
        ]
    return found


def _cut(picture: Pixels, polygon: Sequence[Sequence[float]]) -> Pixels:
    height, width = picture.shape[:2]
    box = bounding_box([polygon], width, height).grown(PADDING, width, height)
    return np.ascontiguousarray(picture[box.y : box.y + box.height, box.x : box.x + box.width])


def map_in_processes(function: Any, jobs: Sequence[Any], processes: int) -> list[Any]:
    """`function` over the jobs, in order, by as many single-threaded processes."""
    return list(as_processed(function, jobs, processes))


def as_processed(function: Any, jobs: Sequence[Any], processes: int) -> Iterator[Any]:
    """Like `map_in_processes`, each result as soon as it and all before it are there."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        yield from pool.map(function, jobs)


def _quiet() -> None:
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def finite(values: Sequence[float | None]) -> list[float]:
    """The values that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]
