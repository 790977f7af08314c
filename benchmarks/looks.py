"""Puts delivered pictures before a person's eyes, to see whether the rule of acceptance agrees.

    python -m benchmarks.looks EVALUATION SUITE [--count 60] [--seed 0] [--out EVALUATION/looks]
    python -m benchmarks.looks --agreement LOOKS.CSV

The first command samples the pictures of an evaluation evenly over its buckets. For each it writes
a PNG with source, delivered and clean picture beside each other, or below each other if that shows
more, at 100 % and cut to the texts. It also writes looks.csv, in which a person puts `accepted` or
`refused` into the column `eye`. The second command compares that column with the rule's.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image, ImageDraw

from flows.evaluation.acceptance import smoothed_difference
from flows.evaluation.records import EvaluatedImage, Evaluation
from flows.evaluation.suite import Entry, Suite, load
from flows.evaluation.tables import by, wilson
from operators.masks.geometry import bounding_box
from operators.pictures.formats.header import open_image
from operators.rows.arrays import Pixels
from operators.rows.box import Box

COLUMNS = ("file", "bucket", "rule", "part", "eye")
ANSWERS = ("accepted", "refused")

MOST_SIDE = 1600
"""Width and height of the largest sheet in pixels."""

CONTEXT = 32
"""Pixels of the picture that are shown around the texts."""

GAP = 8
"""Pixels between two pictures of a sheet."""

LABEL = 16
"""Height in pixels of the line with the file's name."""


