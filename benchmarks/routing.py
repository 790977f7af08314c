"""Learns which rung should come first, from what `describe` measures of a place and how the rungs
fill it.

    python -m benchmarks.routing [--suite FOLDER] [--processes 2] [--again] [--keep]

Every region of the suite is filled by every rung and compared with the truth. The set `tune`
chooses a figure and a threshold; on the set `report` the routed ladder is compared with the two
ladders that always begin with the same rung. The records are cached under `build/`; `--again`
measures them anew. `--keep` writes the rule to `operators/decisions/routing.json`.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from flows.evaluation.calibrate import without_nan
from flows.evaluation.default_suite import default_folder, default_suite
from flows.evaluation.measure import as_processed, compared_area, crop_of, detect_and_soften
from flows.evaluation.suite import Entry, Suite, load
from operators.decisions.gate import area_under_curve
from operators.decisions.routing import PATH, Kind, Rule
from operators.describe import Describe
from operators.detect import Detect
from operators.generators.classical import CLASSICAL as FILLS
from operators.inpaint import Inpaint
from operators.masks.mask import BLEND, hole_of, pasted
from operators.metrics.perceptual import perceptual_distance
from operators.metrics.surface import FIGURES
from operators.rows.arrays import Pixels
from operators.rows.records import JsonObject
from operators.rows.regions import OPEN
from operators.rows.table import Region, row_views
from operators.verify import Verify, face_of, measure_region

CLASSICAL, GENERATIVE = "navier_stokes", "patchmatch"
"""The cheap rung, and the rung that makes texture: PatchMatch, as a stand-in for a diffusion
model without its weights.
"""
MARGIN = 0.02
"""Perceptual distance by which the generative fill must be better to count as a gain."""
OF_THE_PLACE = [figure.name for figure in FIGURES if figure.name not in ("size", "seen") and "colour" not in figure.name]
"""The figures that a rule may use; neither a picture's size nor its colours make a place hard."""
TIMED = 12
"""The number of images on which description is timed against detection."""
RESULTS = Path(__file__).parent / "results" / "routing.json"
RECORDS = Path("build") / "routing-records.jsonl"


def records_of(job: tuple[Suite, Entry]) -> list[JsonObject]:
    """Every region of one image: its metadata, and for each rung the distance to the truth, the
    gate's decision and the cost.

    Costs are milliseconds of processor time, so that other work on the machine does not count.
    """
    suite, entry = job
    table, truth = detect_and_soften(suite, entry), suite.truth(entry)
    if truth is None or not any(region["state"] == OPEN for region in row_views(table)[0].regions):
        return []
    start = time.process_time()
    described = Describe().apply(table)
    milliseconds = 1000 * (time.process_time() - start)
    regions = row_views(described)[0].regions
    to_erase = [number for number, region in enumerate(regions) if region["state"] == OPEN]
    filled = {rung: row_views(Inpaint(rung).apply(described))[0] for rung in (CLASSICAL, GENERATIVE)}
    records = []
    for number in to_erase:
        region = regions[number]
        record = {
            "file": entry.file,
            "set": entry.set,
            "bucket": entry.bucket,
            "metadata": dict(region["metadata"]),
            "describe": milliseconds / len(to_erase),
        }
        for rung, row in filled.items():
            record[rung] = _judge(rung, row.regions[number], crop_of(region, truth))
        records.append(record)
    return records


def all_records(suite: Suite, processes: int) -> list[JsonObject]:
    """The records of every image; those in RECORDS are not measured again."""
    RECORDS.parent.mkdir(exist_ok=True)
    lines = [json.loads(line) for line in RECORDS.read_text().splitlines()] if RECORDS.is_file() else []
    known = {line["file"]: line["records"] for line in lines if line["suite"] == suite.checksum}
    missing = [entry for entry in suite.entries if entry.file not in known]
    measured = as_processed(records_of, [(suite, entry) for entry in missing], processes)
    for entry, records in zip(missing, measured, strict=True):
        known[entry.file] = records
        with RECORDS.open("a") as file:
            file.write(json.dumps(without_nan({"suite": suite.checksum, "file": entry.file, "records": records})) + "\n")
    return [record for entry in suite.entries for record in known[entry.file]]


