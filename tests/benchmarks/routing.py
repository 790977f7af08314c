"""Which rung should come first? What `describe` sees of a place, against how the rungs fill it.

    python -m tests.benchmarks.routing [--suite FOLDER] [--processes 2] [--again] [--keep]

Every region of the suite is filled by every rung and compared with the truth. On the set `tune` a figure and a threshold are
chosen; on the set `report` the routed ladder is compared with the two that always begin with the same rung. The fills are kept
under `build/` and made again with `--again`; `--keep` writes the rule that is found to `operators/models/routing.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from flows.calibrate import without_nan
from flows.measure import as_processed, compared_area, crop_of, softened
from flows.suite import Entry, Suite, default_folder, default_suite, load
from operators.describe import Describe
from operators.gate import area_under_curve
from operators.generators.classical import CLASSICAL as FILLS
from operators.generators.request import hole_of
from operators.inpaint import Inpaint, pasted
from operators.mask import BLEND
from operators.metrics.perceptual import perceptual_distance
from operators.routing import PATH, Kind, Rule
from operators.surface import FIGURES
from operators.table import Pixels, Region, views
from operators.text_detector import Scale
from operators.verify import Verify, measured_region

CLASSICAL, GENERATIVE = "navier_stokes", "patchmatch"
"""The cheap rung, and the one that makes texture: without weights of a diffusion model PatchMatch stands for it."""
MARGIN = 0.02
"""Perceptual distance by which the generative fill must be better to count as a gain."""
OF_THE_PLACE = [figure.name for figure in FIGURES if figure.name not in ("size", "seen") and "colour" not in figure.name]
"""The figures a rule may be made of: neither how large the picture is nor what colour a wall has makes a place hard."""
RESULTS = Path(__file__).parent / "results" / "routing.json"
RECORDS = Path("build") / "routing-records.jsonl"


def records_of(job: tuple[Suite, Entry]) -> list[dict[str, Any]]:
    """Every region of one image: its metadata, and for each rung the distance to the truth, the gate's answer and the cost.

    Costs are milliseconds of processor time, so that other work on the machine does not count; `clock` is what the operators
    themselves report.
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
            "describe": spent / len(regions),
            "clock": {timing["operator"]: timing["total"] / len(regions) for timing in views(described)[0]["timings"]},
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
    made = as_processed(records_of, [(suite, entry) for entry in missing], processes)
    for entry, records in zip(missing, made, strict=True):
        known[entry.file] = records
        with RECORDS.open("a") as file:
            file.write(json.dumps(without_nan({"suite": suite.checksum, "file": entry.file, "records": records})) + "\n")
    return [record for entry in suite.entries for record in known[entry.file]]


def _judged(rung: str, region: Region, clean: Pixels, factor: float) -> dict[str, Any]:
    pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4), region.fill()
    area = compared_area(mask)
    if fill is None or not pixels[area].size:
        return {"distance": None, "accepted": False, "milliseconds": 0.0}
    start = time.process_time()
    FILLS[rung](np.ascontiguousarray(pixels), hole_of(mask), 0)
    checks = Verify().checked(rung, measured_region(region, factor))
    spent = 1000 * (time.process_time() - start)
    result = pasted(pixels, fill, mask[:, :, BLEND])
    distance = perceptual_distance().distance(np.ascontiguousarray(result[area]), np.ascontiguousarray(clean[area]))
    return {"distance": distance, "accepted": all(check["passed"] for check in checks), "milliseconds": spent}


def gain(record: dict[str, Any]) -> float:
    """How much nearer to the truth the generative fill is: the difference of perceptual distances."""
    return float(record[CLASSICAL]["distance"] - record[GENERATIVE]["distance"])


def learnt(records: Sequence[dict[str, Any]]) -> tuple[Rule, dict[str, Any]]:
    """The figure that ranks the places best by whether the generative fill gains, cut at the knee of its curve.

    The curve is the share of all gain that is kept against the share of places that go to the generative rung first; its knee
    is where the two differ most (Satopää et al., "Finding a Kneedle in a Haystack", 2011).
    """
    gains = np.array([gain(record) for record in records])
    ranks = {
        name: area_under_curve(np.array([record["metadata"][name] for record in records]), gains > MARGIN)
        for name in OF_THE_PLACE
    }
    figure = max(ranks, key=lambda name: ranks[name])
    values = np.array([record["metadata"][figure] for record in records])
    order = np.argsort(-values, kind="stable")
    sent, kept = np.arange(1, len(order) + 1) / len(order), np.cumsum(gains[order]) / gains.sum()
    knee = int(np.argmax(kept - sent))
    after = values[order[min(knee + 1, len(order) - 1)]]
    rule = Rule(figure, float(f"{(values[order[knee]] + after) / 2:.3g}"))
    curve = [
        (float(sent[at]), float(kept[at]), float(values[order[at]])) for at in np.linspace(0, len(order) - 1, 21).astype(int)
    ]
    best = dict(sorted(ranks.items(), key=lambda entry: -entry[1])[:6])
    return rule, {"auc": best, "gaining": float((gains > MARGIN).mean()), "curve_sent_kept_value": curve}


