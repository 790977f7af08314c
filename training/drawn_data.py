"""Prepares examples for the generator of drawn pictures: clean drawings, texts on them, and two
fills.

    python -m training.drawn_data --fonts DIR --out DATA

An example is uint8 SIDE x SIDE x 15: the clean drawing, the drawing with text, a PatchMatch fill, a
smooth fill (Navier-Stokes), and the mask's `core`, `blend` and `confidence`. Half of the drawings
are compressed, as files often are; what is clean is then the drawing without text after the same
compression. The text is masked as in a run, by the stroke network; one example in five has a mask
as a user gives it, which hides the drawing: the strokes grown by one to four pixels. The fills are
made on a larger scene, and the example is cut from its middle. The drawings and their licence are
this project's own; the typefaces come from any of Debian's `fonts-*` packages. Training may begin
after the first shard; running the command again writes the missing shards.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from flows.evaluation.draw_text import draw
from operators.generators.classical import navier_stokes, patchmatch
from operators.masks.mask import dilated, hole_of
from operators.rows.arrays import Pixels
from training.diffusion_data import detected_polygon, softened
from training.drawn_pictures import compressed, drawn_picture
from training.shards import save_shard, write_missing
from training.strokes import caption, usable_fonts

SIDE = 128
SCENE = 160
SHARD = 32
CHANNELS = {
    "clean": slice(0, 3),
    "shown": slice(3, 6),
    "patchmatch": slice(6, 9),
    "smooth": slice(9, 12),
    "mask": slice(12, 15),
}
"""The channels of an example; the mask's are `core`, `blend` and `confidence`."""
PICTURES = 12
"""The number of channels that belong to pictures; they come first."""
GIVEN = 0.2
"""Share of the examples whose mask is one that a user gives."""


def example(rng: random.Random, fonts: list[str]) -> Pixels | None:
    """One example, uint8 SIDE x SIDE x 15; None if the text covers too little or too much."""
    clean = drawn_picture(rng, SCENE)
    line = math.exp(rng.uniform(math.log(11), math.log(75)))
    shown, covered, polygons = clean, np.zeros(clean.shape[:2], np.float32), []
    lines = max(1, min(rng.randint(1, 4), int(0.5 * SCENE / line)))
    for number in range(lines):
        style = caption(rng, fonts, line, clean)
        y = 0.5 + (number - (lines - 1) / 2) * line * rng.uniform(1.2, 1.6) / SCENE
        shown, coverage = draw(shown, replace(style, x=rng.uniform(0.2, 0.8), y=y))
        covered = np.maximum(covered, coverage)
        polygon = detected_polygon(rng, coverage)
        polygons += [] if polygon is None else [polygon]
    if rng.random() < 0.5:
        form, quality = ("JPEG", rng.randint(70, 96)) if rng.random() < 0.75 else ("WEBP", rng.randint(70, 95))
        clean, shown = compressed(clean, form, quality), compressed(shown, form, quality)
    if rng.random() < GIVEN:
        grown = dilated(np.where(covered > 0.05, 255, 0).astype(np.uint8), rng.randint(1, 4))
        mask = np.dstack([grown] * 4)
    else:
        mask = softened(shown, polygons)
    hole = hole_of(mask)
    edge = (SCENE - SIDE) // 2
    middle = np.s_[edge : edge + SIDE, edge : edge + SIDE]
    if not 0.01 < float((hole[middle] > 0).mean()) < 0.4:
        return None
    fills = (patchmatch(shown, hole, rng.getrandbits(31)), navier_stokes(shown, hole, 0))
    return np.ascontiguousarray(np.dstack([clean, shown, *fills, mask[:, :, :3]])[middle])


class ShardJob(NamedTuple):
    """A shard to write: its file, its seed, and the typefaces to use."""

    path: str
    seed: int
    fonts: list[str]


def write_shard(job: ShardJob) -> str:
    """Write SHARD examples into one file."""
    cv2.setNumThreads(1)
    rng, examples = random.Random(job.seed), []
    while len(examples) < SHARD:
        drawn = example(rng, job.fonts)
        examples += [] if drawn is None else [drawn]
    return save_shard(job.path, examples)


def main() -> None:
    """Write the missing shards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=160, help=f"files of {SHARD} examples for training")
    parser.add_argument("--validation-shards", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    fonts = usable_fonts(arguments.fonts)
    print(f"{len(fonts)} typefaces", flush=True)
    jobs = [
        ShardJob(str(arguments.out / f"validation-{n}.npy"), 900_000 + n, fonts) for n in range(arguments.validation_shards)
    ]
    jobs += [ShardJob(str(arguments.out / f"train-{n:04d}.npy"), n, fonts) for n in range(arguments.shards)]
    write_missing(write_shard, jobs, arguments.processes)


if __name__ == "__main__":
    main()
