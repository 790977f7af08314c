"""Measures how well known marks are found, and how well a collection's own marks are separated.

    python -m benchmarks.marks known FOLDER... [--count 100]
    python -m benchmarks.marks collection FOLDER... [--kind one] [--count 200]

The pictures are parts of the photographs in the folders; the marks are drawn. `known` says how
many marks of opacity 0.35 to 0.5 are found at random places, sizes and turns, how many are
invented on the same pictures without one, and what a search costs. Marks that change their strokes
by less than 8 grey levels on average cannot be seen and are counted apart. `collection` says the
overlap of each matte with the truth at half the opacity, and the errors of opacity and colour;
`none` must find nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.stamps import SIZES, badge_mark, corner_pose, parts, photographs, stamp, text_mark, tiled_poses
from operators.marks.collection import find_marks_of
from operators.marks.mark import Mark
from operators.marks.rendering import Pose
from operators.marks.search import find_mark
from operators.marks.statistics import Sample, Statistics
from operators.models.threads import use_one_thread
from operators.rows.arrays import Pixels

KINDS = ("one", "none", "three", "tiled", "mixed")
LEAST_VISIBLE = 8.0
"""Mean change in grey levels below which a mark cannot be seen."""
QUALITIES = (None, 90, 75)


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


def stamped_collection(files: Sequence[Path], kind: str, count: int) -> Iterator[tuple[Pixels, Mark | None]]:
    """The pictures of a collection, with the mark that each carries."""
    white, dark = text_mark("Studio Nord", 34, (255, 255, 255), 0.45), text_mark("SAMPLE", 36, (10, 10, 10), 0.4)
    marks = [white, dark, badge_mark(80, 0.5)] if kind == "three" else [white]
    for number, part in enumerate(parts(files, count, 1000 + KINDS.index(kind), SIZES if kind == "mixed" else SIZES[1:2])):
        size, mark = (part.shape[1], part.shape[0]), marks[number % len(marks)]
        poses = tiled_poses(mark, size, (60, 70)) if kind == "tiled" else [corner_pose(mark, size, "bottom right", (17, 13))]
        yield (
            stamp(part, mark, [] if kind == "none" else poses, QUALITIES[number % 2]).picture,
            None if kind == "none" else mark,
        )


def collection(files: Sequence[Path], kind: str, count: int) -> dict[str, object]:
    """The marks that a collection tells, compared with the truth."""
    statistics, held, truths = Statistics(), {}, {}
    start = time.perf_counter()
    for number, (picture, mark) in enumerate(stamped_collection(files, kind, count)):
        held[str(number)] = picture
        statistics.add(picture, Sample.of(str(number), None))
        if mark is not None:
            truths[mark.name] = mark
    found = find_marks_of(statistics, lambda sample: held[sample.uri])
    compared = [
        max((compare(one.mark, truth) for truth in truths.values()), key=lambda one: one["overlap"]) for one in found if truths
    ]
    marks = [{**figures, "share": one.share, "copies": one.copies} for figures, one in zip(compared, found, strict=False)]
    return {"kind": kind, "pictures": count, "found": len(found), "marks": marks, "seconds": time.perf_counter() - start}


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
    """Measure and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("known", "collection"))
    parser.add_argument("folders", type=Path, nargs="+", help="folders with photographs")
    parser.add_argument("--kind", choices=KINDS, default="one")
    parser.add_argument("--count", type=int, default=100)
    options = parser.parse_args()
    use_one_thread()
    files = photographs(options.folders)
    result = known(files, options.count) if options.what == "known" else collection(files, options.kind, options.count)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
