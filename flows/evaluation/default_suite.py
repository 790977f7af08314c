"""The default suite: drawn on pictures that packages ship, identical to the pixel every time.

No two sets share phrases or random numbers, nor source pictures but in the bucket of faces.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from flows.evaluation.buckets import EVERYDAY, MIXED, PNG, TEXT_FREE, Format
from flows.evaluation.captions import square_captions
from flows.evaluation.draw_text import Coverage, draw, polygon_of
from flows.evaluation.pages import Scene
from flows.evaluation.scenes import backgrounds
from flows.evaluation.suite import SETS, Entry, Suite, load
from flows.evaluation.words import SHORT
from operators.masks.mask import dilated
from operators.rows.arrays import Pixels

PICTURES = 8
"""Pictures of each bucket with text in each set."""

TUNING_PICTURES = 20
"""Pictures of each everyday bucket in the set `tune`: the more fills the gate learns from, the
better it ranks others, and the higher is the threshold that is shown to keep its promise.
"""

TEXT_FREE_PICTURES = 5
"""Pictures of each bucket without text in each set."""

COMPRESSION_REACH = 18
"""How far in pixels a letter changes a JPEG: a block of halved colours and its interpolation."""

DRAWING_CODE = (
    "buckets.py",
    "captions.py",
    "default_suite.py",
    "draw_text.py",
    "pages.py",
    "patterns.py",
    "scenes.py",
    "suite.py",
    "surfaces.py",
    "words.py",
)


class SuitePicture(NamedTuple):
    """One drawn picture of the suite, and the settings that its file is saved with."""

    entry: Entry
    clean: Pixels
    picture: Pixels
    coverage: Coverage
    format: Format


def default_folder() -> Path:
    """The folder that keeps the default suite between runs; it changes with the drawing code."""
    code = b"".join((Path(__file__).parent / name).read_bytes() for name in DRAWING_CODE)
    return Path(tempfile.gettempdir()) / f"cleanplate-suite-{hashlib.sha256(code).hexdigest()[:12]}"


def default_suite(folder: Path) -> Suite:
    """The default suite, drawn into `folder` unless the folder already holds it."""
    if not (folder / "suite.json").is_file():
        for part in ("images", "truth", "masks"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        entries = [_save(folder, picture) for picture in _draw_pictures()]
        content = {"name": "default", "entries": [asdict(entry) for entry in entries]}
        (folder / "suite.json").write_text(json.dumps(content, indent=1))
    return load(folder)


def _save(folder: Path, drawn: SuitePicture) -> Entry:
    """Save a picture, its mask, and its truth: the clean picture after the same compression.

    Compression also moves pixels far from the text a little; there the truth is the picture itself.
    """
    file = drawn.entry.file
    mask = np.ceil(np.clip(drawn.coverage, 0, 1) * 255).astype(np.uint8)
    encoded, truth = _encode(drawn.picture, drawn.format), drawn.clean
    (folder / "images" / file).write_bytes(encoded)
    if drawn.format != PNG:
        near = dilated(mask, COMPRESSION_REACH)[:, :, None] > 0
        truth = np.where(near, _decode(_encode(drawn.clean, drawn.format)), _decode(encoded))
    Image.fromarray(truth).save((folder / "truth" / file).with_suffix(".png"), compress_level=1)
    Image.fromarray(mask).save((folder / "masks" / file).with_suffix(".png"), compress_level=1)
    return drawn.entry


def _encode(picture: Pixels, form: Format) -> bytes:
    file, image = io.BytesIO(), Image.fromarray(picture)
    match form.extension:
        case "jpg":
            image.save(file, "JPEG", quality=form.quality, subsampling=2 if form.subsampled else 0)
        case "webp":
            image.save(file, "WEBP", quality=form.quality, method=2)
        case _:
            image.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _decode(encoded: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def _draw_pictures() -> Iterator[SuitePicture]:
    for chosen, bucket, number, scene, form in _scenes():
        picture, strongest, texts = scene.clean, np.zeros(scene.clean.shape[:2], np.float32), []
        for caption in scene.captions:
            picture, coverage = draw(picture, caption)
            strongest = np.maximum(strongest, coverage)
            texts.append(polygon_of(caption, coverage))
        name = bucket.replace(":", "").replace(" ", "-")
        entry = Entry(f"{chosen}-{name}-{number}.{form.extension}", chosen, bucket, f"the same {bucket}, without text", texts)
        yield SuitePicture(entry, scene.clean, picture, strongest, form)


def _scenes() -> Iterator[tuple[str, str, int, Scene, Format]]:
    """Set, bucket, number, scene and format of every picture."""
    for chosen, bucket, number, clean in _spread_backgrounds():
        rng = random.Random(f"{chosen} {bucket} {number}")
        captions = square_captions(rng, number, bucket, SHORT[chosen], clean)
        yield chosen, bucket, number, Scene(clean, captions), MIXED[(number + 3) % len(MIXED)]
    for chosen in SETS:
        for bucket, (recipe, formats) in EVERYDAY.items():
            for number in range(TUNING_PICTURES if chosen == "tune" else PICTURES):
                yield (
                    chosen,
                    bucket,
                    number,
                    recipe(random.Random(f"{chosen} {bucket} {number}"), chosen, number),
                    formats[number % len(formats)],
                )
        for bucket, recipe in TEXT_FREE.items():
            for number in range(TEXT_FREE_PICTURES):
                yield (
                    chosen,
                    bucket,
                    number,
                    recipe(random.Random(f"{chosen} {bucket} {number}"), chosen, number),
                    MIXED[number],
                )


def _spread_backgrounds() -> Iterator[tuple[str, str, int, Pixels]]:
    """Set, bucket, number and picture of PICTURES square backgrounds of each set and bucket, spread
    over all that there are.
    """
    groups: dict[tuple[str, str], list[Pixels]] = {}
    for bucket, chosen, clean in backgrounds():
        groups.setdefault((chosen, bucket), []).append(clean)
    for (chosen, bucket), cleans in groups.items():
        for number in range(PICTURES):
            yield chosen, bucket, number, cleans[number * len(cleans) // PICTURES]
