"""Measures fills and delivered images against the truth, for every region, rung and image."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from flows.evaluation.acceptance import PADDING, Judgement, cut, judge_picture, judge_untouched, padded_box, text_figures
from flows.evaluation.records import EvaluatedFill, EvaluatedImage, EvaluatedText
from flows.evaluation.suite import Entry, Suite
from flows.flow import Flow
from operators.detect import Detect
from operators.fetch import Fetch
from operators.inpaint import Inpaint
from operators.masks.geometry import Polygon, bounding_box, rasterised
from operators.masks.mask import BLEND, CORE, dilated, pasted
from operators.metrics import legibility, quality
from operators.metrics.continuity import lab_difference, seam_ratio
from operators.metrics.fills import Surroundings
from operators.metrics.naturalness import band_ratios, overshoot_share
from operators.metrics.perceptual import perceptual_distance
from operators.metrics.surface import region_figures, text_smoothed_over
from operators.pictures.formats.header import open_image
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import JsonObject
from operators.rows.schema import complete_rows
from operators.rows.table import Region, row_views, swap_children
from operators.soften import Soften
from operators.verify import measure_region

Job = TypeVar("Job")
Result = TypeVar("Result")

EDITED = ("edited", "partly_edited")
"""The verdicts whose delivered picture differs from the source."""

REFUSED = ("open", "refused")
"""The states of a region that was found and is not erased; its last fill, if any, was refused."""

RANDOM = ("patchmatch", "builtin")
"""The rungs whose fills depend on the seed."""

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
    """A change to a region's mask before it is filled, to see how much a generator needs a
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
    return complete_rows(pa.table(columns))


def detect_and_soften(suite: Suite, entry: Entry) -> pa.Table:
    """One image of a suite, detected and softened: a table of one row."""
    return Flow((Fetch(), Detect(), Soften())).run(_index_row(entry, suite.image(entry)))


def crop_of(region: Region, picture: Pixels) -> Pixels:
    """The part of a picture (uint8 height x width x 3) that lies in a region's crop."""
    crop = region.crop
    return picture[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]