def _judge(rung: str, region: Region, clean: Pixels) -> JsonObject:
    pixels, mask, fill = region.array("pixels", 3), region.array("mask", 4), region.fill()
    area = compared_area(mask)
    if fill is None or not pixels[area].size:
        return {"distance": None, "accepted": False, "milliseconds": 0.0}
    start = time.process_time()
    FILLS[rung](np.ascontiguousarray(pixels), hole_of(mask), 0)
    checks = Verify().check_fill(rung, measure_region(region), face_of(region))
    milliseconds = 1000 * (time.process_time() - start)
    result = pasted(pixels, fill, mask[:, :, BLEND])
    distance = perceptual_distance().distance(np.ascontiguousarray(result[area]), np.ascontiguousarray(clean[area]))
    return {"distance": distance, "accepted": all(check["passed"] for check in checks), "milliseconds": milliseconds}


def describe_over_detect(suite: Suite) -> float:
    """Processor time of `describe` over `detect` on the first images of the set `report`."""
    spent = {"detect": 0.0, "describe": 0.0}
    for entry in [entry for entry in suite.entries if entry.set == "report"][:TIMED]:
        table = detect_and_soften(suite, entry)
        for operator in (Detect(), Describe()):
            start = time.process_time()
            operator.apply(table)
            spent[operator.name] += time.process_time() - start
    return spent["describe"] / spent["detect"]


def gain(record: JsonObject) -> float:
    """How much nearer to the truth the generative fill is, in perceptual distance."""
    return float(record[CLASSICAL]["distance"] - record[GENERATIVE]["distance"])


def learn_rule(records: Sequence[JsonObject]) -> tuple[Rule, JsonObject]:
    """The figure that best ranks places by whether the generative fill gains, with the threshold
    at the knee of its ROC curve.

    At the knee, the share of gaining places sent to the generative rung first exceeds the share
    of other places by most (Youden, "Index for rating diagnostic tests", 1950).
    """
    gains = np.array([gain(record) for record in records])
    gaining = gains > MARGIN
    values = {name: np.array([record["metadata"][name] for record in records]) for name in OF_THE_PLACE}
    ranks = {name: area_under_curve(values[name], gaining) for name in OF_THE_PLACE}
    figure = max(ranks, key=lambda name: ranks[name])
    steps = np.unique(values[figure])
    cuts = (steps[1:] + steps[:-1]) / 2
    right = np.array([float((values[figure][gaining] > cut).mean()) for cut in cuts])
    wrong = np.array([float((values[figure][~gaining] > cut).mean()) for cut in cuts])
    rule = Rule(figure, float(f"{cuts[np.argmax(right - wrong)]:.3g}"))
    curve = [
        {
            "threshold": float(cuts[index]),
            "sent": float((values[figure] > cuts[index]).mean()),
            "gaining_sent": float(right[index]),
            "others_sent": float(wrong[index]),
            "gain_kept": float(gains[values[figure] > cuts[index]].sum() / gains.sum()),
        }
        for index in np.unique(np.linspace(0, len(cuts) - 1, 21).astype(int))
    ]
    best = dict(sorted(ranks.items(), key=lambda entry: -entry[1])[:6])
    return rule, {"auc": best, "gaining": float(gaining.mean()), "curve": curve}


@dataclass(frozen=True)
class Climb:
    """One region on a ladder: the rung whose fill the gate accepts, None if it accepts none, and
    the cost of the fills tried.
    """

    rung: str | None
    milliseconds: float
    generative_fills: int


def climb(record: JsonObject, rungs: Sequence[str]) -> Climb:
    """Try rung by rung until the gate accepts a fill."""
    tried: list[str] = []
    for rung in rungs:
        tried.append(rung)
        if record[rung]["accepted"]:
            break
    accepted = tried[-1] if record[tried[-1]]["accepted"] else None
    return Climb(accepted, sum(record[rung]["milliseconds"] for rung in tried), tried.count(GENERATIVE))


LADDERS: dict[Kind, tuple[str, ...]] = {"classical": (CLASSICAL, GENERATIVE), "generative": (GENERATIVE, CLASSICAL)}


