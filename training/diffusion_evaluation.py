"""How good a pixel diffusion model is on a suite, against the fills it competes with.

    python -m training.diffusion_evaluation --model build/diffusion/model --out build/diffusion/evaluation --set tune --every 4
    python -m training.diffusion_evaluation --model operators/models/weights/builtin --out build/diffusion/evaluation

The first is for choosing between models, the second, once, for what is reported; `--steps 2
--seeds 1` leaves out what is dear.

Regions are detected and softened as in a run; every fill sees the same mask and is measured
against the truth. Prints, per bucket, perceptual distance, PSNR and characters still read for
Telea, Navier-Stokes, PatchMatch, and the model at 1, 2, 4 and 8 steps; the last of them against
PatchMatch, region by region; how far its fills vary with the seed; what a 128 x 128 region costs
on one core with and without the PatchMatch fill. Writes the same as evaluation.json, and a
picture table.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

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
from operators.inpaint import seed_of
from operators.masks.mask import CONFIDENCE, hole_of, pasted
from operators.rows.arrays import Pixels
from operators.rows.table import Region, fill_record, row_views, swap_children

STEPS = (1, 2, 4, 8)
FIGURES = ("perceptual_distance", "psnr", "characters_read")
USUAL = 2
"""Steps that a run takes."""
SHOWN = 12
"""Rows of the picture table."""


@dataclass(frozen=True)
class Job:
    """One image, the model's folder, and how many seeds are tried."""

    suite: Suite
    entry: Entry
    model: Path
    seeds: int
    steps: tuple[int, ...]


def fills_of(region: Region, sha256: str, model: Path, seeds: int, steps: tuple[int, ...] = (USUAL,)) -> dict[str, Pixels]:
    """Every fill of one region by name; `seed n` are those of other seeds at the usual steps,
    from the PatchMatch fill on.

    `untrained` is what the model's estimate begins with in training: that fill and the crop mixed
    by the mask's confidence.
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


def records(job: Job) -> list[dict[str, Any]]:
    """Every region of one image by every fill, measured."""
    table, truth = detect_and_soften(job.suite, job.entry), job.suite.truth(job.entry)
    row = row_views(table)[0]
    holes = [hole_of(region.array("mask", 4)) for region in row.regions]
    if truth is None or not holes or any(not (hole == 0).any() for hole in holes):
        return []
    made = [fills_of(region, row["source_sha256"], job.model, job.seeds, job.steps) for region in row.regions]
    found = []
    for name in made[0]:
        filled = swap_children(table, {"fill": pa.array([fill_record(fills[name]) for fills in made], _fill_type(table))})
        for number, region in enumerate(row_views(filled)[0].regions):
            figures = fill_figures(region, crop_of(region, truth))
            if figures:
                chosen = {figure: figures[figure] for figure in FIGURES}
                found.append({"file": job.entry.file, "bucket": job.entry.bucket, "region": number, "fill": name, **chosen})
    return found


def _fill_type(table: pa.Table) -> pa.DataType:
    return table.schema.field("regions").type.value_type.field("fill").type


def summary(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means per bucket and fill, seeds left out."""
    chosen = [record for record in found if "seed" not in record["fill"]]
    return [
        {"bucket": bucket, "fill": name, "regions": len(some), **{figure: mean(r[figure] for r in some) for figure in FIGURES}}
        for bucket, records in {"all": chosen, **by(chosen, lambda r: r["bucket"])}.items()
        for name, some in by(records, lambda r: r["fill"]).items()
    ]


def variance(found: list[dict[str, Any]], seeds: int) -> dict[str, float]:
    """Mean over regions of the standard deviation, across seeds, of each random fill's perceptual
    distance.
    """
    result = {}
    for first in ("patchmatch", f"model {USUAL}"):
        names = [first, *(f"{first} seed {other}" for other in range(1, seeds))]
        places = by([r for r in found if r["fill"] in names], lambda r: f"{r['file']} {r['region']}")
        result[first] = mean(float(np.std([r["perceptual_distance"] for r in some])) for some in places.values())
    return result


def against_patchmatch(found: list[dict[str, Any]], name: str) -> dict[str, dict[str, Any]]:
    """Per bucket how much nearer to the truth a fill is than PatchMatch, region by region: the
    mean difference of perceptual distance, its 95% interval by a bootstrap over regions, and in
    how many it is nearer.
    """
    places = by(found, lambda r: f"{r['file']} {r['region']}").values()
    pairs = [{r["fill"]: r for r in some} for some in places]
    changes = [
        (pair[name]["bucket"], pair[name]["perceptual_distance"] - pair["patchmatch"]["perceptual_distance"]) for pair in pairs
    ]
    result = {}
    for bucket in ("all", *dict.fromkeys(bucket for bucket, _ in changes)):
        values = np.array([value for of, value in changes if bucket in ("all", of)])
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


