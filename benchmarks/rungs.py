"""What each rung costs and gives, and what the presets make of them.

    python -m benchmarks.rungs [--every 3] [--processes 2]

The first table fills every region of the suite's reported set by each rung: milliseconds for a
region, for a megapixel of crop and of mask, and the fill against the truth. The second sends the
same pictures through each preset's whole flow: what is delivered at the texts, and what filling
and judging cost an image. Milliseconds are of one computing thread and compare within one run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from flows.erase_text import erase_text
from flows.evaluation.default_suite import default_folder, default_suite
from flows.evaluation.measure import FlowJob, crop_of, deliver, detect_and_soften, fill_figures, map_in_processes
from flows.evaluation.suite import Entry, Suite
from flows.ladder import PRESETS, Fills
from operators.generators.classical import CLASSICAL
from operators.inpaint import Inpaint
from operators.masks.mask import BLEND
from operators.rows.table import row_views

RESULTS = Path(__file__).parent / "results"
FIGURES = ("perceptual_distance", "psnr", "seam", "characters_read")


def fills_of(job: tuple[Suite, Entry, tuple[str, ...]]) -> list[dict[str, Any]]:
    """Every region of one image by each rung: its bucket, areas, milliseconds of processor time,
    and figures.
    """
    suite, entry, rungs = job
    table, truth = detect_and_soften(suite, entry), suite.truth(entry)
    if truth is None or not row_views(table)[0].regions:
        return []
    records = []
    for rung in rungs:
        inpaint = Inpaint(rung)
        inpaint.open()
        inpaint.apply(table)
        begun = time.process_time()
        regions = row_views(inpaint.apply(table))[0].regions
        spent = 1000 * (time.process_time() - begun)
        areas = [region["crop"]["width"] * region["crop"]["height"] for region in regions]
        for region, area in zip(regions, areas, strict=True):
            figures = fill_figures(region, crop_of(region, truth))
            if figures:
                edited = int((region.array("mask", 4)[:, :, BLEND] > 0).sum())
                cost = {"milliseconds": spent * area / sum(areas), "crop": area, "mask": edited}
                records.append({"rung": rung, "bucket": entry.bucket, **cost, **{name: figures[name] for name in FIGURES}})
    return records


def rung_table(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a rung and bucket, `all` first."""
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


def preset_table(images: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One line a preset: verdicts, what is left at the texts, and what the ladder cost an image."""
    lines = []
    for preset, made in images.items():
        texts = [text for image in made for text in image["texts"]]
        ladder = [
            sum(spent for operator, spent in image["timings"].items() if operator.startswith(("inpaint", "refine", "verify")))
            for image in made
        ]
        lines.append(
            {
                "preset": preset,
                "images": len(made),
                "edited": sum(image["verdict"] == "edited" for image in made),
                "rolled_back": sum(image["verdict"] == "rolled_back" for image in made),
                "perceptual_distance": float(np.mean([text["perceptual_distance"] for text in texts])),
                "psnr": float(np.mean([text["psnr"] for text in texts])),
                "texts_still_found": float(np.mean([image["eraseness"]["recall"] for image in made])),
                "fills_per_image": float(np.mean([image["fills"] for image in made])),
                "ladder_ms_per_image": float(np.mean(ladder)),
                "whole_ms_per_image": float(np.mean([sum(image["timings"].values()) for image in made])),
            }
        )
    return lines


def main() -> None:
    """Print both tables and keep them as JSON beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    suite = default_suite(default_folder())
    entries = [entry for entry in suite.entries if entry.set == "report"][:: arguments.every]
    made = map_in_processes(fills_of, [(suite, entry, tuple(CLASSICAL)) for entry in entries], arguments.processes)
    rungs = rung_table([record for records in made for record in records])
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