def compare_ways(records: Sequence[JsonObject], rule: Rule) -> JsonObject:
    """The cost and quality of each way through the rungs, and what routing saves and loses
    against it.

    The loss is the mean difference of the delivered perceptual distances, over the regions that
    both ways deliver. The number of generative fills per region does not depend on their cost; it
    is the figure to look at if the generative rung is a diffusion model.
    """
    ways: dict[str, Callable[[JsonObject], Sequence[str]]] = {
        "classical only": lambda record: (CLASSICAL,),
        "classical first": lambda record: LADDERS["classical"],
        "generative first": lambda record: LADDERS["generative"],
        "routed": lambda record: LADDERS[rule(record["metadata"])],
        "better fill, known": lambda record: LADDERS["generative" if gain(record) > MARGIN else "classical"],
    }
    climbs = {name: [climb(record, way(record)) for record in records] for name, way in ways.items()}
    distances = {
        name: np.array(
            [record[end.rung]["distance"] if end.rung else np.nan for record, end in zip(records, ends, strict=True)]
        )
        for name, ends in climbs.items()
    }
    milliseconds = {name: float(np.mean([end.milliseconds for end in ends])) for name, ends in climbs.items()}
    describing = float(np.mean([record["describe"] for record in records]))
    table = {
        name: {
            "milliseconds_per_region": milliseconds[name],
            "generative_fills_per_region": float(np.mean([end.generative_fills for end in climbs[name]])),
            "distance": float(np.nanmean(distances[name])),
            "delivered": float(np.mean(~np.isnan(distances[name]))),
            "time_saved_by_routing": 1 - milliseconds["routed"] / milliseconds[name],
            "time_saved_with_describe_counted": 1 - (milliseconds["routed"] + describing) / milliseconds[name],
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
        "ways": table,
    }


def main() -> None:
    """Measure, learn, print the figures and save them as JSON in `results`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", type=Path, help="folder of a suite; the default suite without one")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="measure all records again")
    parser.add_argument("--keep", action="store_true", help=f"write the rule to {PATH.name}")
    arguments = parser.parse_args()
    suite = load(arguments.suite) if arguments.suite else default_suite(default_folder())
    if arguments.again:
        RECORDS.unlink(missing_ok=True)
    records = all_records(suite, arguments.processes)
    filled = [r for r in records if None not in (r[CLASSICAL]["distance"], r[GENERATIVE]["distance"])]
    sets = {name: [record for record in filled if record["set"] == name] for name in ("tune", "report")}
    rule, evidence = learn_rule(sets["tune"])
    figures: JsonObject = {
        "suite": suite.name,
        "suite_checksum": suite.checksum,
        "margin": MARGIN,
        "rule": asdict(rule),
        "describe_over_detect": describe_over_detect(suite),
        "tune": {**evidence, **compare_ways(sets["tune"], rule)},
        "report": compare_ways(sets["report"], rule),
        "report_buckets": {
            bucket: compare_ways([record for record in sets["report"] if record["bucket"] == bucket], rule)
            for bucket in sorted({record["bucket"] for record in sets["report"]})
        },
    }
    RESULTS.write_text(json.dumps(without_nan(figures), indent=1) + "\n")
    if arguments.keep:
        learnt_on = {"suite": suite.name, "suite_checksum": suite.checksum, "regions": len(sets["tune"])}
        PATH.write_text(json.dumps({**asdict(rule), **learnt_on}, indent=1) + "\n")
    print(f"rule: generative first where {rule.figure} > {rule.threshold}; AUC on tune: {json.dumps(evidence['auc'])}")
    print(f"describe takes {figures['describe_over_detect']:.2f} of the time of detect")
    for name in ("tune", "report"):
        _print_part(name, figures[name])
    for bucket, part in figures["report_buckets"].items():
        _print_part(f"report, {bucket}", part)


def _print_part(title: str, part: JsonObject) -> None:
    print(
        f"{title}: {part['regions']} regions, {part['sent_to_generative']:.0%} sent to {GENERATIVE} first, "
        f"{part['right']:.0%} rightly; describe {part['describe_milliseconds_per_region']:.0f} ms a region"
    )
    for name, way in part["ways"].items():
        print(
            f"  {name:20} {way['milliseconds_per_region']:7.0f} ms and {way['generative_fills_per_region']:.2f} {GENERATIVE} "
            f"fills a region, distance {way['distance']:.4f}, "
            f"{way['delivered']:.1%} delivered; routed saves {way['time_saved_by_routing']:+.1%} "
            f"({way['time_saved_with_describe_counted']:+.1%} with describe) and loses {way['distance_lost_by_routing']:+.4f}"
        )


if __name__ == "__main__":
    main()
