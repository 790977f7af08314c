"""Measures the effect of the mask: the same fills behind the true strokes, our strokes and filled
polygons, each soft and binary.

    python -m benchmarks.masks [--set report|tune] [--limit N] [--processes N]

Text is drawn on the suite's backgrounds in nine styles and a visible colour, so every pixel of it
is known. A picture counts only if the detector finds every text and covers at most half of the
picture, so that only the mask differs. All figures are measured inside the same rectangle around
each text. Gap closed is (polygons - ours) / (polygons - true strokes). The curve shows quality
against cost for several heights at which the stroke network sees the lines.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from flows.evaluation.captions import typefaces
from flows.evaluation.draw_text import Caption, Coverage, draw, draw_all, polygon_around
from flows.evaluation.measure import map_in_processes
from flows.evaluation.scenes import backgrounds
from flows.evaluation.suite import SETS
from flows.evaluation.words import WORDS_LATER
from flows.flow import Flow
from operators.detect import Detect
from operators.fetch import Fetch
from operators.generators.classical import CLASSICAL
from operators.masks.geometry import bounding_box, rasterised, stroke_height
from operators.masks.mask import BLEND, CHANNELS, CORE, dilated, hole_of, pasted
from operators.masks.stroke_mask import StrokeMask
from operators.metrics import legibility, quality
from operators.metrics.continuity import luma, seam_ratio
from operators.metrics.fills import Surroundings
from operators.metrics.perceptual import perceptual_distance
from operators.pictures.codec import Limits, decode
from operators.pictures.picture import Edit
from operators.rows.arrays import LUMA_WEIGHTS, Pixels
from operators.rows.box import Box
from operators.rows.records import JsonObject
from operators.rows.regions import OPEN
from operators.rows.schema import complete_rows
from operators.rows.table import Region, row_views
from operators.soften import Soften
from operators.vision.stroke_network import LINE_HEIGHT

RESULTS = Path(__file__).parent / "results"
STYLES: dict[str, dict[str, Any]] = {
    "plain": {},
    "opacity 0.3": {"opacity": 0.3},
    "opacity 0.5": {"opacity": 0.5},
    "opacity 0.7": {"opacity": 0.7},
    "outline": {"outline": 2},
    "shadow": {"shadow": 3},
    "outline and shadow": {"outline": 2, "shadow": 2},
    "slanted": {"angle": 12.0},
    "small": {"size": 18},
}
COLOURS = ((255, 255, 255), (15, 15, 15), (250, 220, 60), (200, 30, 40), (30, 60, 170), (230, 120, 30))
LEAST_CONTRAST = 50
"""Grey levels between a text and its background."""
MOST_INSIDE = 0.5
"""Share of a picture that detected polygons may cover; above it, the detector has mistaken the
picture itself for text.
"""
MASKS = ("true strokes", "our strokes", "polygons")
EDGES = ("soft", "binary")
FILLS = ("telea", "patchmatch")


class Way(NamedTuple):
    """A mask, its edge, and the fill behind it."""

    mask: str
    edge: str
    fill: str


WAYS = tuple(Way(mask, edge, fill) for mask in MASKS for edge in EDGES for fill in FILLS)
SEEN_HEIGHTS = (24, 32, 40, 48, 56, 68)
TOUCHED = 0.03
"""Coverage above which a pixel counts as changed by the text: one grey level in thirty."""
PADDING = 16


@dataclass(frozen=True)
class Picture:
    """One picture of the benchmark: its clean background and the texts on it."""

    number: int
    bucket: str
    style: str
    clean: Pixels
    captions: tuple[Caption, ...]


@dataclass(frozen=True)
class Job:
    """One picture, the folder to save it in, the height at which the stroke network sees a line,
    and the ways to fill it.
    """

    picture: Picture
    folder: str
    seen_height: int
    ways: tuple[Way, ...]


def _caption(rng: random.Random, y: float, style: str, clean: Pixels) -> Caption:
    """A line in one of the styles, in a colour that contrasts with its background."""
    behind = float(luma(clean[round((y - 0.08) * len(clean)) : round((y + 0.08) * len(clean))]).mean())
    visible = [colour for colour in COLOURS if abs(float(np.dot(colour, LUMA_WEIGHTS)) - behind) > LEAST_CONTRAST]
    font = rng.choice(list(typefaces().values()))
    base = Caption(rng.choice(WORDS_LATER), font, rng.randint(26, 46), rng.uniform(0.44, 0.56), y, rng.choice(visible))
    return replace(base, **STYLES[style])


def pictures(chosen: str, limit: int | None) -> Iterator[Picture]:
    """Every background of a set; styles alternate so that each bucket has all of them."""
    counts: dict[str, int] = {}
    cleans = [(bucket, clean) for bucket, set_name, clean in backgrounds() if set_name == chosen]
    for number, (bucket, clean) in enumerate(cleans[:limit]):
        turn = counts[bucket] = counts.get(bucket, -1) + 1
        style = list(STYLES)[turn % len(STYLES)]
        rng = random.Random(f"{chosen} {number}")
        captions = (_caption(rng, 0.3, style, clean), _caption(rng, 0.7, style, clean))
        yield Picture(number, bucket, style, clean, captions)


def _detect_and_soften(picture: Pixels, folder: Path, number: int, soften: Soften) -> tuple[pa.Table, dict[str, float]]:
    """The picture as a softened one-row table, and the milliseconds of each operator."""
    path = folder / f"{number:04d}.png"
    Image.fromarray(picture).save(path)
    columns = {"image_id": [path.name], "uri": [str(path)], "path": [path.name], "shard": pa.array([0], pa.int32())}
    table = Flow((Fetch(), Detect(), soften)).run(complete_rows(pa.table(columns)))
    return table, {timing["operator"]: timing["total"] for timing in table["timings"].to_pylist()[0]}


def region_mask(core: Pixels, blend: Pixels) -> Pixels:
    """A region's mask from its `core` (0 or 255) and its paste-back weights."""
    mask = np.zeros((*core.shape, len(CHANNELS)), np.uint8)
    mask[:, :, CORE], mask[:, :, BLEND] = core, blend
    return mask


