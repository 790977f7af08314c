"""Examples for the pixel diffusion model: clean crops, text or brush marks on them, and the fills it starts from.

    python -m training.diffusion_data --pictures DIR [DIR ...] --fonts DIR --out build/diffusion/data

An example is uint8 SIDE x SIDE x 11: the clean crop, a PatchMatch fill, a smooth fill (Navier-Stokes), the mask's `core` and
`blend`. The fills are made on a larger scene from the picture *with* its text, recompressed now and
then, and the example is cut from the scene's middle, so that they are what the model will meet. Shards are written one by
one, and training may begin after the first; running the command again makes the ones that are missing. One picture in
twelve, all its crops, is kept for validation.
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
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from flows.render import captioned
from operators.generators.classical import navier_stokes, patchmatch
from operators.mask import dilated, feathered
from operators.table import Pixels
from training.procedural import procedural
from training.strokes import caption, usable_fonts

SIDE = 128
SCENE = 144
SHARD = 64
CHANNELS = {"clean": slice(0, 3), "start": slice(3, 6), "smooth": slice(6, 9), "mask": slice(9, 11)}
"""What each channel of an example holds."""
LARGEST = 1600
"""Longest side at which pictures are kept for cutting."""
VALIDATION = 12
"""One picture in so many is kept for validation."""
KINDS = (".jpg", ".jpeg", ".png", ".webp", ".tga")
UNWANTED = ("acc_dm5/", "cosmo_block/", "stone/", "proto2/", "elev.png", "terrain.png", "trees.png", "/alphabets/")
"""Parts of paths that are left out: files whose licence is not known, height maps, and stamps that are letters."""


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every picture under a folder, also inside the archives that games keep their textures in."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if path.suffix.lower() in KINDS:
            yield str(path.relative_to(folder)), path.read_bytes()
        elif path.suffix.lower() in (".pk3", ".zip"):
            with zipfile.ZipFile(path) as archive:
                for name in sorted(name for name in archive.namelist() if Path(name).suffix.lower() in KINDS):
                    yield f"{path.stem}/{name}", archive.read(name)


def kept_pictures(folders: list[Path], cache: Path) -> list[str]:
    """The folders' pictures as WebP of at most LARGEST pixels a side, made once.

    One picture in several sizes (`images/1024x768.png`, `images/1920x1080.png`) counts once; cut-outs stand on a grey of
    their own.
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
    """Whether a picture is kept for validation: decided by its name, which is a hash of its content."""
    return int(Path(picture).stem[:8], 16) % VALIDATION == 0


def clean_scene(rng: random.Random, picture: Pixels) -> Pixels:
    """A SCENE x SCENE view of a picture at a random scale, now and then darkened, grey or turned."""
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


def _brushed(rng: random.Random, scene: Pixels) -> tuple[Pixels, Pixels]:
    """Brush strokes, dots or a box over a scene: the picture and where it was touched (0 or 255)."""
    touched = np.zeros(scene.shape[:2], np.uint8)
    for _ in range(rng.randint(1, 4)):
        points = [(rng.randint(20, SCENE - 20), rng.randint(20, SCENE - 20)) for _ in range(rng.randint(2, 5))]
        if rng.random() < 0.15:
            x, y = points[0]
            cv2.rectangle(touched, (x, y), (x + rng.randint(10, 60), y + rng.randint(8, 30)), 255, -1)
        else:
            cv2.polylines(touched, [np.array(points, np.int32)], False, 255, rng.randint(2, 14))
    colour = np.array([rng.randint(0, 255) for _ in range(3)], np.uint8)
    return np.where(touched[:, :, None] > 0, colour, scene), touched


