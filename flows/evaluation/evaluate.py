"""Evaluates a flow on a suite: quality, legibility, continuity, naturalness, variance,
robustness, failures and cost.

What it leaves in its folder:

    evaluation.json     every fill and every delivered image with all figures; the same to the last digit for one seed
    timings.json        milliseconds, which are not
    report.md, report.html, images/ (as delivered), variance/ (where fills depend on the seed)
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.erase_text import erase_text
from flows.evaluation.calibrate import without_nan
from flows.evaluation.measure import FillJob, FlowJob, deliver, map_in_processes, rung_records
from flows.evaluation.suite import Suite
from flows.ladder import Fills, Rung
from operators.decisions.gate import calibration

ROBUSTNESS_EVERY = 4
"""Every so many images of a suite are also filled by other seeds and on worse masks."""


@dataclass(frozen=True)
class Options:
    """What is evaluated: the flow's ladder, and with how many seeds the random rungs are tried."""

    rungs: tuple[Rung, ...]
    seed: int = 0
    seeds: int = 3
    processes: int = 1


def evaluate(suite: Suite, out: Path, options: Options) -> dict[str, Any]:
    """Measure every fill of every rung and every delivered image; writes `out` and returns
    evaluation.json's content.
    """
    out.mkdir(parents=True, exist_ok=True)
    flow = erase_text(Fills(options.rungs, options.seed))
    models = tuple(dict.fromkeys(rung.model for rung in options.rungs))
    fill_jobs = [
        FillJob(suite, entry, models, options.seed, 1 if number % ROBUSTNESS_EVERY else options.seeds, str(out / "variance"))
        for number, entry in enumerate(suite.entries)
    ]
    flow_jobs = [FlowJob(suite, entry, flow, str(out / "images")) for entry in suite.entries]
    images = map_in_processes(deliver, flow_jobs, options.processes)
    timings = {image["file"]: image.pop("timings") for image in images}
    content = {
        "suite": {"name": suite.name, "checksum": suite.checksum, "images": len(suite.entries)},
        "rungs": list(models),
        "seed": options.seed,
        "seeds": options.seeds,
        "settings": json.loads(json.dumps([operator.settings() for operator in flow.operators])),
        "calibration": {
            name: calibration().get(name) for name in ("suite", "suite_checksum", "date", "bad_perceptual_distance")
        },
        "images": images,
        "fills": [record for made in map_in_processes(rung_records, fill_jobs, options.processes) for record in made],
    }
    content = dict(without_nan(content))
    (out / "evaluation.json").write_text(json.dumps(content, indent=1))
    (out / "timings.json").write_text(json.dumps(timings, indent=1))
    return content