def paste_weights(kind: str, core: Pixels, strokes: Pixels, ours: Pixels, edge: str) -> Pixels:
    """The paste-back weights of one kind of mask: its core if binary, else as `soften` makes
    them.

    True strokes count as certain.
    """
    if edge != "soft":
        return core
    if kind == "true strokes":
        return StrokeMask().weight(core, strokes, "found")
    return ours[:, :, BLEND] if kind == "our strokes" else StrokeMask().weight(core, core, "polygon")


def _cut(plane: Any, box: Box) -> Any:
    return np.ascontiguousarray(plane[box.y : box.y + box.height, box.x : box.x + box.width])


def measure_picture(job: Job) -> JsonObject | None:
    """One picture behind every mask, edge and fill; None if the detector missed a text."""
    clean = job.picture.clean
    picture, coverage = draw_all(clean, job.picture.captions)
    soften = Soften(seen_height=job.seen_height)
    table, milliseconds = _detect_and_soften(picture, Path(job.folder), job.picture.number, soften)
    row = row_views(table)[0]
    frame = Box(0, 0, clean.shape[1], clean.shape[0])
    covers = [draw(clean, caption)[1] for caption in job.picture.captions]
    regions = [region for region in row.regions if region["state"] == OPEN]
    polygons = [polygon for region in regions for polygon in region["polygons"]]
    inside = rasterised(polygons, frame) > 0
    if inside.mean() > MOST_INSIDE or any(
        (inside & (cover > TOUCHED)).sum() < 0.9 * (cover > TOUCHED).sum() for cover in covers
    ):
        return None
    touched = np.where(coverage > TOUCHED, 255, 0).astype(np.uint8)
    record: JsonObject = {"bucket": job.picture.bucket, "style": job.picture.style, "detect_ms": milliseconds["detect"]}
    record |= {"soften_ms": milliseconds["soften"], "paste_ms": _paste_milliseconds(picture, regions)}
    record |= _strokes_against_truth(regions, coverage, inside, frame)
    record["results"] = [
        {**way._asdict(), **figures}
        for way in job.ways
        for figures in _figures(regions, picture, clean, covers, touched, frame, way)
    ]
    return record


