"""Measures the cost and quality of each rung, and of the presets that combine them.

    python -m benchmarks.rungs [--every 3] [--processes 2]

For the first table, each rung fills every region of the suite's set `report`: milliseconds per
region and per megapixel of crop and of mask, and the fill against the truth. For the second
table, each preset's whole flow runs on the same pictures: the delivered texts against the truth,
and the cost of filling and judging per image. Milliseconds are those of one computing thread and
can be compared within one run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from flows.erase_text import erase_text
from flows.evaluation.default_suite import default_folder, default_suite
from flows.evaluation.measure import FlowJob, crop_of, deliver, detect_and_soften, fill_figures, map_in_processes
from flows.evaluation.records import EvaluatedImage
from flows.evaluation.suite import Entry, Suite
from flows.ladder import PRESETS, Fills
from operators.generators.classical import CLASSICAL
from operators.inpaint import Inpaint
from operators.masks.mask import BLEND
from operators.rows.records import JsonObject
from operators.rows.regions import OPEN
from operators.rows.table import row_views

RESULTS = Path(__file__).parent / "results"
FIGURES = ("perceptual_distance", "psnr", "seam", "characters_read")


def measure_fills(job: tuple[Suite, Entry, tuple[str, ...]]) -> list[JsonObject]:
    """Every region of one image filled by each rung: areas, milliseconds of processor time and
    figures.
    """
    suite, entry, rungs = job
    table, truth = detect_and_soften(suite, entry), suite.truth(entry)
    if truth is None or not any(region["state"] == OPEN for region in row_views(table)[0].regions):
        return []
    records = []
    for rung in rungs:
        inpaint = Inpaint(rung)
        inpaint.open()
        inpaint.apply(table)
        start = time.process_time()
        filled = inpaint.apply(table)
        milliseconds = 1000 * (time.process_time() - start)
        regions = [region for region in row_views(filled)[0].regions if region["state"] == OPEN]
        areas = [region["crop"]["width"] * region["crop"]["height"] for region in regions]
        for region, area in zip(regions, areas, strict=True):
            figures = fill_figures(region, crop_of(region, truth))
            if figures:
                edited = int((region.array("mask", 4)[:, :, BLEND] > 0).sum())
                cost = {"milliseconds": milliseconds * area / sum(areas), "crop": area, "mask": edited}
                records.append({"rung": rung, "bucket": entry.bucket, **cost, **{name: figures[name] for name in FIGURES}})
    return records


def rung_table(records: list[JsonObject]) -> list[JsonObject]:
    """One line per rung and bucket, the bucket `all` first."""
    lines = []
    for rung in dict.fromkeys(record["rung"] for record in records):
        own = [record for record in records if record["rung"] == rung]
        for bucket in ("all", *dict.fromkeys(record["bucket"] for record in own)):
            chosen = [record for record in own if bucket in ("all", record["bucket"])]
            total = {name: sum(record[name] for record in chosen) for name in ("milliseconds", "crop", "mask")}
            costs = {
                "ms_per_region": total["milliseconds"] / len(chosen),
                "ms_per_megapixel_of_crop": total["milliseconds"] / total["crop"] * 1e6,
                "ms_per_megapixel_of_mask": total["milliseconds"] / total["mask"] * 1e6,
            }
            means = {name: float(np.mean([min(99.0, record[name]) for record in chosen])) for name in FIGURES}
            lines.append({"rung": rung, "bucket": bucket, "regions": len(chosen), **costs, **means})
    return lines


def preset_table(images: dict[str, list[EvaluatedImage]]) -> list[JsonObject]:
    """One line per preset: verdicts, figures at the texts, and milliseconds per image."""
    lines = []
    for preset, delivered in images.items():
        texts = [text for image in delivered for text in image["texts"]]
        ladder = [
            sum(time for operator, time in image["timings"].items() if operator.startswith(("inpaint", "refine", "verify")))
            for image in delivered
        ]
        lines.append(
            {
                "preset": preset,
                "images": len(delivered),
                "edited": sum(image["verdict"] in ("edited", "partly_edited") for image in delivered),
                "rolled_back": sum(image["verdict"] == "rolled_back" for image in delivered),
                "perceptual_distance": float(np.mean([text["perceptual_distance"] for text in texts])),
                "psnr": float(np.mean([text["psnr"] for text in texts])),
                "texts_still_found": float(np.mean([image["eraseness"]["recall"] for image in delivered])),
                "fills_per_image": float(np.mean([image["fills"] for image in delivered])),
                "ladder_ms_per_image": float(np.mean(ladder)),
                "whole_ms_per_image": float(np.mean([sum(image["timings"].values()) for image in delivered])),
            }
        )
    return lines


def main() -> None:
    """Print both tables and save them as JSON in `results`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    suite = default_suite(default_folder())
    entries = [entry for entry in suite.entries if entry.set == "report"][:: arguments.every]
    measured = map_in_processes(measure_fills, [(suite, entry, tuple(CLASSICAL)) for entry in entries], arguments.processes)
    rungs = rung_table([record for records in measured for record in records])
    with tempfile.TemporaryDirectory(prefix="cleanplate-rungs-") as folder:
        images = {
            preset: map_in_processes(
                deliver, [FlowJob(suite, entry, erase_text(Fills(steps)), folder) for entry in entries], arguments.processes
            )
            for preset, steps in PRESETS.items()
        }
    presets = preset_table(images)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "rungs.json").write_text(json.dumps({"every": arguments.every, "rungs": rungs, "presets": presets}, indent=1))
    for line in (*rungs, *presets):
        print(
            ", ".join(f"{name} {value:.3f}" if isinstance(value, float) else f"{name} {value}" for name, value in line.items())
        )


if __name__ == "__main__":
    main()