def climbed(record: dict[str, Any], rungs: Sequence[str]) -> tuple[str | None, float]:
    """One region up a ladder: the rung whose fill the gate accepts, None if it takes none, and the milliseconds it took."""
    spent = 0.0
    for rung in rungs:
        spent += record[rung]["milliseconds"]
        if record[rung]["accepted"]:
            return rung, spent
    return None, spent


LADDERS: dict[Kind, tuple[str, ...]] = {"classical": (CLASSICAL, GENERATIVE), "generative": (GENERATIVE, CLASSICAL)}


def compared(records: Sequence[dict[str, Any]], rule: Rule) -> dict[str, Any]:
    """What each way through the rungs costs and delivers, and what routing saves of it at which loss.

    The loss is the mean difference of the delivered perceptual distances, over the regions that both ways deliver.
    """
    ways: dict[str, Callable[[dict[str, Any]], Sequence[str]]] = {
        "classical only": lambda record: (CLASSICAL,),
        "classical first": lambda record: LADDERS["classical"],
        "generative first": lambda record: LADDERS["generative"],
        "routed": lambda record: LADDERS[rule(record["metadata"])],
        "better fill, known": lambda record: LADDERS["generative" if gain(record) > MARGIN else "classical"],
    }
    taken = {name: [climbed(record, way(record)) for record in records] for name, way in ways.items()}
    distances = {
        name: np.array([record[rung]["distance"] if rung else np.nan for record, (rung, _) in zip(records, ends, strict=True)])
        for name, ends in taken.items()
    }
    spent = {name: float(np.mean([milliseconds for _, milliseconds in ends])) for name, ends in taken.items()}
    describing = float(np.mean([record["describe"] for record in records]))
    table = {
        name: {
            "milliseconds_per_region": spent[name],
            "distance": float(np.nanmean(distances[name])),
            "delivered": float(np.mean(~np.isnan(distances[name]))),
            "time_saved_by_routing": 1 - spent["routed"] / spent[name],
            "time_saved_with_describe_counted": 1 - (spent["routed"] + describing) / spent[name],
            "distance_lost_by_routing": float(np.nanmean(distances["routed"] - distances[name])),
        }
        for name in ways
    }
    sent = float(np.mean([rule(record["metadata"]) == "generative" for record in records]))
    agreed = float(np.mean([(rule(record["metadata"]) == "generative") == (gain(record) > MARGIN) for record in records]))
    return {
        "regions": len(records),
        "sent_to_generative": sent,
        "right": agreed,
        "describe_milliseconds_per_region": describing,
        "describe_over_detect": float(
            np.median([record["clock"]["describe"] / record["clock"]["detect"] for record in records])
        ),
        "ways": table,
    }


def main() -> None:
    """Measure, learn, print the figures and keep them as JSON beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    suite = load(arguments.suite) if arguments.suite else default_suite(default_folder())
    if arguments.again:
        RECORDS.unlink(missing_ok=True)
    filled = [
        r for r in all_records(suite, arguments.processes) if None not in (r[CLASSICAL]["distance"], r[GENERATIVE]["distance"])
    ]
    sets = {name: [record for record in filled if record["set"] == name] for name in ("tune", "report")}
    rule, how = learnt(sets["tune"])
    figures = {
        "suite": suite.name,
        "suite_checksum": suite.checksum,
        "margin": MARGIN,
        "rule": asdict(rule),
        "tune": {**how, **compared(sets["tune"], rule)},
        "report": compared(sets["report"], rule),
        "report_buckets": {
            bucket: compared([record for record in sets["report"] if record["bucket"] == bucket], rule)
            for bucket in sorted({record["bucket"] for record in sets["report"]})
        },
    }
    RESULTS.write_text(json.dumps(without_nan(figures), indent=1) + "\n")
    if arguments.keep:
        PATH.write_text(json.dumps({**asdict(rule), "suite": suite.name, "suite_checksum": suite.checksum}, indent=1) + "\n")
    print(f"rule: generative first where {rule.figure} > {rule.threshold}; AUC on tune: {json.dumps(how['auc'])}")
    for name in ("tune", "report"):
        _print(name, figures[name])
    for bucket, part in figures["report_buckets"].items():
        _print(f"report, {bucket}", part)


def _print(title: str, part: dict[str, Any]) -> None:
    print(
        f"{title}: {part['regions']} regions, {part['sent_to_generative']:.0%} sent to {GENERATIVE} first, "
        f"{part['right']:.0%} rightly; describe {part['describe_milliseconds_per_region']:.0f} ms a region, "
        f"{part['describe_over_detect']:.2f} of detection"
    )
    for name, way in part["ways"].items():
        print(
            f"  {name:20} {way['milliseconds_per_region']:7.0f} ms a region, distance {way['distance']:.4f}, "
            f"{way['delivered']:.1%} delivered; routed saves {way['time_saved_by_routing']:+.1%} "
            f"({way['time_saved_with_describe_counted']:+.1%} with describe) and loses {way['distance_lost_by_routing']:+.4f}"
        )


if __name__ == "__main__":
    main()
