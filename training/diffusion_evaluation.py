"""Evaluates a pixel diffusion model on a suite, against the classical fills.

    python -m training.diffusion_evaluation --model MODEL --out OUT --set tune --every 4
    python -m training.diffusion_evaluation --model operators/models/weights/builtin --out OUT

Use the first command to choose between models, and the second only once, for the reported
figures. `--steps 2 --seeds 1` skips the expensive parts.

Regions are detected and softened as in a run; every fill sees the same mask and is measured
against the truth. The output has, per bucket, perceptual distance, PSNR and characters still read
for Telea, Navier-Stokes, PatchMatch, and the model at 1, 2, 4 and 8 steps. It also compares the
model with the most steps with PatchMatch region by region, and shows how its fills vary with the
seed and what a 128 x 128 region costs on one core with and without the PatchMatch fill. The same
figures are written as evaluation.json, beside a table of pictures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from flows.evaluation.default_suite import default_folder, default_suite
from flows.evaluation.measure import crop_of, detect_and_soften, fill_figures, map_in_processes
from flows.evaluation.suite import SETS, Entry, Suite, load
from flows.evaluation.tables import by, mean
from operators.generators.classical import CLASSICAL
from operators.generators.pixel_diffusion import CAUTION, PixelDiffusion, first_trust, visible
from operators.generators.seeds import seed_of
from operators.masks.mask import CONFIDENCE, hole_of, pasted
from operators.rows.arrays import Pixels
from operators.rows.records import JsonObject
from operators.rows.table import Region, fill_record, row_views, swap_children

STEPS = (1, 2, 4, 8)
FIGURES = ("perceptual_distance", "psnr", "characters_read")
USUAL = 2
"""The number of steps in a run."""
SHOWN = 12
"""The number of rows of the picture table."""


@dataclass(frozen=True)
class Job:
    """One image, the model's folder, and the seeds and steps to try."""

    suite: Suite
    entry: Entry
    model: Path
    seeds: int
    steps: tuple[int, ...]


def fills_of(region: Region, sha256: str, model: Path, seeds: int, steps: tuple[int, ...] = (USUAL,)) -> dict[str, Pixels]:
    """Every fill of one region by name; names with `seed n` are fills of other seeds at the usual
    steps, starting from a PatchMatch fill of that seed.

    `untrained` is the model's estimate before training: the PatchMatch fill and the crop mixed by
    the mask's confidence.
    """
    pixels, mask = np.ascontiguousarray(region.array("pixels", 3)), region.array("mask", 4)
    hole = hole_of(mask)
    seed = partial(seed_of, source_sha256=sha256, box=region["crop"], rung="patchmatch", number=1)
    fills = {name: fill(pixels, hole, seed(0)) for name, fill in CLASSICAL.items()}
    trust = np.rint(255 * first_trust(mask[:, :, CONFIDENCE].astype(np.float32) / 255) ** CAUTION).astype(np.uint8)
    fills["untrained"] = pasted(fills["patchmatch"], visible(pixels, fills["patchmatch"], mask), trust)
    for number in steps:
        fills[f"model {number}"] = PixelDiffusion(model, number).corrected(pixels, mask, fills["patchmatch"], seed(0))
    for other in range(1, seeds):
        start = CLASSICAL["patchmatch"](pixels, hole, seed(other))
        fills[f"patchmatch seed {other}"] = start
        fills[f"model {USUAL} seed {other}"] = PixelDiffusion(model, USUAL).corrected(pixels, mask, start, seed(other))
    return fills


def measure_image(job: Job) -> list[JsonObject]:
    """The figures of every region of one image with every fill."""
    table, truth = detect_and_soften(job.suite, job.entry), job.suite.truth(job.entry)
    row = row_views(table)[0]
    holes = [hole_of(region.array("mask", 4)) for region in row.regions]
    if truth is None or not holes or any(not (hole == 0).any() for hole in holes):
        return []
    fills_by_region = [fills_of(region, row["source_sha256"], job.model, job.seeds, job.steps) for region in row.regions]
    records = []
    for name in fills_by_region[0]:
        filled = swap_children(
            table, {"fill": pa.array([fill_record(fills[name]) for fills in fills_by_region], _fill_type(table))}
        )
        for number, region in enumerate(row_views(filled)[0].regions):
            figures = fill_figures(region, crop_of(region, truth))
            if figures:
                chosen = {figure: figures[figure] for figure in FIGURES}
                records.append({"file": job.entry.file, "bucket": job.entry.bucket, "region": number, "fill": name, **chosen})
    return records


def _fill_type(table: pa.Table) -> pa.DataType:
    return table.schema.field("regions").type.value_type.field("fill").type


def summarise(records: list[JsonObject]) -> list[JsonObject]:
    """Mean figures per bucket and fill, without the fills of other seeds."""
    chosen = [record for record in records if "seed" not in record["fill"]]
    return [
        {
            "bucket": bucket,
            "fill": name,
            "regions": len(fills),
            **{figure: mean(r[figure] for r in fills) for figure in FIGURES},
        }
        for bucket, members in {"all": chosen, **by(chosen, lambda r: r["bucket"])}.items()
        for name, fills in by(members, lambda r: r["fill"]).items()
    ]


def seed_deviation(records: list[JsonObject], seeds: int) -> dict[str, float]:
    """Standard deviation of each random fill's perceptual distance across seeds, averaged over
    the regions.
    """
    result = {}
    for first in ("patchmatch", f"model {USUAL}"):
        names = [first, *(f"{first} seed {other}" for other in range(1, seeds))]
        places = by([r for r in records if r["fill"] in names], lambda r: f"{r['file']} {r['region']}")
        result[first] = mean(float(np.std([r["perceptual_distance"] for r in fills])) for fills in places.values())
    return result


