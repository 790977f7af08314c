"""Fills measured against the truth: each region of a suite by each rung, and what the whole flow delivers."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from flows.flow import Flow
from flows.suite import Entry, Suite
from operators.detect import Detect
from operators.fetch import Fetch
from operators.gate import Surroundings
from operators.inpaint import Inpaint, pasted
from operators.mask import BLEND, CORE, Box, bounding_box, dilated
from operators.metrics import legibility, quality
from operators.metrics.continuity import lab_difference, luma, seam_ratio
from operators.metrics.naturalness import band_ratios, overshoot_share
from operators.metrics.perceptual import perceptual_distance
from operators.row import complete
from operators.soften import Soften
from operators.table import Pixels, Region, swap_children, views
from operators.text_detector import Scale
from operators.verify import measured_region

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
    """A change to a region's mask before it is filled, to see how much a generator depends on a perfect one."""

    name: str

    def __call__(self, mask: Pixels, seed: int) -> Pixels:
        """The mask (uint8 height x width x 4) shifted by 3 pixels, grown by 4, or with 2 % of its surroundings speckled."""
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


def softened(suite: Suite, entry: Entry) -> pa.Table:
    """One image of a suite, detected and softened: a one-row table."""
    path = str(suite.image(entry))
    row = pa.table({"image_id": [entry.file], "uri": [path], "path": [entry.file], "shard": pa.array([0], pa.int32())})
    return Flow((Fetch(), Detect(), Soften())).run(complete(row))


def crop_of(region: Region, picture: Pixels) -> Pixels:
    """What a picture (uint8 height x width x 3) shows in a region's crop."""
    box = Box(**region["crop"])
    return picture[box.y : box.y + box.height, box.x : box.x + box.width]


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
    """Every quality figure of one padded crop against its truth, the perceptual distance included."""
    figures = {name: measure(result, truth) for name, measure in QUALITY.items()}
    return {**figures, "perceptual_distance": perceptual_distance().distance(result, truth)}


def place_of(region: Region, frame: Box) -> dict[str, float | str | bool]:
    """What kind of place a region is: the buckets of the failure tables are cut along these."""
    pixels, mask = region.array("pixels", 3), region.array("mask", 4)
    place = Surroundings.of(mask)
    distance = cv2.distanceTransform((mask[:, :, CORE] > 0).astype(np.uint8), cv2.DIST_L2, 3)
    grey = luma(np.ascontiguousarray(pixels))
    box = bounding_box(region["polygons"], frame.width, frame.height)
    at_border = box.x <= 2 or box.y <= 2 or box.x + box.width >= frame.width - 2 or box.y + box.height >= frame.height - 2
    return {
        "mask_area": float(place.edited.mean()),
        "stroke_thickness": float(2 * distance.max()),
        "texture": float(np.abs(cv2.Laplacian(grey, cv2.CV_32F))[place.ring].mean()) if place.ring.any() else 0.0,
        "brightness": float(grey[place.ring].mean()) if place.ring.any() else 0.0,
        "border": at_border,
        "strokes": region["strokes"],
    }


def fill_figures(region: Region, mask: Pixels, truth: Pixels | None, frame: Box) -> dict[str, Any]:
    """All measurements of one filled region; those that need the truth are missing without it.

    `mask` is the mask by which the fill is pasted; `truth` the clean crop.
    """
    pixels, fill = region.array("pixels", 3), region.fill()
    area = compared_area(mask)
    if fill is None or fill.shape != pixels.shape or not pixels[area].size:
        return {}
    result, place = pasted(pixels, fill, mask[:, :, BLEND]), Surroundings.of(mask)
    shown = np.ascontiguousarray(result[area])
    bands = band_ratios(result, place.edited, place.ring)
    figures: dict[str, Any] = {
        "seam": seam_ratio(result, place.edited, place.border),
        "colour_shift": lab_difference(result, place.edited, place.ring),
        **{f"band_{octave}": ratio for octave, ratio in enumerate(bands)},
        "overshoot": overshoot_share(result, truth if truth is not None else pixels, place.edited),
    }
    box = Box(**region["crop"])
    polygons = [[[x - box.x, y - box.y] for x, y in polygon] for polygon in region["polygons"]]
    figures["characters_read"] = sum(legibility.characters_read(result, polygon) for polygon in polygons)
    if truth is not None:
        figures |= against_truth(shown, np.ascontiguousarray(truth[area]))
        figures["characters_read"] -= sum(legibility.characters_read(truth, polygon) for polygon in polygons)
    return figures