def _paste_milliseconds(picture: Pixels, regions: list[Region]) -> float:
    """Milliseconds that pasting the regions takes, without encoding."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    source = decode(buffer.getvalue(), Limits())
    edits = [
        Edit(
            region["crop"]["x"],
            region["crop"]["y"],
            region.array("pixels", 3),
            region.array("mask", 4)[:, :, BLEND] / np.float32(255),
        )
        for region in regions
    ]
    start = time.perf_counter()
    source.edited(edits)
    return (time.perf_counter() - start) * 1000


def _strokes_against_truth(regions: list[Region], coverage: Coverage, inside: Any, frame: Box) -> dict[str, float]:
    """Recall of the rendered pixels in detected polygons, and precision against these pixels
    grown by 3, for the core and for the hole.
    """
    core = np.zeros((frame.height, frame.width), bool)
    hole = np.zeros_like(core)
    for region in regions:
        box = region.crop
        mask = region.array("mask", 4)
        place = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
        core[place] |= mask[:, :, CORE] > 0
        hole[place] |= hole_of(mask) > 0
    wanted = (coverage > TOUCHED) & inside
    grown = dilated((coverage > TOUCHED).astype(np.uint8), 3) > 0
    return {
        "core_recall": float(core[wanted].mean()),
        "core_precision": float(grown[core].mean()) if core.any() else 1.0,
        "hole_recall": float(hole[wanted].mean()),
        "hole_precision": float(grown[hole].mean()) if hole.any() else 1.0,
    }


def _figures(
    regions: list[Region],
    picture: Pixels,
    clean: Pixels,
    covers: list[Coverage],
    touched: Pixels,
    frame: Box,
    way: Way,
) -> Iterator[dict[str, float]]:
    """The figures of the picture filled one way, measured around each text."""
    result, seams = picture.copy(), []
    for region in regions:
        box = region.crop
        height = max(1.0, min(stroke_height(polygon) for polygon in region["polygons"]))
        strokes = _cut(touched, box) if way.mask == "true strokes" else rasterised(region["polygons"], box)
        ours = region.array("mask", 4)
        core = ours[:, :, CORE] if way.mask == "our strokes" else StrokeMask().grown(strokes, height)
        mask = region_mask(core, paste_weights(way.mask, core, strokes, ours, way.edge))
        pixels = _cut(picture, box)
        filled = CLASSICAL[way.fill](pixels, hole_of(mask), 0)
        crop_result = pasted(pixels, filled, mask[:, :, BLEND])
        edited = mask[:, :, BLEND] > 0
        place = np.s_[box.y : box.y + box.height, box.x : box.x + box.width]
        result[place][edited] = crop_result[edited]
        around = Surroundings.of(mask)
        seams.append(seam_ratio(crop_result, around.edited, around.border))
    for cover in covers:
        polygon = polygon_around(cover)
        box = bounding_box([polygon], frame.width, frame.height).grown(PADDING, frame.width, frame.height)
        view, truth = _cut(result, box), _cut(clean, box)
        yield {
            "psnr": min(99.0, quality.psnr(view, truth)),
            "perceptual_distance": perceptual_distance().distance(view, truth),
            "seam": float(np.nanmean(seams)),
            "characters_left": max(0, legibility.characters_read(result, polygon) - legibility.characters_read(clean, polygon)),
        }


def _mean(results: list[JsonObject], name: str) -> float:
    return float(np.mean([result[name] for result in results])) if results else float("nan")


def summarise(records: list[JsonObject]) -> list[JsonObject]:
    """Mean figures per bucket or style, edge, fill and mask; the group `all` holds everything."""
    groups: dict[str, list[JsonObject]] = {"all": records}
    for record in records:
        groups.setdefault(record["bucket"], []).append(record)
        groups.setdefault(record["style"], []).append(record)
    lines = []
    for group, members in groups.items():
        for edge in EDGES:
            for fill in FILLS:
                for mask in MASKS:
                    chosen = [
                        result
                        for member in members
                        for result in member["results"]
                        if (result["mask"], result["edge"], result["fill"]) == (mask, edge, fill)
                    ]
                    figures = {name: _mean(chosen, name) for name in ("psnr", "perceptual_distance", "seam", "characters_left")}
                    lines.append({"group": group, "edge": edge, "fill": fill, "mask": mask, "texts": len(chosen), **figures})
    return lines


def close_gaps(lines: list[JsonObject]) -> list[JsonObject]:
    """The share of the gap between polygons and true strokes that our strokes close, per group,
    edge and fill.
    """
    gaps = []
    for group, edge, fill in dict.fromkeys((line["group"], line["edge"], line["fill"]) for line in lines):
        by_mask = {line["mask"]: line for line in lines if (line["group"], line["edge"], line["fill"]) == (group, edge, fill)}
        true, ours, polygons = (by_mask[mask] for mask in MASKS)
        closed = {
            f"{name}_gap_closed": (ours[name] - polygons[name]) / (true[name] - polygons[name])
            for name in ("psnr", "perceptual_distance")
        }
        gaps.append({"group": group, "edge": edge, "fill": fill, **closed})
    return gaps


STROKE_FIGURES = ("core_recall", "core_precision", "hole_recall", "hole_precision")


def stroke_table(records: list[JsonObject]) -> dict[str, dict[str, float]]:
    """Recall and precision of the strokes per bucket and per style."""
    groups = [
        "all",
        *dict.fromkeys(record["bucket"] for record in records),
        *dict.fromkeys(record["style"] for record in records),
    ]
    return {
        group: {
            name: _mean([record for record in records if group in ("all", record["bucket"], record["style"])], name)
            for name in STROKE_FIGURES
        }
        for group in groups
    }


def measure_curve(chosen: list[Picture], folder: str, processes: int) -> list[dict[str, float]]:
    """Quality and cost for each of SEEN_HEIGHTS, on every third picture."""
    points = []
    for height in SEEN_HEIGHTS:
        jobs = [Job(picture, folder, height, (Way("our strokes", "soft", "patchmatch"),)) for picture in chosen[::3]]
        records = [record for record in map_in_processes(measure_picture, jobs, processes) if record is not None]
        results = [result for record in records for result in record["results"]]
        figures = {name: _mean(results, name) for name in ("psnr", "perceptual_distance")}
        strokes = {name: _mean(records, name) for name in STROKE_FIGURES}
        cost = sum(record["soften_ms"] + record["paste_ms"] for record in records) / sum(
            record["detect_ms"] for record in records
        )
        points.append({"seen_height": height, "cost_over_detection": cost, **figures, **strokes})
    return points


def main() -> None:
    """Print the tables and save all figures as JSON in `results`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="report")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    chosen = list(pictures(arguments.set, arguments.limit))
    with tempfile.TemporaryDirectory(prefix="cleanplate-masks-") as folder:
        jobs = [Job(picture, folder, LINE_HEIGHT, WAYS) for picture in chosen]
        measured = map_in_processes(measure_picture, jobs, arguments.processes)
        points = measure_curve(chosen, folder, arguments.processes)
    records = [record for record in measured if record is not None]
    lines = summarise(records)
    totals = {name: sum(record[name] for record in records) for name in ("detect_ms", "soften_ms", "paste_ms")}
    content = {
        "pictures": len(measured),
        "with_every_text_found": len(records),
        "soften_and_paste_over_detection": (totals["soften_ms"] + totals["paste_ms"]) / totals["detect_ms"],
        "strokes": stroke_table(records),
        "gaps": close_gaps(lines),
        "curve": points,
        "lines": lines,
    }
    if arguments.set == "report" and arguments.limit is None:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "masks.json").write_text(json.dumps(content, indent=1))
    for line in lines:
        print(
            f"{line['group']:18s} {line['edge']:6s} {line['fill']:10s} {line['mask']:12s} {line['texts']:4d} texts "
            f"{line['psnr']:5.1f} dB  {line['perceptual_distance']:.3f}  seam {line['seam']:.2f}  "
            f"characters left {line['characters_left']:.2f}"
        )
    for gap in content["gaps"]:
        psnr, perceptual = gap["psnr_gap_closed"], gap["perceptual_distance_gap_closed"]
        print(f"{gap['group']:18s} {gap['edge']:6s} {gap['fill']:10s} gap closed: PSNR {psnr:.0%}, perceptual {perceptual:.0%}")
    for group, figures in content["strokes"].items():
        print(f"{group:18s} " + ", ".join(f"{name} {value:.3f}" for name, value in figures.items()))
    for point in points:
        print("curve: " + ", ".join(f"{name} {value:.3f}" for name, value in point.items()))
    print(
        f"{len(records)} of {len(measured)} pictures have every text found; soften and paste-back over detection: "
        f"{content['soften_and_paste_over_detection']:.2f}"
    )


if __name__ == "__main__":
    main()
