"""Which rung should come first? What `describe` sees of a place, against how the rungs fill it.

    python -m tests.benchmarks.routing [--suite FOLDER] [--processes 2] [--again] [--keep]

Every region of the suite is filled by every rung and compared with the truth. On the set `tune` a figure and a threshold are
chosen; on the set `report` the routed ladder is compared with the two that always begin with the same rung. The fills are kept
under `build/` and made again with `--again`; `--keep` writes the rule that is found to `operators/models/routing.json`.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from flows.measure import compared_area, crop_of, softened
from flows.suite import Entry, Suite
from operators.describe import Describe
from operators.inpaint import RUNGS, Inpaint, hole_of, pasted
from operators.mask import BLEND
from operators.metrics.perceptual import perceptual_distance
from operators.table import Pixels, Region, views
from operators.text_detector import Scale
from operators.verify import Verify, measured_region

CLASSICAL, GENERATIVE = "navier_stokes", "patchmatch"
"""The cheap rung, and the one that makes texture: without weights of a diffusion model PatchMatch stands for it."""
MARGIN = 0.02
"""Perceptual distance by which the generative fill must be better to be worth its time."""
LOST = 0.1
"""Share of the gain over the classical fill that routing may lose on the set `tune`."""
RESULTS = Path(__file__).parent / "results" / "routing.json"
RECORDS = Path("build") / "routing-records.jsonl"
CHUNK = 32
"""Images whose records are kept at once, so that a run that was cut off goes on."""
NOT_OF_THE_PLACE = ("size", "seen")
"""Figures of `metadata` that say nothing of how hard a place is."""


def records_of(job: tuple[Suite, Entry]) -> list[dict[str, Any]]:
    """Every region of one image: its metadata, and for each rung the distance to the truth, the gate's answer and the cost.

    Costs are milliseconds of processor time, so that other work on the machine does not count.
    """
    suite, entry = job
    table, truth = softened(suite, entry), suite.truth(entry)
    if truth is None or not views(table)[0].regions:
        return []
    start = time.process_time()
    described = Describe().apply(table)
    spent = 1000 * (time.process_time() - start)
    regions = views(described)[0].regions
    filled = {rung: views(Inpaint(rung).apply(described))[0] for rung in (CLASSICAL, GENERATIVE)}
    records = []
    for number, region in enumerate(regions):
        record = {
            "file": entry.file,
            "set": entry.set,
            "bucket": entry.bucket,
            "metadata": dict(region["metadata"]),
            "embedding": region["embedding"],
            "describe": spent / len(regions),
            "detect": sum(t["total"] for t in filled[CLASSICAL]["timings"] if t["operator"] == "detect") / len(regions),
        }
        for rung, row in filled.items():
            record[rung] = _judged(
                rung, row.regions[number], crop_of(region, truth), Scale().factor(row["width"], row["height"])
            )
        records.append(record)
    return records


def all_records(suite: Suite, processes: int) -> list[dict[str, Any]]:
    """The records of every image, from RECORDS as far as they are there."""
    RECORDS.parent.mkdir(exist_ok=True)
    lines = [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.is_file() else []
    known = {line["file"]: line["records"] for line in lines if line["suite"] == suite.checksum}
    missing = [entry for entry in suite.entries if entry.file not in known]
    for first in range(0, len(missing), CHUNK):
        chunk = missing[first : first + CHUNK]
        made = in_processes(records_of, [(suite, entry) for entry in chunk], processes)
        with RECORDS.open("a") as file:
            for entry, records in zip(chunk, made, strict=True):
                known[entry.file] = records
                file.write(json.dumps(without_nan({"suite": suite.checksum, "file": entry.file, "records": records})) + "\n")
    return [record for entry in suite.entries for record in known[entry.file]]


def _judged(rung: str, region: Region, clean: Pixels, factor: float) -> dict[str, Any]:
    pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4), region.fill()
    area = compared_area(mask)
    if fill is None or not pixels[area].size:
        return {"distance": None, "accepted": False, "milliseconds": 0.0}
    start = time.process_time()
    RUNGS[rung](np.ascontiguousarray(pixels), hole_of(mask), 0)
    checks = Verify().checked(rung, measured_region(region, factor))
    spent = 1000 * (time.process_time() - start)
    result = pasted(pixels, fill, mask[:, :, BLEND])
    distance = perceptual_distance().distance(np.ascontiguousarray(result[area]), np.ascontiguousarray(clean[area]))
    return {"distance": distance, "accepted": all(check["passed"] for check in checks), "milliseconds": spent}
