"""Measures the fills of drawn pictures: which family of generators places exact lines.

    python -m benchmarks.drawn --model build/drawn/model [--set tune] [--processes 2]

Every rung fills the same regions of the suite's drawn buckets, at most REGIONS of a picture,
spread over it. Per bucket and rung: the perceptual distance and the PSNR to the truth around the
text, the characters still read, the share of straight edges that are broken, and milliseconds of
one computing thread per region. Letters of other texts in the crop are replaced by the truth,
because each fill is judged for its own text. Each rung is also compared with `autoregressive`
region by region, with 95 % bootstrap intervals over regions, and filled by other seeds to see
what those change.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from flows.evaluation.calibrate import without_nan
from flows.evaluation.default_suite import default_folder, default_suite
from flows.evaluation.measure import as_processed, compared_area, crop_of, detect_and_soften, finite
from flows.evaluation.suite import SETS, Entry, Suite, load
from flows.evaluation.tables import by, mean
from operators.generators.catalogue import generator_of
from operators.generators.generator import Generator, Request
from operators.generators.harmonise import harmonised
from operators.generators.microbatch import Filled, fill_all
from operators.generators.seeds import seed_of
from operators.masks.mask import BLEND, CORE, dilated, hole_of, pasted
from operators.metrics.broken_edges import broken_edges
from operators.metrics.legibility import characters_read
from operators.metrics.perceptual import perceptual_distance
from operators.metrics.quality import psnr
from operators.models.registry import fetch_weights, resolve
from operators.rows.arrays import Pixels
from operators.rows.records import JsonObject
from operators.rows.regions import OPEN
from operators.rows.table import Region, row_views
from training.drawn_generator import PixelAutoregression

RUNGS = ("navier_stokes", "patchmatch", "hybrid", "builtin")
OURS = "autoregressive"
"""The generator of `training/drawn_generator.py`, which is not shipped."""
BUCKETS = ("graphics", "page", "screenshot", "table", "speech bubbles", "sound words")
REGIONS = 3
"""Regions of one picture that are measured, at most."""
SEEDS = 3
"""Seeds by which the first region of a picture is filled."""
FIGURES = ("distance", "psnr", "characters_read", "broken_edges", "milliseconds")
RESULTS = Path(__file__).parent / "results" / "drawn.json"


def fill_region(generator: Generator, region: Region, sha256: str, rung: str, seed: int) -> tuple[Pixels, float]:
    """A region's fill as `inpaint` makes it, and milliseconds of processor time."""
    pixels, mask = np.ascontiguousarray(region.array("pixels", 3)), region.array("mask", 4)
    request = Request(pixels, mask, seed_of(seed, sha256, region["crop"], rung, 1))
    start = time.process_time()
    (outcome,) = fill_all(generator, [request])
    if not isinstance(outcome, Filled):
        raise outcome
    fill = harmonised(pixels, outcome.pixels, hole_of(mask)) if rung == "builtin" else outcome.pixels
    return fill, (time.process_time() - start) * 1000


def generators_of(model: Path) -> dict[str, Generator]:
    """The generators to compare, by name; `model` is the folder that `training.drawn` exports."""
    cards = {rung: resolve(rung) for rung in RUNGS}
    folders = {rung: None if card.family == "classical" else fetch_weights(card) for rung, card in cards.items()}
    shipped = {rung: generator_of(card, folders[rung]) for rung, card in cards.items()}
    return {**shipped, OURS: PixelAutoregression(model)}


def measure_entry(job: tuple[Suite, Entry, Path]) -> list[JsonObject]:
    """Some regions of one image filled by every rung and measured."""
    suite, entry, model = job
    row, truth = row_views(detect_and_soften(suite, entry))[0], suite.truth(entry)
    chosen = [region for region in row.regions if region["state"] == OPEN]
    chosen = [chosen[number] for number in np.unique(np.linspace(0, len(chosen) - 1, min(REGIONS, len(chosen))).astype(int))]
    if truth is None or not chosen:
        return []
    generators = generators_of(model)
    for rung, generator in generators.items():
        fill_region(generator, chosen[0], row["source_sha256"], rung, 0)
    records = []
    for number, region in enumerate(chosen):
        measure = partial(figures_of, region, crop_of(region, truth))
        read_in_truth = sum(characters_read(crop_of(region, truth), polygon) for polygon in region.polygons_on_crop())
        for rung, generator in generators.items():
            fill, milliseconds = fill_region(generator, region, row["source_sha256"], rung, 0)
            record = {"file": entry.file, "bucket": entry.bucket, "region": number, "rung": rung, "milliseconds": milliseconds}
            record |= measure(fill, read_in_truth)
            if number == 0:
                others = [fill_region(generator, region, row["source_sha256"], rung, seed)[0] for seed in range(1, SEEDS)]
                distances = [record["distance"], *(distance_of(region, crop_of(region, truth), other) for other in others)]
                record["seed_deviation"] = float(np.std(distances))
            records.append(record)
    return records


