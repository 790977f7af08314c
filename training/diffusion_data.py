"""Prepares examples for the pixel diffusion model: clean crops, the text or brush marks on them,
and the fills that the model starts from.

    python -m training.diffusion_data --pictures DIR [DIR ...] --fonts DIR --out DATA

An example is uint8 SIDE x SIDE x 16: the clean crop, the seen crop (with its marks, or with the
fill inside masks that a user would give), a PatchMatch fill, a smooth fill (Navier-Stokes), the
mask's `core`, `blend` and `confidence`, and how much of each pixel the marks replaced.

Text is masked as in a run: the stroke network examines a polygon like a detector's, and `soften`
grows the strokes it finds; a polygon without any is masked as a whole. The fills are made on a
larger scene, and the example is cut from its middle. Training may begin after the first shard;
running the command again writes the missing shards. One picture in twelve, with all its crops, is
kept for validation.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import random
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from flows.evaluation.draw_text import Caption, Coverage, draw
from operators.generators.classical import navier_stokes, patchmatch
from operators.masks.mask import dilated, hole_of
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.soften import Soften
from operators.vision.stroke_network import Line, stroke_network
from training.procedural import procedural
from training.shards import save_shard, write_missing
from training.strokes import caption, usable_fonts

SIDE = 128
SCENE = 144
SHARD = 32
CHANNELS = {
    "clean": slice(0, 3),
    "seen": slice(3, 6),
    "start": slice(6, 9),
    "smooth": slice(9, 12),
    "mask": slice(12, 15),
    "replaced": slice(15, 16),
}
"""The channels of an example; the mask's are `core`, `blend` and `confidence`."""
PICTURES = 12
"""The number of channels that belong to pictures; they come first."""
SOFTEN = Soften()
LARGEST = 1600
"""Longest side in pixels of the pictures that examples are cut from."""
VALIDATION = 12
"""One picture in this many is kept for validation."""
BRUSHED = 0.12
"""Share of the examples with brush strokes instead of text."""
KINDS = (".jpg", ".jpeg", ".png", ".webp", ".tga")
UNWANTED = ("acc_dm5/", "cosmo_block/", "stone/", "proto2/", "elev.png", "terrain.png", "trees.png", "/alphabets/")
"""Parts of paths to skip: files of unknown licence, height maps, and stamps that are letters."""


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every picture under a folder, including those in the texture archives of games."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix.lower() in KINDS:
            yield str(path.relative_to(folder)), path.read_bytes()
        elif path.suffix.lower() in (".pk3", ".zip"):
            with zipfile.ZipFile(path) as archive:
                for name in sorted(name for name in archive.namelist() if Path(name).suffix.lower() in KINDS):
                    yield f"{path.stem}/{name}", archive.read(name)


def prepare_pictures(folders: list[Path], cache: Path) -> list[str]:
    """The folders' pictures as WebP of at most LARGEST pixels a side, cached.

    A picture in several sizes (`images/1024x768.png`, `images/1920x1080.png`) is used once. A
    transparent picture gets a plain background, its colour derived from the file's hash.
    """
    done = cache / "pictures.json"
    if done.is_file():
        return [str(cache / name) for name in json.loads(done.read_text())]
    cache.mkdir(parents=True, exist_ok=True)
    names, sizes_seen = [], set()
    for folder in folders:
        for name, data in _files(folder):
            if any(part in f"/{name}" for part in UNWANTED):
                continue
            stem = Path(name).stem.lower()
            if stem.replace("x", "").isdigit() or stem in ("screenshot", "preview"):
                if str(Path(name).parent) in sizes_seen:
                    continue
                sizes_seen.add(str(Path(name).parent))
            try:
                with Image.open(io.BytesIO(data)) as opened:
                    if min(opened.size) < SIDE:
                        continue
                    opened.draft("RGB", (LARGEST, LARGEST))
                    picture = opened.convert("RGBA" if opened.mode in ("P", "LA", "RGBA", "PA") else "RGB")
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                continue
            picture.thumbnail((LARGEST, LARGEST))
            digest = hashlib.sha256(data).hexdigest()[:16]
            if picture.mode == "RGBA":
                ground = Image.new("RGBA", picture.size, (*(int(digest[i : i + 2], 16) for i in (0, 2, 4)), 255))
                picture = Image.alpha_composite(ground, picture).convert("RGB")
            target = f"{digest}.webp"
            if target not in names:
                picture.save(cache / target, quality=92, method=2)
                names.append(target)
    done.write_text(json.dumps(names))
    return [str(cache / name) for name in names]


