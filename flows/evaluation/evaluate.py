"""Evaluates a flow on a suite: quality, legibility, continuity, naturalness, variance,
robustness, failures and cost.

It writes into its folder:

    evaluation.json     all figures of every fill and delivered image; the same for one seed
    timings.json        milliseconds, which differ from run to run
    images/             the delivered pictures
    variance/           where fills depend on the seed

`flows.evaluation.report` adds report.md and report.html.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from flows.erase_text import erase_text
from flows.evaluation.calibrate import without_nan
from flows.evaluation.measure import FillJob, FlowJob, deliver, map_in_processes, rung_records
from flows.evaluation.records import Evaluation
from flows.evaluation.suite import Suite
from flows.ladder import Fills, Rung
from operators.decisions.gate import calibration
from operators.generators.call_account import USUAL_CALLS, CallLimits

ROBUSTNESS_EVERY = 4
"""One image in this many is also filled by other seeds and on worse masks."""


@dataclass(frozen=True)
class Options:
    """The flow's ladder, and the number of seeds to try the random rungs with."""

    rungs: tuple[Rung, ...]
    seed: int = 0
    seeds: int = 3
    processes: int = 1


def evaluate(suite: Suite, out: Path, options: Options) -> Evaluation:
    """Measure every fill of every rung and every delivered image; write them to the folder `out`
    and return evaluation.json's content.
    """
    out.mkdir(parents=True, exist_ok=True)
    flow = erase_text(Fills(options.rungs, options.seed, calls=CallLimits(USUAL_CALLS)))
    models = tuple(dict.fromkeys(rung.model for rung in options.rungs))
    fill_jobs = [
        FillJob(suite, entry, models, options.seed, 1 if number % ROBUSTNESS_EVERY else options.seeds, str(out / "variance"))
        for number, entry in enumerate(suite.entries)
    ]
    flow_jobs = [FlowJob(suite, entry, flow, str(out / "images")) for entry in suite.entries]
    images = map_in_processes(deliver, flow_jobs, options.processes)
    timings = {image["file"]: image.pop("timings") for image in images}
    fills = [fill for image_fills in map_in_processes(rung_records, fill_jobs, options.processes) for fill in image_fills]
    calibrated = calibration()
    measured: Evaluation = {
        "suite": {"name": suite.name, "checksum": suite.checksum, "images": len(suite.entries)},
        "rungs": list(models),
        "seed": options.seed,
        "seeds": options.seeds,
        "settings": json.loads(json.dumps([operator.settings() for operator in flow.operators])),
        "calibration": {
            "suite": calibrated.get("suite"),
            "suite_checksum": calibrated.get("suite_checksum"),
            "date": calibrated.get("date"),
            "bad_error": calibrated.get("bad_error"),
        },
        "images": images,
        "fills": fills,
    }
    content = cast(Evaluation, without_nan(measured))
    (out / "evaluation.json").write_text(json.dumps(content, indent=1))
    (out / "timings.json").write_text(json.dumps(timings, indent=1))
    return content
