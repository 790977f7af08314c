"""The default suite: drawn on pictures that packages ship, identical to the pixel every time."""

from __future__ import annotations

import hashlib
import json
import random
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from flows.evaluation.draw_text import Caption, Coverage, draw, draw_all, polygon_around
from flows.evaluation.suite import Entry, Suite, load
from operators.rows.arrays import Pixels

VARIATIONS = 2
"""Pictures drawn on each background."""

SIDE = 384
"""Side of the default suite's square pictures in pixels."""

WORDS = ("Autumn sale", "Copyright 2024", "Do not copy", "Breaking news", "Page 17", "From $ 9.99", "Lorem ipsum", "SOLD OUT")

WORDS_LATER = ("Winter menu", "All rights reserved", "Sample only", "Weather today", "Chapter 3", "Each 4,5", "Sit amet", "NEW")


class SuitePicture(NamedTuple):
    """One picture of the suite as it is drawn."""

    entry: Entry
    clean: Pixels
    picture: Pixels
    coverage: Coverage


def default_folder() -> Path:
    """The folder that keeps the default suite between runs; it changes with the drawing code."""
    code = b"".join((Path(__file__).parent / name).read_bytes() for name in ("default_suite.py", "draw_text.py"))
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
    file = drawn.entry.file
    Image.fromarray(drawn.picture).save(folder / "images" / file, quality=85)
    Image.fromarray(drawn.clean).save((folder / "truth" / file).with_suffix(".png"))
    mask = np.ceil(np.clip(drawn.coverage, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(mask).save((folder / "masks" / file).with_suffix(".png"))
    return drawn.entry


def typefaces() -> dict[str, str]:
    """The suite's typefaces: name to the path of the font file."""
    from font_amatic_sc import AmaticSCBold
    from font_fredoka_one import FredokaOne
    from font_roboto import Roboto, RobotoBold
    from font_source_serif_pro import SourceSerifPro, SourceSerifProBold, SourceSerifProExtraLight

    return {
        "hand": AmaticSCBold,
        "round": FredokaOne,
        "sans": Roboto,
        "sans bold": RobotoBold,
        "serif": SourceSerifPro,
        "serif bold": SourceSerifProBold,
        "serif thin": SourceSerifProExtraLight,
    }


def _square(picture: Pixels, left: float, top: float, zoom: float = 1.0) -> Pixels:
    """A SIDE x SIDE view of a picture.

    `left` and `top` are the corner's shares of the space around the view, `zoom` is the number of
    source pixels per pixel.
    """
    rgb = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    side = min(round(SIDE * zoom), *rgb.shape[:2])
    x, y = round(left * (rgb.shape[1] - side)), round(top * (rgb.shape[0] - side))
    view = np.ascontiguousarray(rgb[y : y + side, x : x + side, :3])
    return view if side == SIDE else np.asarray(Image.fromarray(view).resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def backgrounds() -> Iterator[tuple[str, str, Pixels]]:
    """Bucket, set and clean picture of every background; no picture is in both sets."""
    from skimage import data

    photographs = {
        "tune": (data.astronaut(), data.coffee(), data.camera(), data.hubble_deep_field()),
        "report": (data.chelsea(), data.rocket(), data.stereo_motorcycle()[0], data.retina()),
    }
    textures = {"tune": (data.brick(), data.immunohistochemistry()), "report": (data.grass(), data.gravel())}
    corners = ((0.2, 0.1), (0.9, 0.8), (0.1, 0.9), (0.6, 0.4))
    for chosen in ("tune", "report"):
        for picture in photographs[chosen]:
            for left, top in corners:
                yield "photo", chosen, _square(picture, left, top)
            for left, top in corners[:2]:
                dark = _square(picture, left, top).astype(np.float32) * 0.25
                noise = np.random.default_rng(len(picture)).normal(0, 2.5, dark.shape)
                yield "low light", chosen, np.clip(np.rint(dark + noise), 0, 255).astype(np.uint8)
        for picture in textures[chosen]:
            for zoom in (0.7, 1.3):
                for left, top in corners[:2]:
                    yield "texture", chosen, _square(picture, left, top, zoom)
        seed = 1 if chosen == "tune" else 2
        for number in range(10):
            yield "texture", chosen, _noise_texture(np.random.default_rng(100 * seed + number), number / 9)
        for number in range(8):
            yield "graphics", chosen, flat_shapes(random.Random(10 * seed + number))
            yield "page", chosen, ruled_paper(np.random.default_rng(10 * seed + number), scanned=number % 2 == 1)


def _noise_texture(rng: np.random.Generator, softness: float) -> Pixels:
    """Cloth, plaster or clouds: coloured noise from hard (softness 0) to soft (1).

    The amplitudes fall as a power of the frequency, like those of natural pictures, which fall as
    1/f (Field, "Relations between the statistics of natural images", 1987).
    """
    down, across = np.meshgrid(np.fft.fftfreq(SIDE), np.fft.fftfreq(SIDE), indexing="ij")
    stretch = np.exp(rng.uniform(-0.7, 0.7))
    frequency = np.maximum(np.hypot(down * stretch, across / stretch), 1 / SIDE)
    grain = np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIDE, SIDE))) * frequency ** -(0.4 + 1.4 * softness)).real
    grain = (grain - grain.mean()) / grain.std()
    base, tint = rng.uniform(70, 185, 3), rng.uniform(15, 45) * rng.uniform(0.7, 1.3, 3)
    texture: Pixels = np.clip(np.rint(base + grain[:, :, None] * tint), 0, 255).astype(np.uint8)
    return texture