@dataclass(frozen=True)
class Layout:
    """Three panels in a row or in a column, and the largest panel that fits."""

    in_a_row: bool

    @property
    def most_width(self) -> int:
        """The width of the widest panel in pixels."""
        return (MOST_SIDE - 2 * GAP) // 3 if self.in_a_row else MOST_SIDE

    @property
    def most_height(self) -> int:
        """The height of the highest panel in pixels."""
        return MOST_SIDE - LABEL if self.in_a_row else (MOST_SIDE - LABEL - 2 * GAP) // 3

    def window(self, wanted: Box, centre: Box, frame: Box) -> Box:
        """`wanted` if it fits, otherwise the part of it around `centre`, inside the frame."""
        sides = []
        for start, size, middle, most, end in (
            (wanted.x, wanted.width, centre.x + centre.width // 2, self.most_width, frame.width),
            (wanted.y, wanted.height, centre.y + centre.height // 2, self.most_height, frame.height),
        ):
            length = min(size, most)
            first = start if length == size else min(max(0, middle - length // 2), end - length)
            sides.append((first, length))
        (x, width), (y, height) = sides
        return Box(x, y, width, height)

    def draw(self, panels: Sequence[Pixels], label: str) -> Image.Image:
        """The panels, all of one size, below a line with the label."""
        height, width = panels[0].shape[:2]
        right, down = (width + GAP, 0) if self.in_a_row else (0, height + GAP)
        sheet = Image.new("RGB", (width + 2 * right, LABEL + height + 2 * down), (128, 128, 128))
        for number, panel in enumerate(panels):
            sheet.paste(Image.fromarray(panel), (number * right, LABEL + number * down))
        ImageDraw.Draw(sheet).text((2, 2), label, fill=(255, 255, 255))
        return sheet


def spread(images: Sequence[EvaluatedImage], count: int, seed: int) -> list[EvaluatedImage]:
    """At most `count` of the images that the rule judged, as evenly over buckets as they allow."""
    draw = random.Random(seed)
    buckets = list(by((image for image in images if "outcome" in image), lambda image: image["bucket"]).values())
    for members in buckets:
        draw.shuffle(members)
    deepest = max(map(len, buckets), default=0)
    in_turn = [members[turn] for turn in range(deepest) for members in buckets if turn < len(members)]
    return in_turn[:count]


def draw_sheet(image: EvaluatedImage, entry: Entry, source: Pixels, delivered: Pixels, clean: Pixels) -> Image.Image:
    """One picture for the eye: source, delivered and clean, cut to its texts.

    A cut that does not hold all texts is around the first one that the rule refuses. A picture
    without texts is cut around its largest change.
    """
    height, width = source.shape[:2]
    frame = Box(0, 0, width, height)
    texts = [bounding_box([polygon], width, height) for polygon in entry.texts]
    if texts:
        refused = [box for box, text in zip(texts, image.get("texts", []), strict=True) if not text["accepted"]]
        wanted, centre = texts[0], (refused or texts)[0]
        for box in texts[1:]:
            wanted = wanted.union(box)
        wanted = wanted.grown(CONTEXT, width, height)
    else:
        change = smoothed_difference(delivered, source, 2.0)
        y, x = np.unravel_index(int(change.argmax()), change.shape)
        wanted, centre = frame, Box(int(x), int(y), 1, 1)
    layouts = (Layout(in_a_row=True), Layout(in_a_row=False))
    layout = max(layouts, key=lambda layout: layout.window(wanted, centre, frame).area)
    window = layout.window(wanted, centre, frame)
    place = np.s_[window.y : window.y + window.height, window.x : window.x + window.width]
    panels = [np.ascontiguousarray(picture[place]) for picture in (source, delivered, clean)]
    return layout.draw(panels, f"{image['file']}: source, delivered, clean")


def write_looks(evaluation: Path, suite: Suite, out: Path, count: int, seed: int) -> Path:
    """Write the sheets of a sample and looks.csv to the folder `out`; return the CSV's path."""
    content = cast(Evaluation, json.loads((evaluation / "evaluation.json").read_text()))
    entries = {entry.file: entry for entry in suite.entries}
    out.mkdir(parents=True, exist_ok=True)
    rows: list[Mapping[str, str]] = []
    for image in spread(content["images"], count, seed):
        entry = entries[image["file"]]
        source, delivered = (_read(path) for path in (suite.image(entry), evaluation / "images" / image["picture"]))
        truth = suite.truth(entry)
        clean = source if truth is None else truth
        draw_sheet(image, entry, source, delivered, clean).save(out / image["picture"])
        rule = ANSWERS[0] if image["accepted"] else ANSWERS[1]
        values = (image["file"], image["bucket"], rule, image["refusal"] or "", "")
        rows.append(dict(zip(COLUMNS, values, strict=True)))
    path = out / "looks.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def _read(path: Path) -> Pixels:
    return np.asarray(open_image(path.read_bytes()).convert("RGB"))


def agreement(path: Path) -> list[str]:
    """Lines that say how often the eye agrees with the rule, and where it does not.

    Rows whose column `eye` is empty are left out. Raises ValueError for an answer that is neither
    `accepted` nor `refused`.
    """
    with path.open(newline="") as file:
        rows = [{**row, "eye": row["eye"].strip().lower()} for row in csv.DictReader(file)]
    answered = [row for row in rows if row["eye"]]
    for row in answered:
        if row["eye"] not in ANSWERS:
            raise ValueError(f"{path}: {row['file']} has {row['eye']!r} for eye, not {' or '.join(ANSWERS)}")
    differing = [row for row in answered if row["eye"] != row["rule"]]
    rate, low, high = wilson(len(answered) - len(differing), len(answered))
    lines = [
        f"{len(answered)} of {len(rows)} pictures answered, {rate:.0%} agree (95 % {low:.0%} to {high:.0%})",
        f"accepted by the rule {_share(answered, 'rule')}, by the eye {_share(answered, 'eye')}",
    ]
    return lines + [f"{row['file']}: rule {row['rule']} {row['part']}".rstrip() + f", eye {row['eye']}" for row in differing]


def _share(rows: Sequence[Mapping[str, str]], column: str) -> str:
    return f"{wilson(sum(row[column] == 'accepted' for row in rows), len(rows)).rate:.0%}"


def main() -> None:
    """Write the sheets, or print the agreement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path, nargs="?", help="folder that `cleanplate evaluate` wrote")
    parser.add_argument("suite", type=Path, nargs="?", help="folder of its suite")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="folder for the sheets; `looks` in the evaluation's folder by default")
    parser.add_argument("--agreement", type=Path, metavar="LOOKS.CSV", help="print how often the eye agrees with the rule")
    arguments = parser.parse_args()
    if arguments.agreement:
        print("\n".join(agreement(arguments.agreement)))
    elif arguments.evaluation and arguments.suite:
        out = arguments.out or arguments.evaluation / "looks"
        print(write_looks(arguments.evaluation, load(arguments.suite), out, arguments.count, arguments.seed))
    else:
        parser.error("give EVALUATION and SUITE, or --agreement")


if __name__ == "__main__":
    main()