def compared_area(mask: Pixels) -> tuple[slice, slice]:
    """The rows and columns of a crop that hold its edit and PADDING pixels around it."""
    rows, columns = (np.flatnonzero((mask[:, :, BLEND] > 0).any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    return (
        slice(max(0, int(rows[0]) - PADDING), int(rows[-1]) + PADDING + 1),
        slice(max(0, int(columns[0]) - PADDING), int(columns[-1]) + PADDING + 1),
    )


def against_truth(result: Pixels, truth: Pixels) -> dict[str, float]:
    """Every quality figure of one padded crop against its truth, and the perceptual distance."""
    figures = {name: measure(result, truth) for name, measure in QUALITY.items()}
    return {**figures, "perceptual_distance": perceptual_distance().distance(result, truth)}


def place_of(region: Region, frame: Box) -> JsonObject:
    """The kind of place that a region is: the failure tables are divided by these figures."""
    mask = region.array("mask", 4)
    without_text = text_smoothed_over(region.array("pixels", 3), mask)
    figures = region_figures(without_text, mask, region["polygons"], max(frame.width, frame.height))
    box = bounding_box(region["polygons"], frame.width, frame.height)
    at_border = box.x <= 2 or box.y <= 2 or box.x + box.width >= frame.width - 2 or box.y + box.height >= frame.height - 2
    return {**figures, "border": at_border, "strokes": region["strokes"]}


def fill_figures(region: Region, truth: Pixels | None) -> dict[str, float]:
    """All figures of one filled region, against its clean crop if there is one.

    Quality and legibility need the truth; continuity and naturalness do not. The result is empty
    if the fill is missing.
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
    read_in_result, read_in_truth = (
        sum(legibility.characters_read(picture, polygon) for polygon in polygons) for picture in (result, truth)
    )
    quality_figures = against_truth(np.ascontiguousarray(result[area]), np.ascontiguousarray(truth[area]))
    overshoot = overshoot_share(result, truth, place.edited)
    characters_read = max(0, read_in_result - read_in_truth)
    return {**figures, **quality_figures, "overshoot": overshoot, "characters_read": characters_read}


@dataclass(frozen=True)
class FillJob:
    """One image for every rung to fill.

    With several `seeds`, random rungs also fill it by other seeds, and all rungs on worse masks.
    `pictures` is the folder for pictures of the variance across seeds, None to make none.
    """

    suite: Suite
    entry: Entry
    rungs: tuple[str, ...]
    seed: int = 0
    seeds: int = 1
    pictures: str | None = None


def rung_records(job: FillJob) -> list[EvaluatedFill]:
    """Every region of one image filled by each rung, measured with and without the truth."""
    table, truth = detect_and_soften(job.suite, job.entry), job.suite.truth(job.entry)
    return [record for rung in job.rungs for record in _fill_records(job, rung, table, truth)]


def _fill_records(job: FillJob, rung: str, table: pa.Table, truth: Pixels | None) -> Iterator[EvaluatedFill]:
    filled = row_views(Inpaint(rung, job.seed).apply(table))[0]
    frame = Box(0, 0, filled["width"], filled["height"])
    other_seeds = range(job.seed + 1, job.seed + job.seeds) if rung in RANDOM else ()
    others = [row_views(Inpaint(rung, seed).apply(table))[0] for seed in other_seeds]
    worse = {p: row_views(Inpaint(rung, job.seed).apply(_perturb(table, p)))[0] for p in PERTURBATIONS if job.seeds > 1}
    for number, region in enumerate(filled.regions):
        clean = crop_of(region, truth) if truth is not None else None
        figures = fill_figures(region, clean)
        measurements = measure_region(region)
        if not figures or measurements is None:
            continue
        record: EvaluatedFill = {
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
            _add_variance(record, job, [region, *(row.regions[number] for row in others)], clean)
        if worse and clean is not None:
            record["perturbed"] = {
                p.name: fill_figures(row.regions[number], clean).get("perceptual_distance") for p, row in worse.items()
            }
        yield record


def _add_variance(record: EvaluatedFill, job: FillJob, regions: Sequence[Region], clean: Pixels | None) -> None:
    """Add how much a fill's pixels (grey levels) and its perceptual distance vary with the seed.

    `regions` are the same region filled by different seeds.
    """
    region = regions[0]
    blend = region.array("mask", 4)[:, :, BLEND] > 0
    fills = np.stack([fill for variant in regions if (fill := variant.fill()) is not None]).astype(np.float32)
    spread = fills.std(axis=0).mean(axis=2) * blend
    record["pixel_deviation"] = float(spread[blend].mean())
    if clean is not None:
        distances = [fill_figures(variant, clean)["perceptual_distance"] for variant in regions]
        record["seed_deviation"] = float(np.std(distances))
    if job.pictures is not None:
        name = f"{Path(job.entry.file).stem}-{region['crop']['x']}-{region['crop']['y']}.png"
        Path(job.pictures).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(spread * 4, 0, 255).astype(np.uint8)).save(Path(job.pictures) / name)
        record["variance_picture"] = name


def _perturb(table: pa.Table, perturbation: Perturbation) -> pa.Table:
    regions = row_views(table)[0].regions
    masks = [perturbation(region.array("mask", 4), number).tobytes() for number, region in enumerate(regions)]
    return swap_children(table, {"mask": pa.array(masks, pa.large_binary())})


@dataclass(frozen=True)
class FlowJob:
    """One image for a whole flow; the folder `pictures` receives the delivered picture as PNG."""

    suite: Suite
    entry: Entry
    flow: Flow
    pictures: str


def deliver(job: FlowJob) -> EvaluatedImage:
    """Run a whole flow on one image: its verdict, its timings, and the delivered picture against
    the truth.
    """
    path = job.suite.image(job.entry)
    row = row_views(job.flow.run(_index_row(job.entry, path)))[0]
    encoded, file = row.data("encoded"), path.read_bytes()
    source = np.asarray(open_image(file).convert("RGB"))
    delivered = source if encoded is None else np.asarray(open_image(encoded).convert("RGB"))
    name = Path(job.entry.file).stem + ".png"
    Path(job.pictures).mkdir(parents=True, exist_ok=True)
    Image.fromarray(delivered).save(Path(job.pictures) / name)
    timings: dict[str, float] = {}
    for timing in row["timings"]:
        timings[timing["operator"]] = timings.get(timing["operator"], 0.0) + timing["total"]
    image: EvaluatedImage = {
        "file": job.entry.file,
        "set": job.entry.set,
        "bucket": job.entry.bucket,
        "verdict": row["verdict"],
        "reasons": row["reasons"],
        "regions": len(row.regions),
        "rungs": [region["rung"] for region in row.regions if region["state"] == "erased"],
        "fills": sum(region["passes"] or 0 for region in row.regions),
        "picture": name,
        "timings": timings,
    }
    truth = job.suite.truth(job.entry)
    _add_comparison(image, job.entry.texts, truth, source, delivered)
    if not job.entry.texts:
        _add_judgement(image, judge_untouched(file if encoded is None else encoded, file))
    elif truth is not None:
        judgement = judge_picture(delivered, source, truth, job.entry.texts)
        _add_judgement(image, judgement)
        wrong = wrongly_refused(row.regions, delivered, source, truth, job.entry.texts)
        image["texts"] = _text_records(judgement, wrong, delivered, truth, job.entry.texts)
    return image


def _add_judgement(image: EvaluatedImage, judgement: Judgement) -> None:
    """Add whether a person would accept the delivered picture, and what became of it."""
    image["accepted"], image["refusal"] = judgement.accepted, judgement.refusal
    image["outside"] = judgement.outside
    changed = "damaged" if image["verdict"] in EDITED else "missed"
    image["outcome"] = "accepted" if judgement.accepted else changed


def _text_records(
    judgement: Judgement,
    wrong: Sequence[bool | None],
    delivered: Pixels,
    truth: Pixels,
    texts: Sequence[Polygon],
) -> list[EvaluatedText]:
    boxes = [padded_box(polygon, truth) for polygon in texts]
    return [
        {
            "perceptual_distance": figures.distance,
            "psnr": min(99.0, quality.psnr(cut(delivered, box), cut(truth, box))),
            "characters_read": legibility.characters_read(delivered, polygon),
            "characters_left": figures.characters_left,
            "signal_left": figures.signal_left,
            "flat_error": figures.flat_error,
            "stain": figures.stain,
            "accepted": figures.accepted,
            "refusal": figures.refusal,
            "wrongly_refused": refused,
        }
        for figures, refused, polygon, box in zip(judgement.texts, wrong, texts, boxes, strict=True)
    ]


def wrongly_refused(
    regions: Sequence[Region], delivered: Pixels, source: Pixels, clean: Pixels, texts: Sequence[Polygon]
) -> list[bool | None]:
    """For each text, whether the flow refused a fill that the rule of acceptance accepts.

    The last fill of every refused region is pasted into the delivered picture, and each text is
    judged there, so that a neighbour's refused text does not count against it. None for a text
    none of whose fills was refused.
    """
    refused = [region for region in regions if region["state"] in REFUSED and region.fill() is not None]
    candidate, frame = delivered.copy(), Box(0, 0, source.shape[1], source.shape[0])
    found: list[Polygon] = []
    for region in refused:
        pixels, fill = region.array("pixels", 3), region.fill()
        if fill is not None and fill.shape == pixels.shape:
            blend = region.array("mask", 4)[:, :, BLEND]
            crop_of(region, candidate)[:] = pasted(crop_of(region, candidate), fill, blend)
            found += region["polygons"]
    concerned = [any(_same_text(polygon, text, frame) for polygon in found) for text in texts]
    if not any(concerned):
        return [None] * len(texts)
    figures = text_figures(candidate, source, clean, texts)
    return [text.accepted if is_refused else None for text, is_refused in zip(figures, concerned, strict=True)]


def _same_text(found: Polygon, text: Polygon, frame: Box) -> bool:
    """Whether two polygons share more than half of the smaller area."""
    boxes = [bounding_box([polygon], frame.width, frame.height) for polygon in (found, text)]
    if not boxes[0].overlaps(boxes[1]):
        return False
    first, second = (rasterised([polygon], boxes[0].union(boxes[1])) > 0 for polygon in (found, text))
    return bool((first & second).sum() > 0.5 * min(first.sum(), second.sum()))


def _add_comparison(
    image: EvaluatedImage, texts: Sequence[Polygon], truth: Pixels | None, source: Pixels, delivered: Pixels
) -> None:
    """Add how far the delivered picture is from the truth, and whether its texts are still
    detected.
    """
    if truth is not None:
        image["figures"] = {
            **{name: measure(delivered, truth) for name, measure in QUALITY.items()},
            "ms_ssim": quality.ms_ssim(delivered, truth),
            "ms_ssim_unscaled": quality.ms_ssim_unscaled(delivered, truth),
        }
    if texts:
        after, before = (legibility.eraseness(picture, texts, truth) for picture in (delivered, source))
        image["eraseness"] = {
            "precision": after.precision,
            "recall": after.recall,
            "f": after.f,
            "recall_before": before.recall,
        }


def map_in_processes(function: Callable[[Job], Result], jobs: Sequence[Job], processes: int) -> list[Result]:
    """The function's results in the order of the jobs, from as many single-threaded processes."""
    return list(as_processed(function, jobs, processes))


def as_processed(function: Callable[[Job], Result], jobs: Sequence[Job], processes: int) -> Iterator[Result]:
    """Like `map_in_processes`, but yield each result once it and all earlier ones are ready."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_limit_threads) as pool:
        yield from pool.map(function, jobs)


def _limit_threads() -> None:
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def finite(values: Sequence[float | None]) -> list[float]:
    """The values that are finite numbers."""
    return [value for value in values if value is not None and math.isfinite(value)]