def compare_with_patchmatch(records: list[JsonObject], name: str) -> dict[str, JsonObject]:
    """Per bucket, compare a fill with PatchMatch region by region: the mean difference of their
    perceptual distances, its 95 % bootstrap interval over regions, and the regions in which the
    fill is nearer to the truth.
    """
    places = by(records, lambda r: f"{r['file']} {r['region']}").values()
    pairs = [{r["fill"]: r for r in fills} for fills in places]
    changes = [
        (pair[name]["bucket"], pair[name]["perceptual_distance"] - pair["patchmatch"]["perceptual_distance"]) for pair in pairs
    ]
    result = {}
    for bucket in ("all", *dict.fromkeys(bucket for bucket, _ in changes)):
        values = np.array([change for changed_bucket, change in changes if bucket in ("all", changed_bucket)])
        drawn = np.random.default_rng(0).choice(values, (4000, len(values))).mean(axis=1)
        interval = [round(float(edge), 4) for edge in np.quantile(drawn, (0.025, 0.975))]
        mean_change = round(float(values.mean()), 4)
        result[bucket] = {
            "change": mean_change,
            "interval": interval,
            "nearer": int((values < 0).sum()),
            "regions": len(values),
        }
    return result


def measure_cost(model: Path) -> dict[str, float]:
    """Milliseconds of processor time for one 128 x 128 region, the best of five runs: the
    PatchMatch fill, and the model's steps.
    """
    from skimage import data

    cv2.setNumThreads(1)
    pixels = np.ascontiguousarray(data.chelsea()[60:188, 120:248])
    hole = np.zeros((128, 128), np.uint8)
    cv2.putText(hole, "Text", (14, 76), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 255, 5)
    mask = np.dstack([hole] * 4)

    def time_best(work: Callable[[], Pixels]) -> float:
        times = []
        for _ in range(5):
            start_time = time.process_time()
            work()
            times.append((time.process_time() - start_time) * 1000)
        return min(times)

    start = CLASSICAL["patchmatch"](pixels, hole, 1)
    PixelDiffusion(model, 1).corrected(pixels, mask, start, 1)
    steps = {f"{n} steps": time_best(partial(PixelDiffusion(model, n).corrected, pixels, mask, start, 1)) for n in STEPS}
    return {"patchmatch": time_best(partial(CLASSICAL["patchmatch"], pixels, hole, 1)), **steps}


def write_picture_table(suite: Suite, entries: list[Entry], model: Path, path: Path) -> None:
    """Write a picture with one row per image, enlarged views of its first region: text, truth,
    Telea, PatchMatch, and the model at the usual steps.
    """
    rows = []
    for entry in entries:
        truth, row = suite.truth(entry), row_views(detect_and_soften(suite, entry))[0]
        if truth is None or not row.regions:
            continue
        region = row.regions[0]
        fills = fills_of(region, row["source_sha256"], model, 1)
        pictures = [
            region.array("pixels", 3),
            crop_of(region, truth),
            *(fills[n] for n in ("telea", "patchmatch", f"model {USUAL}")),
        ]
        y, x = (int(np.mean(np.nonzero(hole_of(region.array("mask", 4)))[axis])) for axis in (0, 1))
        top, left = max(0, y - 48), max(0, x - 80)
        views = [picture[top : top + 96, left : left + 160] for picture in pictures]
        rows.append(np.hstack([np.asarray(Image.fromarray(np.ascontiguousarray(v)).resize((240, 144))) for v in views]))
    Image.fromarray(np.vstack(rows)).save(path, quality=82)


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--suite", type=Path, help="folder of a suite; the default suite without one")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--set", choices=SETS, default="report", help="set of the suite")
    parser.add_argument("--every", type=int, default=1, help="use only one image in this many")
    parser.add_argument("--buckets", nargs="*", help="buckets to use; all without this option")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    suite = load(arguments.suite) if arguments.suite else default_suite(default_folder())
    buckets = arguments.buckets or {entry.bucket for entry in suite.entries}
    entries = [entry for entry in suite.entries if entry.set == arguments.set and entry.bucket in buckets][:: arguments.every]
    jobs = [Job(suite, entry, arguments.model, arguments.seeds, tuple(arguments.steps)) for entry in entries]
    records = [record for image in map_in_processes(measure_image, jobs, arguments.processes) for record in image]
    content: JsonObject = {
        "means": summarise(records),
        "against_patchmatch": compare_with_patchmatch(records, f"model {arguments.steps[-1]}"),
        "seed_deviation": seed_deviation(records, arguments.seeds),
        "milliseconds": measure_cost(arguments.model),
    }
    print("| bucket | fill | regions | perceptual distance | PSNR dB | characters still read |\n|---|---|---|---|---|---|")
    for row in content["means"]:
        values = f"{row['perceptual_distance']:.4f} | {row['psnr']:.2f} | {row['characters_read']:.3f}"
        print(f"| {row['bucket']} | {row['fill']} | {row['regions']} | {values} |")
    print(json.dumps({name: content[name] for name in ("against_patchmatch", "seed_deviation", "milliseconds")}, indent=1))
    (arguments.out / "evaluation.json").write_text(json.dumps({**content, "fills": records}, indent=1))
    chosen = entries[:: max(1, len(entries) // SHOWN)][:SHOWN]
    write_picture_table(suite, chosen, arguments.model, arguments.out / "pictures.jpg")


if __name__ == "__main__":
    main()
