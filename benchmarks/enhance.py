"""Measures selective enhancement: the suite's fills, made at half resolution, are brought to full
size in four ways.

    python -m benchmarks.enhance [--rung patchmatch] [--every 4]

`plain` resamples, `all` enhances every fill and keeps each result, `selective` is the operator
with its defaults, and `full` is the fill made at full resolution, which no upscaler sees.
Perceptual distance is measured to the truth around each edit; compute is measured in processor
seconds. `--rung perfect` halves the truth itself. Only figures of the set `report` are saved.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from flows.evaluation.default_suite import default_folder, default_suite
from flows.evaluation.measure import compared_area, crop_of, detect_and_soften
from operators.generators.classical import CLASSICAL
from operators.generators.seeds import seed_of
from operators.masks.mask import BLEND, hole_of, pasted
from operators.metrics.perceptual import perceptual_distance
from operators.models.threads import use_one_thread
from operators.rows.arrays import Pixels
from operators.rows.table import row_views
from operators.upscale import Upscale
from operators.upscalers.catalogue import find_upscaler
from operators.vision.text_detector import Scale

RESULTS = Path(__file__).parent / "results"
WAYS = ("plain", "all", "selective", "full")
PERFECT = "perfect"
"""A generator that returns the truth at half its resolution, so that only detail is lost."""


class Sizing(NamedTuple):
    """One fill at full size, way by way."""

    fills: dict[str, Pixels]
    seconds: dict[str, float]
    """Processor seconds."""
    figures: dict[str, float]
    """The operator's measurements."""


def half_fill(pixels: Pixels, hole: Pixels, rung: str, seed: int, clean: Pixels) -> Pixels:
    """A fill of the crop at half its sides, where a pixel is a hole if any of its four was."""
    size = (max(1, pixels.shape[1] // 2), max(1, pixels.shape[0] // 2))
    if rung == PERFECT:
        return cv2.resize(clean, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    small_hole = (cv2.resize(hole, size, interpolation=cv2.INTER_AREA) > 0).astype(np.uint8) * 255
    return CLASSICAL[rung](np.ascontiguousarray(small), small_hole, seed)


def records_of(rung: str, every: int, chosen: str) -> list[dict[str, Any]]:
    """Every region of one picture in `every`: each way's distance to the truth and its cost."""
    suite, operator, records = default_suite(default_folder()), Upscale(), []
    operator.open()
    find_upscaler(operator.model, 2).opened()
    for entry in [entry for entry in suite.entries if entry.set == chosen][::every]:
        row, truth = row_views(detect_and_soften(suite, entry))[0], suite.truth(entry)
        if truth is None:
            continue
        for region in row.regions:
            pixels, mask = np.ascontiguousarray(region.array("pixels", 3)), region.array("mask", 4)
            area, hole = compared_area(mask), hole_of(mask)
            if not pixels[area].size or not (hole == 0).any():
                continue
            seed = seed_of(0, entry.file, region["crop"], rung, 1)
            clean = np.ascontiguousarray(crop_of(region, truth))
            fill = half_fill(pixels, hole, rung, seed, clean)
            sizing = bring_to_full_size(operator, pixels, mask, fill, Scale().factor(row["width"], row["height"]))
            full = clean if rung == PERFECT else CLASSICAL[rung](pixels, hole, seed)
            fills = {**sizing.fills, "full": full}
            distance = {
                way: perceptual_distance().distance(
                    np.ascontiguousarray(pasted(pixels, fills[way], mask[:, :, BLEND])[area]), np.ascontiguousarray(clean[area])
                )
                for way in WAYS
            }
            place = {"file": entry.file, "bucket": entry.bucket}
            records.append({**place, "distance": distance, "seconds": sizing.seconds, **sizing.figures})
    return records


def bring_to_full_size(operator: Upscale, pixels: Pixels, mask: Pixels, fill: Pixels, factor: float) -> Sizing:
    """The fill at full size by each way but `full`."""
    start = time.process_time()
    plain, _ = Upscale(threshold=float("inf")).rebuild(pixels, mask, fill, factor)
    resampled = time.process_time()
    everywhere = operator.enhance(plain, mask, fill.astype(np.float32) / 255)
    enhanced = time.process_time()
    chosen, figures = operator.rebuild(pixels, mask, fill, factor)
    end = time.process_time()
    fills = {"plain": plain, "all": everywhere, "selective": chosen}
    return Sizing(fills, {"plain": resampled - start, "all": enhanced - start, "selective": end - enhanced}, figures)


def summarise(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over all regions, and over those whose enhancement was kept."""
    tried = [record for record in records if "bands_plain" in record]
    kept = [record for record in records if record["kept"]]

    def distances(chosen: list[dict[str, Any]]) -> dict[str, float]:
        return {way: float(np.mean([record["distance"][way] for record in chosen])) for way in WAYS} if chosen else {}

    buckets = list(dict.fromkeys(record["bucket"] for record in records))
    return {
        "regions": len(records),
        "tried": len(tried),
        "kept": len(kept),
        "distance": distances(records),
        "distance_of_kept": distances(kept),
        "distance_by_bucket": {name: distances([record for record in records if record["bucket"] == name]) for name in buckets},
        "kept_by_bucket": {name: sum(record["bucket"] == name for record in kept) for name in buckets},
        "seconds": {way: float(np.sum([record["seconds"][way] for record in records])) for way in WAYS[:3]},
    }


def main() -> None:
    """Measure, print and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rung", choices=[*CLASSICAL, PERFECT], default="patchmatch")
    parser.add_argument("--set", choices=("tune", "report"), default="report")
    parser.add_argument("--every", type=int, default=4)
    options = parser.parse_args()
    use_one_thread()
    import torch

    torch.set_num_threads(1)
    records = records_of(options.rung, options.every, options.set)
    content = summarise(records)
    print(json.dumps(content, indent=1))
    if options.set == "report":
        (RESULTS / f"enhance-{options.rung}.json").write_text(json.dumps({**content, "records": records}, indent=1) + "\n")


if __name__ == "__main__":
    main()