def flat_shapes(rng: random.Random) -> Pixels:
    """Flat shapes over a soft gradient, as on a poster or in a user interface."""
    ramp = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None, None]
    top, bottom = (np.array([rng.randint(30, 225) for _ in range(3)], np.float32) for _ in range(2))
    image = Image.fromarray(np.broadcast_to(np.rint(top * (1 - ramp) + bottom * ramp), (SIDE, SIDE, 3)).astype(np.uint8))
    canvas = ImageDraw.Draw(image)
    for _ in range(7):
        x, y = rng.randint(-40, SIDE), rng.randint(-40, SIDE)
        shape = (x, y, x + rng.randint(40, 220), y + rng.randint(20, 160))
        colour = (rng.randint(0, 255), rng.randint(0, 255), rng.randint(0, 255))
        if rng.random() < 0.5:
            canvas.rounded_rectangle(shape, rng.randint(0, 20), fill=colour)
        else:
            canvas.ellipse(shape, fill=colour)
    return np.asarray(image)


def ruled_paper(rng: np.random.Generator, scanned: bool) -> Pixels:
    """Nearly white paper with ruled lines; a scan also has shading and grain."""
    page = np.full((SIDE, SIDE, 3), rng.integers(235, 253, 3), np.float32)
    for y in range(40, SIDE, 48):
        page[y, 20 : SIDE - 20] -= 60
    if scanned:
        across = np.linspace(-1, 1, SIDE, dtype=np.float32)
        page -= 18 * np.square(across)[None, :, None] + 12 * np.square(across)[:, None, None]
        page += rng.normal(0, 3, (SIDE, SIDE, 1)).astype(np.float32)
    return np.clip(np.rint(page), 0, 255).astype(np.uint8)


def _captions(rng: random.Random, number: int, bucket: str, words: tuple[str, ...]) -> list[Caption]:
    """The captions of one picture: styles follow in a fixed order, their details are random."""
    fonts = typefaces()
    names = list(fonts)

    def line(y: float, **style: object) -> Caption:
        font = fonts[names[rng.randrange(len(names))]]
        dark = bucket == "page"
        base: dict[str, object] = {
            "text": words[rng.randrange(len(words))],
            "font": font,
            "size": rng.randint(24, 46),
            "x": rng.uniform(0.42, 0.58),
            "y": y,
            "colour": (25, 25, 30) if dark else rng.choice(((255, 255, 255), (15, 15, 15), (250, 220, 60), (200, 30, 40))),
        }
        return Caption(**{**base, **style})  # type: ignore[arg-type]

    styles = (
        lambda: [line(0.3), line(0.72, size=rng.randint(18, 24))],
        lambda: [line(0.5, opacity=rng.uniform(0.35, 0.7), angle=rng.choice((-25.0, 20.0, 30.0)), size=52)],
        lambda: [line(0.25, outline=2), line(0.7, shadow=3)],
        lambda: [line(0.15 + 0.14 * row, size=20, x=0.5) for row in range(6)],
        lambda: [line(0.5, size=84, text=words[7])],
        lambda: [line(0.035, size=24), line(0.96, size=22)],
        lambda: [line(0.4, font=fonts["serif thin"], size=30), line(0.75, font=fonts["hand"], size=40)],
        lambda: [line(0.35, size=15, text=words[7]), line(0.65, size=18, text=words[4])],
    )
    return styles[number % len(styles)]()


def _draw_pictures() -> Iterator[SuitePicture]:
    counts: dict[str, int] = {}
    for bucket, chosen, clean in (background for background in backgrounds() for _ in range(VARIATIONS)):
        number = counts[chosen] = counts.get(chosen, -1) + 1
        rng = random.Random(f"{chosen} {number}")
        captions = _captions(rng, number, bucket, WORDS if chosen == "tune" else WORDS_LATER)
        picture, coverage = draw_all(clean, captions)
        texts = [polygon_around(draw(clean, caption)[1]) for caption in captions]
        extension = "jpg" if number % 4 == 3 else "png"
        file = f"{chosen}-{number:02d}-{bucket.replace(' ', '-')}.{extension}"
        prompt = f"the same {bucket}, without text"
        yield SuitePicture(Entry(file, chosen, bucket, prompt, texts), clean, picture, coverage)