def rung_records(job: tuple[Suite, Entry, tuple[str, ...], int, int]) -> list[dict[str, Any]]:
    """Each region of one image filled by each rung, measured, with what the gate measures; and its variance and robustness.

    The job is (suite, entry, rungs, seed, seeds): with several seeds, random rungs are filled again by each of them.
    """
    suite, entry, rungs, seed, seeds = job
    table, truth = softened(suite, entry), suite.truth(entry)
    rows = views(table)
    frame = Box(0, 0, rows[0]["width"], rows[0]["height"])
    factor = Scale().factor(frame.width, frame.height)
    records = []
    for rung in rungs:
        filled = views(Inpaint(rung, seed).apply(table))[0]
        again = [views(Inpaint(rung, seed + 1 + other).apply(table))[0] for other in range(seeds - 1 if rung in RANDOM else 0)]
        perturbed = {
            p.name: (p, views(Inpaint(rung, seed).apply(_with_masks(table, p)))[0]) for p in PERTURBATIONS if seeds > 1
        }
        for number, region in enumerate(filled.regions):
            clean = crop_of(region, truth) if truth is not None else None
            mask = region.array("mask", 4)
            figures = fill_figures(region, mask, clean, frame)
            measurements = measured_region(region, factor)
            if not figures or measurements is None:
                continue
            record = {
                "file": entry.file,
                "set": entry.set,
                "bucket": entry.bucket,
                "region": number,
                "rung": rung,
                "place": place_of(region, frame),
                "measured": measurements,
                "figures": figures,
                "timing": sum(t["total"] for t in filled["timings"] if t["operator"].startswith("inpaint"))
                / len(filled.regions),
            }
            if truth is not None and again:
                distances = [fill_figures(row.regions[number], mask, clean, frame)["perceptual_distance"] for row in again]
                fills = np.stack([fill for row in (filled, *again) if (fill := row.regions[number].fill()) is not None])
                record["seed_deviation"] = float(np.std([figures["perceptual_distance"], *distances]))
                record["pixel_deviation"] = float(
                    fills.astype(np.float32).std(axis=0).mean(axis=2)[mask[:, :, BLEND] > 0].mean()
                )
            if truth is not None and perturbed:
                record["perturbed"] = {
                    name: fill_figures(row.regions[number], row.regions[number].array("mask", 4), clean, frame).get(
                        "perceptual_distance"
                    )
                    for name, (_, row) in perturbed.items()
                }
            records.append(record)
    return records


RANDOM = ("patchmatch",)
"""The rungs whose fills depend on the seed."""


def _with_masks(table: pa.Table, perturbation: Perturbation) -> pa.Table:
    regions = views(table)[0].regions
    masks = [perturbation(region.array("mask", 4), number).tobytes() for number, region in enumerate(regions)]
    return swap_children(table, {"mask": pa.array(masks, pa.large_binary())})


def delivered(job: tuple[Suite, Entry, Flow, str]) -> dict[str, Any]:
    """One image through a whole flow: its verdict, its timings, and the delivered picture against the truth.

    The delivered picture is kept as PNG in the given folder.
    """
    suite, entry, flow, folder = job
    path = str(suite.image(entry))
    index_row = pa.table({"image_id": [entry.file], "uri": [path], "path": [entry.file], "shard": pa.array([0], pa.int32())})
    row = views(flow.run(complete(index_row)))[0]
    encoded = row.data("encoded")
    source = np.asarray(Image.open(path).convert("RGB"))
    shown = source
    if encoded is not None:
        shown = np.asarray(Image.open(io.BytesIO(bytes(encoded))).convert("RGB"))
    name = Path(entry.file).stem + ".png"
    Path(folder).mkdir(parents=True, exist_ok=True)
    Image.fromarray(shown).save(Path(folder) / name)
    truth = suite.truth(entry)
    record: dict[str, Any] = {
        "file": entry.file,
        "set": entry.set,
        "bucket": entry.bucket,
        "verdict": row["verdict"],
        "reasons": row["reasons"],
        "regions": len(row.regions),
        "accepted": sum(region["state"] == "accepted" for region in row.regions),
        "rungs": [region["rung"] for region in row.regions if region["state"] == "accepted"],
        "picture": name,
        "timings": {},
    }
    for timing in row["timings"]:
        record["timings"][timing["operator"]] = record["timings"].get(timing["operator"], 0.0) + timing["total"]
    if truth is not None:
        record["figures"] = {
            **{name: measure(shown, truth) for name, measure in QUALITY.items()},
            "ms_ssim": quality.ms_ssim(shown, truth),
            "ms_ssim_unscaled": quality.ms_ssim_unscaled(shown, truth),
        }
    if entry.texts:
        erased, before = legibility.eraseness(shown, entry.texts, truth), legibility.eraseness(source, entry.texts, truth)
        record["eraseness"] = {
            "recall": erased.recall,
            "precision": erased.precision,
            "f": erased.f,
            "recall_before": before.recall,
        }
        if truth is not None:
            record["texts"] = [
                {
                    "perceptual_distance": perceptual_distance().distance(_cut(shown, polygon), _cut(truth, polygon)),
                    "psnr": min(99.0, quality.psnr(_cut(shown, polygon), _cut(truth, polygon))),
                    "characters_read": legibility.characters_read(shown, polygon) - legibility.characters_read(truth, polygon),
                }
                for polygon in entry.texts
            ]
    return record


def _cut(picture: Pixels, polygon: Sequence[Sequence[float]]) -> Pixels:
    height, width = picture.shape[:2]
    box = bounding_box([polygon], width, height).grown(PADDING, width, height)
    return np.ascontiguousarray(picture[box.y : box.y + box.height, box.x : box.x + box.width])


def in_processes(function: Any, jobs: Sequence[Any], processes: int) -> list[Any]:
    """`function` over the jobs, in order, by as many single-threaded processes."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        return list(pool.map(function, jobs))


def _quiet() -> None:
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def finite(values: Sequence[float | None]) -> list[float]:
    """The values that are numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]