def delivered(region: Region, truth: Pixels, fill: Pixels) -> tuple[Pixels, Pixels]:
    """The crop with its fill pasted and other texts' letters replaced by the truth, and the
    truth.
    """
    mask = region.array("mask", 4)
    others = dilated(((mask[:, :, CORE] > 0) & (mask[:, :, BLEND] == 0)).astype(np.uint8), 3) > 0
    others &= mask[:, :, BLEND] == 0
    result = pasted(region.array("pixels", 3), fill, mask[:, :, BLEND])
    return np.where(others[:, :, None], truth, result), truth


def distance_of(region: Region, truth: Pixels, fill: Pixels) -> float:
    """The perceptual distance of a fill to the truth around the text."""
    area = compared_area(region.array("mask", 4))
    pair = (np.ascontiguousarray(picture[area]) for picture in delivered(region, truth, fill))
    return perceptual_distance().distance(*pair)


def figures_of(region: Region, truth: Pixels, fill: Pixels, read_in_truth: int) -> JsonObject:
    """The figures of one fill."""
    result, _ = delivered(region, truth, fill)
    mask = region.array("mask", 4)
    area = compared_area(mask)
    read = sum(characters_read(result, polygon) for polygon in region.polygons_on_crop())
    return {
        "distance": distance_of(region, truth, fill),
        "psnr": min(60.0, psnr(result[area], truth[area])),
        "characters_read": max(0, read - read_in_truth),
        "broken_edges": broken_edges(result, np.ascontiguousarray(truth), mask[:, :, BLEND] > 0),
    }


def table(records: Sequence[JsonObject]) -> list[JsonObject]:
    """One line per bucket and rung, the bucket `all` first."""
    lines = []
    for bucket, members in {"all": records, **by(records, lambda record: record["bucket"])}.items():
        for rung, fills in by(members, lambda record: record["rung"]).items():
            means = {name: mean(finite([fill[name] for fill in fills])) for name in FIGURES}
            deviation = mean(fill["seed_deviation"] for fill in fills if "seed_deviation" in fill)
            lines.append({"bucket": bucket, "rung": rung, "regions": len(fills), **means, "seed_deviation": deviation})
    return lines


def compare(records: Sequence[JsonObject], figure: str) -> list[JsonObject]:
    """Per bucket, `autoregressive` minus each other rung, region by region, with its 95 %
    interval.
    """
    places = [{fill["rung"]: fill for fill in fills} for fills in by(records, lambda r: f"{r['file']} {r['region']}").values()]
    lines = []
    for bucket in ("all", *dict.fromkeys(place[OURS]["bucket"] for place in places)):
        chosen = [place for place in places if bucket in ("all", place[OURS]["bucket"])]
        for rung in [rung for rung in chosen[0] if rung != OURS]:
            values = np.array(finite([place[OURS][figure] - place[rung][figure] for place in chosen]))
            if not len(values):
                continue
            drawn = np.random.default_rng(0).choice(values, (4000, len(values))).mean(axis=1)
            low, high = (float(edge) for edge in np.quantile(drawn, (0.025, 0.975)))
            lines.append(
                {
                    "bucket": bucket,
                    "against": rung,
                    "regions": len(values),
                    "change": float(values.mean()),
                    "interval": [low, high],
                }
            )
    return lines


