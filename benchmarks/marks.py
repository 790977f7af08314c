"""Measures how well known marks are found, and how well a collection's own marks are separated.

    python -m benchmarks.marks known FOLDER... [--set tune] [--count 200]
    python -m benchmarks.marks collection FOLDER... [--set tune] [--kind one] [--count 200]
    python -m benchmarks.marks clean FOLDER... [--set tune] [--count 500]
    python -m benchmarks.marks cost FOLDER... [--set tune] [--count 12]
    python -m benchmarks.marks memory --count 100000

The pictures are parts of the photographs in the folders; the marks are drawn. `known` says how
many marks of opacity 0.35 to 0.5 are found at random places, sizes and turns, how many are
invented on the same pictures without one, and what a search costs. Marks that change their strokes
by less than 8 grey levels on average cannot be seen and are counted apart. `collection` says the
overlap of each matte with the truth at half the opacity, the errors of opacity and colour, and the
PSNR at the strokes when the found marks are taken off, beside that of fills; `none` must find
nothing. `clean` looks for a mark, and for a folder of six, on pictures without one, and says how
many are invented. `cost` says what the search takes on pictures of 1200 x 900 without a mark, as a
share of a run that erases two lines of text from each. `memory` adds up the statistics of many
small pictures as a run does.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image

from benchmarks.stamps import SIZES, Stamped, badge_mark, corner_pose, parts, photographs, stamp, text_mark, tiled_poses
from flows.erase_text import erase_text
from flows.evaluation.captions import typefaces
from flows.evaluation.draw_text import Caption, draw_all
from operators.generators.classical import hybrid, patchmatch
from operators.marks.collection import find_marks_of
from operators.marks.mark import Mark, Search
from operators.marks.rendering import Pose, rendered
from operators.marks.search import find_mark
from operators.marks.statistics import SAMPLES, Sample, Statistics
from operators.masks.overlay import seen_through
from operators.models.threads import use_one_thread
from operators.operator import Operator
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.records import JsonObject
from operators.rows.schema import complete_rows
from operators.see_through import FILL_VARIANCE, RECODED_NOISE

RESULTS = Path(__file__).parent / "results"
KINDS = ("one", "none", "three", "tiled", "mixed", "tiled at random", "anywhere")
RESTORED = 15
"""Pictures of a collection from which its marks are taken off."""
TASK = 256
"""Pictures whose statistics travel as one, as in a run."""
STROKE = 0.02
"""Alpha from which a pixel counts as covered."""
LEAST_VISIBLE = 8.0
"""Mean change in grey levels below which a mark cannot be seen."""
QUALITIES = (None, 90, 75)
KNOWLEDGE = {
    "zone and size": Search((0.5, 0.75, 1.0, 1.0), (1.0, 1.0), opacity=(0.2, 0.6), turn=0.0),
    "size": Search(scale=(1.0, 1.0), opacity=(0.2, 0.6), turn=0.0),
    "nothing": Search(),
}
"""What is known of a mark before it is looked for."""


def drawn_marks() -> list[Mark]:
    """Light, dark, red, grey, two-coloured and shadowed marks."""
    return [
        text_mark("Studio Nord", 48, (255, 255, 255), 0.4),
        text_mark("SAMPLE", 60, (0, 0, 0), 0.35, 30),
        text_mark("pics", 40, (200, 30, 40), 0.5),
        badge_mark(90, 0.45),
        text_mark("white shadow", 40, (255, 255, 255), 0.4, shadow=True),
        text_mark("grey", 60, (128, 128, 128), 0.5),
    ]


def known(files: Sequence[Path], count: int) -> dict[str, float]:
    """Recall, invented marks and seconds of the search for known marks."""
    random, marks = np.random.default_rng(1), drawn_marks()
    visible = found = hidden = invented = 0
    seconds_with = seconds_without = 0.0
    for number, part in enumerate(parts(files, count, 5, SIZES)):
        mark, (height, width) = marks[number % len(marks)], part.shape[:2]
        largest = min(2.0, 0.9 * width / mark.alpha.shape[1], 0.9 * height / mark.alpha.shape[0])
        scale = float(np.exp(random.uniform(np.log(0.4), np.log(largest))))
        across, down = mark.alpha.shape[1] * scale / 2, mark.alpha.shape[0] * scale / 2
        place = random.uniform([across, down], [width - across, height - down])
        pose = Pose(float(place[0]), float(place[1]), scale, float(random.uniform(-3, 3)))
        stamped = stamp(part, mark, [pose], QUALITIES[number % 3])
        strokes = stamped.overlay.alpha > 0.2
        change = float(np.abs(stamped.picture.astype(float) - part)[strokes].mean()) if strokes.any() else 0.0
        start = time.perf_counter()
        places = find_mark(stamped.picture, mark)
        seconds_with += time.perf_counter() - start
        start = time.perf_counter()
        invented += bool(find_mark(part, mark))
        seconds_without += time.perf_counter() - start
        hit = any(np.hypot(one.pose.x - pose.x, one.pose.y - pose.y) < 3 for one in places)
        visible, found = visible + (change >= LEAST_VISIBLE), found + (hit and change >= LEAST_VISIBLE)
        hidden += change < LEAST_VISIBLE
    return {
        "visible": visible,
        "found": found,
        "recall": found / max(1, visible),
        "invisible": hidden,
        "invented": invented,
        "seconds_with_mark": seconds_with / count,
        "seconds_without": seconds_without / count,
    }


def clean(files: Sequence[Path], count: int) -> JsonObject:
    """Marks that are invented on pictures without one, and the seconds that the search takes."""
    marks = drawn_marks()
    alone = folder = looked_at = 0
    seconds = 0.0
    for part in parts(files, count, 77, SIZES):
        start = time.process_time()
        invented = [bool(find_mark(part, mark)) for mark in marks]
        seconds += time.process_time() - start
        alone, folder = alone + invented[looked_at % len(marks)], folder + any(invented)
        looked_at += 1
    return {
        "pictures": looked_at,
        "invented_by_one_mark": alone,
        "marks_of_folder": len(marks),
        "invented_by_folder": folder,
        "seconds_a_mark": seconds / max(1, looked_at * len(marks)),
    }


def cost(files: Sequence[Path], count: int) -> JsonObject:
    """Seconds of a run for a picture without a mark, and of looking for one in several ways."""
    operators = erase_text().operators
    for operator in operators:
        operator.open()
    face, marks = next(iter(typefaces().values())), drawn_marks()
    lines = [Caption("Summer sale", face, 48, 0.5, 0.2), Caption("only today", face, 36, 0.4, 0.8, (20, 20, 20))]
    spent: dict[str, list[float]] = {name: [] for name in ("run", "run without text", *KNOWLEDGE)}
    with tempfile.TemporaryDirectory() as folder:
        for number, part in enumerate(parts(files, count + 1, 9, [(1200, 900)])):
            picture = draw_all(part, lines)[0]
            spent["run"].append(_run(operators, picture, Path(folder)))
            spent["run without text"].append(_run(operators, part, Path(folder)))
            for name, search in KNOWLEDGE.items():
                mark, start = replace(marks[number % len(marks)], search=search), time.process_time()
                find_mark(picture, mark)
                spent[name].append(time.process_time() - start)
    # The first picture pays for what is loaded once.
    seconds = {name: float(np.mean(times[1:])) for name, times in spent.items()}
    shares = {name: round(seconds[name] / seconds["run"], 4) for name in KNOWLEDGE}
    return {"pictures": len(spent["run"]) - 1, "seconds": seconds, "shares": shares}


def _run(operators: Sequence[Operator], picture: Pixels, folder: Path) -> float:
    """The processor seconds that operators take for one picture."""
    file = folder / "picture.jpg"
    Image.fromarray(picture).save(file, quality=92)
    row = {"image_id": ["picture"], "uri": [str(file)], "path": [file.name], "shard": pa.array([0], pa.int32())}
    table, start = complete_rows(pa.table(row)), time.process_time()
    for operator in operators:
        table = operator.apply(table)
    return time.process_time() - start


def stamped_collection(files: Sequence[Path], kind: str, count: int) -> Iterator[tuple[Stamped, Mark | None]]:
    """The pictures of a collection, with the mark that each carries."""
    white, dark = text_mark("Studio Nord", 34, (255, 255, 255), 0.45), text_mark("SAMPLE", 36, (10, 10, 10), 0.4)
    marks = [white, dark, badge_mark(80, 0.5)] if kind == "three" else [white]
    random = np.random.default_rng(7)
    sizes = SIZES if kind == "mixed" else SIZES[1:2]
    for number, part in enumerate(parts(files, count, 1000 + KINDS.index(kind), sizes)):
        size, mark = (part.shape[1], part.shape[0]), marks[number % len(marks)]
        start = (int(random.integers(200)), int(random.integers(200))) if kind == "tiled at random" else (0, 0)
        tiled = kind.startswith("tiled")
        poses = tiled_poses(mark, size, (60, 70), start) if tiled else [corner_pose(mark, size, "bottom right", (17, 13))]
        if kind == "anywhere":
            free = random.uniform([0, 0], [size[0] - mark.alpha.shape[1] - 8, size[1] - mark.alpha.shape[0] - 8]).astype(int)
            poses = [corner_pose(mark, size, "top left", (int(free[0]) + 4, int(free[1]) + 4))]
        yield stamp(part, mark, [] if kind == "none" else poses, QUALITIES[number % 2]), None if kind == "none" else mark


def collection(files: Sequence[Path], kind: str, count: int) -> JsonObject:
    """The marks that a collection tells beside the truth, and what taking them off gives."""
    statistics, held, truths = Statistics(), {}, {}
    start = time.perf_counter()
    for number, (stamped, mark) in enumerate(stamped_collection(files, kind, count)):
        held[str(number)] = stamped
        statistics.add(stamped.picture, Sample.of(str(number), None))
        if mark is not None:
            truths[mark.name] = mark
    found = find_marks_of(statistics, lambda sample: held[sample.uri].picture)
    seconds = time.perf_counter() - start
    marks = []
    for one in found if truths else ():
        figures = max((compare(one.mark, truth) for truth in truths.values()), key=lambda each: each["overlap"])
        marks.append({**figures, "share": one.share, "copies": one.copies})
    gains = restored(list(held.values())[:RESTORED], [one.mark for one in found]) if marks else {}
    return {"kind": kind, "pictures": count, "found": len(found), "marks": marks, **gains, "seconds": seconds}


def restored(some: Sequence[Stamped], marks: Sequence[Mark]) -> JsonObject:
    """The mean PSNR in dB at the strokes of some pictures, marks taken off and filled."""
    figures: list[tuple[float, float, float]] = []
    missed = 0
    for one in some:
        frame = Box(0, 0, one.picture.shape[1], one.picture.shape[0])
        places = [place for mark in marks for place in find_mark(one.picture, mark)]
        result = one.picture
        strokes = one.overlay.alpha > STROKE
        hole = np.where(cv2.dilate(strokes.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0, 255, 0).astype(np.uint8)
        fills = [fill(one.picture, hole, 0) for fill in (patchmatch, hybrid)]
        for place in places:
            overlay = rendered(place.mark, place.pose, frame, place.strength)
            result = seen_through(result, overlay, fills[1], FILL_VARIANCE, RECODED_NOISE)
        missed += not places
        if places:
            taken_off, *filled = (_psnr(picture[strokes], one.below[strokes]) for picture in (result, *fills))
            figures.append((taken_off, filled[0], filled[1]))
    names = ("taken_off", "patchmatch", "hybrid")
    means = {name: round(float(np.mean([line[number] for line in figures])), 2) for number, name in enumerate(names) if figures}
    worse = sum(line[0] < max(line[1:]) for line in figures)
    return {"restored": len(figures), "missed": missed, "worse": worse, **means}


def _psnr(result: Pixels, truth: Pixels) -> float:
    error = float(np.square(result.astype(np.float32) - truth).mean())
    return float(10 * np.log10(255**2 / max(error, 1e-3)))


def memory(rows: int) -> JsonObject:
    """The memory of this process in MiB while the statistics of so many pictures are merged.

    They arrive packed, in tasks of 256, as in a run. The tasks differ in their addresses alone.
    """
    random = np.random.default_rng(3)
    task = Statistics()
    for number in range(TASK):
        task.add(random.integers(0, 256, (96, 128, 3), dtype=np.uint8), Sample.of(str(number), None))
    total, lines, start = Statistics(), [], time.perf_counter()
    noted = [step for step in (1_000, 10_000, 100_000) if step < rows] + [rows]
    for first in range(0, rows, TASK):
        task.samples = sorted(Sample.of(f"s3://bucket/{first + number}.jpg", None) for number in range(TASK))[:SAMPLES]
        total.merge(Statistics.unpack(task.pack()))
        if noted and total.pictures >= noted[0]:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            lines.append({"rows": total.pictures, "peak_mib": peak, "packed_bytes": len(total.pack())})
            noted.pop(0)
    return {"rows": rows, "lines": lines, "seconds": time.perf_counter() - start}


def compare(found: Mark, truth: Mark) -> dict[str, float | str]:
    """Overlap of two mattes at half the opacity, and the errors of opacity and colour."""
    edge = max(truth.alpha.shape)
    alpha = cv2.copyMakeBorder(found.alpha, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=0)
    colour = cv2.copyMakeBorder(found.colour, edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=0)
    _, _, _, (x, y) = cv2.minMaxLoc(cv2.matchTemplate(alpha, truth.alpha, cv2.TM_CCORR))
    part = np.s_[y : y + truth.alpha.shape[0], x : x + truth.alpha.shape[1]]
    there = np.zeros_like(alpha)
    there[part] = truth.alpha
    level = truth.strongest / 2
    strong = truth.alpha > 0.9 * truth.strongest
    return {
        "mark": truth.name,
        "overlap": float(((alpha > level) & (there > level)).sum() / max(1, ((alpha > level) | (there > level)).sum())),
        "opacity_error": float(np.median(alpha[part][strong] - truth.alpha[strong])),
        "colour_error": float(np.abs(np.median(colour[part][strong] - truth.colour[strong], axis=0)).max()),
    }


def main() -> None:
    """Measure and print the figures, and write them to the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("known", "collection", "clean", "cost", "memory"))
    parser.add_argument("folders", type=Path, nargs="*", help="folders with photographs")
    parser.add_argument("--set", choices=("tune", "report"), default="tune")
    parser.add_argument("--kind", choices=KINDS, action="append", help="all kinds if left out")
    parser.add_argument("--count", type=int, default=200, help="pictures, or rows of statistics")
    options = parser.parse_args()
    use_one_thread()
    if options.what == "memory":
        _note("marks-memory", memory(options.count))
        return
    files = photographs(options.folders, options.set)
    if options.what == "known":
        _note(f"marks-known-{options.set}", known(files, options.count))
        return
    if options.what == "clean":
        _note(f"marks-clean-{options.set}", clean(files, options.count))
        return
    if options.what == "cost":
        _note(f"marks-cost-{options.set}", cost(files, options.count))
        return
    lines = []
    for kind in options.kind or KINDS:
        lines.append(collection(files, kind, options.count))
        _note(f"marks-collection-{options.count}-{options.set}", lines)


def _note(name: str, figures: object) -> None:
    """Print figures, and write them to the results."""
    text = json.dumps(figures, indent=1)
    print(text, flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