def is_validation(picture: str) -> bool:
    """Whether a picture is for validation, decided by its name, a hash of its content."""
    return int(Path(picture).stem[:8], 16) % VALIDATION == 0


def clean_scene(rng: random.Random, picture: Pixels) -> Pixels:
    """A SCENE x SCENE view of a picture at a random scale, sometimes dark, grey or rotated."""
    most = max(1.0, min(picture.shape[0], picture.shape[1]) / SCENE)
    side = min(*picture.shape[:2], round(SCENE * math.exp(rng.uniform(0, math.log(min(5.0, most))))))
    top, left = rng.randint(0, picture.shape[0] - side), rng.randint(0, picture.shape[1] - side)
    view = picture[top : top + side, left : left + side]
    scene = np.asarray(Image.fromarray(np.ascontiguousarray(view)).resize((SCENE, SCENE), Image.Resampling.LANCZOS))
    mood = rng.random()
    if mood < 0.12:
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, rng.uniform(0.5, 4), scene.shape)
        scene = np.clip(np.rint(scene * rng.uniform(0.12, 0.5) + noise), 0, 255).astype(np.uint8)
    elif mood < 0.22:
        scene = np.repeat(cv2.cvtColor(scene, cv2.COLOR_RGB2GRAY)[:, :, None], 3, axis=2)
    if rng.random() < 0.3:
        scene = np.rot90(scene, rng.randint(1, 3))
    return np.ascontiguousarray(scene[:, ::-1] if rng.random() < 0.5 else scene)


@dataclass(frozen=True)
class Marked:
    """A scene with marks, how much of each pixel they replaced (0..1), and its mask as `soften`
    makes it.

    `given` says that the mask comes from a user and hides the scene below it.
    """

    shown: Pixels
    replaced: Coverage
    mask: Pixels
    given: bool


def brushed(rng: random.Random, scene: Pixels) -> Marked:
    """A scene under brush strokes, dots or a box: a mask that a user gives, which hides the scene
    below it.
    """
    touched = np.zeros(scene.shape[:2], np.uint8)
    for _ in range(rng.randint(1, 4)):
        points = [(rng.randint(20, SCENE - 20), rng.randint(20, SCENE - 20)) for _ in range(rng.randint(2, 5))]
        if rng.random() < 0.15:
            x, y = points[0]
            cv2.rectangle(touched, (x, y), (x + rng.randint(10, 60), y + rng.randint(8, 30)), 255, -1)
        else:
            cv2.polylines(touched, [np.array(points, np.int32)], False, 255, rng.randint(2, 14))
    mask = np.dstack([touched, touched, touched, np.zeros_like(touched)])
    return Marked(scene, touched.astype(np.float32) / 255, mask, given=True)


def detected_polygon(rng: random.Random, coverage: Coverage) -> list[list[float]] | None:
    """A polygon like a detector's: a rectangle around the covered pixels, slightly larger or
    smaller; None if too little is covered.
    """
    points = cv2.findNonZero((coverage > 0.15).astype(np.uint8))
    if points is None:
        return None
    centre, sides, angle = cv2.minAreaRect(points)
    if min(sides) < 4:
        return None
    grow = min(sides) * rng.uniform(-0.05, 0.35)
    corners: list[list[float]] = cv2.boxPoints((centre, (sides[0] + grow, sides[1] + grow), angle)).tolist()
    return corners


def softened(shown: Pixels, polygons: list[list[list[float]]]) -> Pixels:
    """The mask (uint8 height x width x 4) that `soften` makes of these polygons, one by one, on a
    scene.
    """
    frame = Box(0, 0, shown.shape[1], shown.shape[0])
    mask = np.zeros((*shown.shape[:2], 4), np.uint8)
    for polygon in polygons:
        line = Line.of([polygon], frame.width, frame.height)
        height, inside = line.height, line.inside
        probability = stroke_network().line_probability(shown[line.place], line, SOFTEN.seen_height)
        touched = SOFTEN.strokes.touched(probability)
        share = float(touched[inside > 0].mean()) if (inside > 0).any() else 0.0
        strokes, confidence = np.where(touched, 255, 0).astype(np.uint8), np.rint(probability * 255).astype(np.uint8)
        kind, certainty = "found", SOFTEN.strokes.certainty(probability)
        if not SOFTEN.least_share <= share <= SOFTEN.most_share:
            soft = max(1, round(0.2 * height)) | 1
            kind, strokes, confidence = "polygon", inside, np.minimum(cv2.blur(dilated(inside, 1), (soft, soft)), inside)
        whole = np.zeros((frame.height, frame.width), np.uint8)
        whole[line.place] = strokes
        core = SOFTEN.strokes.grown(whole, height)
        sure, certain = np.zeros_like(whole), np.zeros_like(whole)
        sure[line.place], certain[line.place] = confidence, certainty
        for channel, plane in enumerate((core, SOFTEN.strokes.weight(core, certain, kind), sure)):
            np.maximum(mask[:, :, channel], plane, out=mask[:, :, channel])
    return mask