def time_region(model: Path) -> dict[str, float]:
    """Milliseconds of processor time for a 128 x 128 region, by rung, the best of five."""
    picture = np.full((128, 128, 3), 240, np.uint8)
    picture[::16], picture[:, 40:44] = (30, 60, 90), (200, 40, 40)
    hole = np.zeros((128, 128), np.uint8)
    cv2.putText(hole, "Text", (4, 76), cv2.FONT_HERSHEY_SIMPLEX, 1.6, 255, 12)
    request, times = Request(picture, np.dstack([hole] * 4), 1), {}
    for rung, generator in generators_of(model).items():
        spent = []
        for _ in range(6):
            start = time.process_time()
            fill_all(generator, [request])
            spent.append((time.process_time() - start) * 1000)
        times[rung] = min(spent[1:])
    return times


def write_pictures(suite: Suite, entries: Sequence[Entry], model: Path, path: Path) -> None:
    """Write a picture with one row per image, its first region at 100 %: text, truth, every
    rung.
    """
    rows = []
    for entry in entries:
        truth, row = suite.truth(entry), row_views(detect_and_soften(suite, entry))[0]
        chosen = [region for region in row.regions if region["state"] == OPEN]
        if truth is None or not chosen:
            continue
        region = chosen[0]
        pixels, clean = region.array("pixels", 3), crop_of(region, truth)
        fills = []
        for rung, generator in generators_of(model).items():
            fill, _ = fill_region(generator, region, row["source_sha256"], rung, 0)
            fills.append(delivered(region, clean, fill)[0])
        y, x = (int(np.mean(np.nonzero(hole_of(region.array("mask", 4)))[axis])) for axis in (0, 1))
        top, left = max(0, y - 40), max(0, x - 100)
        views = [np.zeros((80, 200, 3), np.uint8) for _ in range(2 + len(fills))]
        for view, picture in zip(views, (pixels, clean, *fills), strict=True):
            part = picture[top : top + 80, left : left + 200]
            view[: part.shape[0], : part.shape[1]] = part
        rows.append(np.hstack(views))
    Image.fromarray(np.vstack(rows)).save(path)


def main() -> None:
    """Measure, print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="folder that training.drawn exports")
    parser.add_argument("--suite", type=Path, help="folder of a suite; the default suite without one")
    parser.add_argument("--set", choices=SETS, default="report", help="set of the suite")
    parser.add_argument("--every", type=int, default=1, help="use only one image in this many")
    parser.add_argument("--pictures", type=Path, help="file for pictures of some fills")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    suite = load(arguments.suite) if arguments.suite else default_suite(default_folder())
    entries = [entry for entry in suite.entries if entry.set == arguments.set and entry.bucket in BUCKETS][:: arguments.every]
    records: list[JsonObject] = []
    jobs = [(suite, entry, arguments.model) for entry in entries]
    for entry, measured in zip(entries, as_processed(measure_entry, jobs, arguments.processes), strict=True):
        records += measured
        print(f"{entry.file}: {len(measured)} fills", flush=True)
    content: JsonObject = {
        "suite_checksum": suite.checksum,
        "set": arguments.set,
        "table": table(records),
        "distance": compare(records, "distance"),
        "characters_read": compare(records, "characters_read"),
        "broken_edges": compare(records, "broken_edges"),
        "milliseconds_128": time_region(arguments.model),
    }
    print(f"| bucket | rung | regions | {' | '.join(FIGURES)} | seed_deviation |\n|{'---|' * (4 + len(FIGURES))}")
    for line in content["table"]:
        values = " | ".join(f"{line[name]:.4f}" for name in (*FIGURES, "seed_deviation"))
        print(f"| {line['bucket']} | {line['rung']} | {line['regions']} | {values} |")
    for figure in ("distance", "characters_read", "broken_edges"):
        for line in content[figure]:
            low, high = line["interval"]
            change = f"{line['change']:+.4f} ({low:+.4f} to {high:+.4f})"
            print(f"{figure}: {line['bucket']}: {OURS} against {line['against']}: {change}")
    print(json.dumps(content["milliseconds_128"]))
    if arguments.set == "report":
        RESULTS.write_text(json.dumps(without_nan(content), indent=1) + "\n")
    if arguments.pictures:
        write_pictures(suite, entries[:: max(1, len(entries) // 16)], arguments.model, arguments.pictures)


if __name__ == "__main__":
    main()