def cost(model: Path) -> dict[str, float]:
    """Milliseconds of processor time for one 128 x 128 region, the best of five: its PatchMatch
    fill, and the model's steps.
    """
    from skimage import data

    cv2.setNumThreads(1)
    pixels = np.ascontiguousarray(data.chelsea()[60:188, 120:248])
    hole = np.zeros((128, 128), np.uint8)
    cv2.putText(hole, "Text", (14, 76), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 255, 5)
    mask = np.dstack([hole] * 4)

    def best(work: Any) -> float:
        spent = []
        for _ in range(5):
            begun = time.process_time()
            work()
            spent.append((time.process_time() - begun) * 1000)
        return min(spent)

    start = CLASSICAL["patchmatch"](pixels, hole, 1)
    PixelDiffusion(model, 1).corrected(pixels, mask, start, 1)
    steps = {f"{n} steps": best(partial(PixelDiffusion(model, n).corrected, pixels, mask, start, 1)) for n in STEPS}
    return {"patchmatch": best(partial(CLASSICAL["patchmatch"], pixels, hole, 1)), **steps}


def picture_table(suite: Suite, entries: list[Entry], model: Path, path: Path) -> None:
    """One row an image: text, truth, Telea, PatchMatch, the model at two steps, enlarged views of
    each one's first region.
    """
    rows = []
    for entry in entries:
        truth, row = suite.truth(entry), row_views(detect_and_soften(suite, entry))[0]
        if truth is None or not row.regions:
            continue
        region = row.regions[0]
        fills = fills_of(region, row["source_sha256"], model, 1)
        shown = [
            region.array("pixels", 3),
            crop_of(region, truth),
            *(fills[n] for n in ("telea", "patchmatch", f"model {USUAL}")),
        ]
        y, x = (int(np.mean(np.nonzero(hole_of(region.array("mask", 4)))[axis])) for axis in (0, 1))
        top, left = max(0, y - 48), max(0, x - 80)
        views_of = [one[top : top + 96, left : left + 160] for one in shown]
        rows.append(np.hstack([np.asarray(Image.fromarray(np.ascontiguousarray(v)).resize((240, 144))) for v in views_of]))
    Image.fromarray(np.vstack(rows)).save(path, quality=82)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--suite", type=Path, help="a suite's folder; the default suite without")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--set", choices=SETS, default="report", help="the part of the suite")
    parser.add_argument("--every", type=int, default=1, help="only one image in so many")
    parser.add_argument("--buckets", nargs="*", help="all without any")
    parser.add_argument("--steps", type=int, nargs="+", default=STEPS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    suite = load(arguments.suite) if arguments.suite else default_suite(default_folder())
    buckets = arguments.buckets or {entry.bucket for entry in suite.entries}
    entries = [entry for entry in suite.entries if entry.set == arguments.set and entry.bucket in buckets][:: arguments.every]
    jobs = [Job(suite, entry, arguments.model, arguments.seeds, tuple(arguments.steps)) for entry in entries]
    found = [record for some in map_in_processes(records, jobs, arguments.processes) for record in some]
    content = {
        "means": summary(found),
        "against_patchmatch": against_patchmatch(found, f"model {arguments.steps[-1]}"),
        "seed_deviation": variance(found, arguments.seeds),
        "milliseconds": cost(arguments.model),
    }
    print("| bucket | fill | regions | perceptual distance | PSNR dB | characters still read |\n|---|---|---|---|---|---|")
    for row in content["means"]:
        values = f"{row['perceptual_distance']:.4f} | {row['psnr']:.2f} | {row['characters_read']:.3f}"
        print(f"| {row['bucket']} | {row['fill']} | {row['regions']} | {values} |")
    print(json.dumps({name: content[name] for name in ("against_patchmatch", "seed_deviation", "milliseconds")}, indent=1))
    (arguments.out / "evaluation.json").write_text(json.dumps({**content, "fills": found}, indent=1))
    shown = entries[:: max(1, len(entries) // SHOWN)][:SHOWN]
    picture_table(suite, shown, arguments.model, arguments.out / "pictures.jpg")


if __name__ == "__main__":
    main()