def lettered(rng: random.Random, scene: Pixels, fonts: list[str]) -> Marked:
    """Lines of text on a scene, sometimes recompressed, masked as in a run."""
    line = math.exp(rng.uniform(math.log(14), math.log(100)))
    lines = max(1, min(rng.randint(1, 5), int(0.55 * SCENE / line)))
    shown, replaced, polygons = scene, np.zeros(scene.shape[:2], np.float32), []
    for number in range(lines):
        style = caption(rng, fonts, line, scene)
        place = 0.5 + (number - (lines - 1) / 2) * line * 1.25 / SCENE
        shown, coverage = draw(shown, Caption(**{**vars(style), "y": place, "x": rng.uniform(0.2, 0.8)}))
        replaced = np.maximum(replaced, coverage)
        polygon = detected_polygon(rng, coverage)
        polygons += [] if polygon is None else [polygon]
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "JPEG", quality=rng.randint(60, 95))
        shown = np.asarray(Image.open(buffer))
    return Marked(shown, replaced, softened(shown, polygons), given=False)


def example(rng: random.Random, picture: Pixels, fonts: list[str]) -> Pixels | None:
    """One example, uint8 SIDE x SIDE x 16; None if the marks cover too little or too much."""
    clean = clean_scene(rng, picture)
    marked = brushed(rng, clean) if rng.random() < BRUSHED else lettered(rng, clean, fonts)
    hole = hole_of(marked.mask)
    edge = (SCENE - SIDE) // 2
    middle = np.s_[edge : edge + SIDE, edge : edge + SIDE]
    if not 0.02 < float((hole[middle] > 0).mean()) < 0.45:
        return None
    start = patchmatch(marked.shown, hole, rng.getrandbits(31))
    seen = np.where(hole[:, :, None] > 0, start, clean) if marked.given else marked.shown
    replaced = np.rint(np.clip(marked.replaced, 0, 1) * 255).astype(np.uint8)
    channels = np.dstack([clean, seen, start, navier_stokes(marked.shown, hole, 0), marked.mask[:, :, :3], replaced])
    return np.ascontiguousarray(channels[middle])


class ShardJob(NamedTuple):
    """A shard to write: its file, its seed, and the pictures and typefaces to use."""

    path: str
    seed: int
    pictures: list[str]
    fonts: list[str]


def write_shard(job: ShardJob) -> str:
    """Write SHARD examples into one file, four per picture; about a third of the pictures are
    procedural.
    """
    cv2.setNumThreads(1)
    rng = random.Random(job.seed)
    examples: list[Pixels] = []
    while len(examples) < SHARD:
        if rng.random() < 0.35 or not job.pictures:
            picture = procedural(rng.getrandbits(31), rng.choice((192, 256, 320)))
        else:
            try:
                with Image.open(rng.choice(job.pictures)) as file:
                    picture = np.asarray(file.convert("RGB"))
            except OSError:
                continue
            if min(picture.shape[:2]) < SIDE:
                continue
        crops = (example(rng, picture, job.fonts) for _ in range(4))
        examples += [crop for crop in crops if crop is not None]
    return save_shard(job.path, examples[:SHARD])


def main() -> None:
    """Prepare the pictures, then write the missing shards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=120, help=f"files of {SHARD} examples for training")
    parser.add_argument("--validation-shards", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    pictures, fonts = prepare_pictures(arguments.pictures, arguments.out / "pictures"), usable_fonts(arguments.fonts)
    print(f"{len(pictures)} pictures, {len(fonts)} typefaces", flush=True)
    held_out = [picture for picture in pictures if is_validation(picture)]
    used = [picture for picture in pictures if not is_validation(picture)]
    jobs = [
        ShardJob(str(arguments.out / f"validation-{n}.npy"), 900_000 + n, held_out, fonts)
        for n in range(arguments.validation_shards)
    ]
    jobs += [ShardJob(str(arguments.out / f"train-{n:04d}.npy"), n, used, fonts) for n in range(arguments.shards)]
    write_missing(write_shard, jobs, arguments.processes)


if __name__ == "__main__":
    main()