def marked_scene(rng: random.Random, scene: Pixels, fonts: list[str]) -> tuple[Pixels, Pixels] | None:
    """A scene with text or brush marks, and where it was touched (0 or 255); None if they cover nothing or too much."""
    if rng.random() < 0.2:
        shown, touched = _brushed(rng, scene)
    else:
        line = math.exp(rng.uniform(math.log(14), math.log(100)))
        lines = max(1, min(rng.randint(1, 5), int(0.55 * SCENE / line)))
        captions = []
        for number in range(lines):
            one = caption(rng, fonts, line, scene)
            place = 0.5 + (number - (lines - 1) / 2) * line * 1.25 / SCENE
            captions.append(type(one)(**{**vars(one), "y": place, "x": rng.uniform(0.2, 0.8)}))
        shown, coverage = captioned(scene, captions)
        touched = np.where(coverage > 0.02, 255, 0).astype(np.uint8)
    share = float((touched > 0).mean())
    return (shown, touched) if 0.02 < share < 0.2 else None


def example(rng: random.Random, picture: Pixels, fonts: list[str]) -> Pixels | None:
    """One example, uint8 SIDE x SIDE x 11; None where the marks came out unusable."""
    clean = clean_scene(rng, picture)
    marked = marked_scene(rng, clean, fonts)
    if marked is None:
        return None
    shown, touched = marked
    if rng.random() < 0.3:
        buffer = io.BytesIO()
        Image.fromarray(shown).save(buffer, "JPEG", quality=rng.randint(60, 95))
        shown = np.asarray(Image.open(buffer))
    core = dilated(touched, rng.choice((0, 0, 0, 1, 2)))
    blend = feathered(dilated(core, rng.choice((1, 1, 2, 3))), 2)
    hole = np.where((core > 0) | (blend > 0), 255, 0).astype(np.uint8)
    if (hole > 0).mean() > 0.4:
        return None
    start = patchmatch(shown, hole, rng.getrandbits(31))
    made = np.dstack([clean, start, navier_stokes(shown, hole, 0), core, blend])
    edge = (SCENE - SIDE) // 2
    return np.ascontiguousarray(made[edge : edge + SIDE, edge : edge + SIDE])


def shard(job: tuple[str, int, list[str], list[str]]) -> str:
    """SHARD examples into one file: a third of them procedural, the rest four crops a picture."""
    path, seed, pictures, fonts = job
    cv2.setNumThreads(1)
    rng, made = random.Random(seed), []
    while len(made) < SHARD:
        if rng.random() < 0.35 or not pictures:
            picture = procedural(rng.getrandbits(31), rng.choice((192, 256, 320)))
        else:
            try:
                with Image.open(rng.choice(pictures)) as file:
                    picture = np.asarray(file.convert("RGB"))
            except OSError:
                continue
            if min(picture.shape[:2]) < SIDE:
                continue
        made += [one for one in (example(rng, picture, fonts) for _ in range(4)) if one is not None]
    part = Path(path).with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, np.stack(made[:SHARD]))
    part.rename(path)
    return path


def main() -> None:
    """Prepare pictures, then write the shards that are missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, nargs="+", required=True)
    parser.add_argument("--fonts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--shards", type=int, default=120, help=f"files of {SHARD} examples for training")
    parser.add_argument("--validation-shards", type=int, default=2)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    pictures, fonts = kept_pictures(arguments.pictures, arguments.out / "pictures"), usable_fonts(arguments.fonts)
    print(f"{len(pictures)} pictures, {len(fonts)} typefaces", flush=True)
    held = [picture for picture in pictures if is_validation(picture)]
    used = [picture for picture in pictures if not is_validation(picture)]
    jobs = [(str(arguments.out / f"validation-{n}.npy"), 900_000 + n, held, fonts) for n in range(arguments.validation_shards)]
    jobs += [(str(arguments.out / f"train-{n:04d}.npy"), n, used, fonts) for n in range(arguments.shards)]
    missing = [job for job in jobs if not Path(job[0]).exists()]
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        for path in pool.map(shard, missing):
            print(path, flush=True)


if __name__ == "__main__":
    main()
