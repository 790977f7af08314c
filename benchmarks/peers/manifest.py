"""The manifest that every contender cleans: pictures of 0.2 to 12 megapixels, JPEG and PNG, one
in five without text.

The backgrounds are photographs that packages ship, mirrored and resampled to size, with grain
added because resampling removes it. The text is rendered, so its masks are known; contenders that
find no text themselves get these masks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from flows.evaluation.captions import typefaces
from flows.evaluation.draw_text import Caption, draw_all
from flows.evaluation.words import WORDS
from operators.masks.mask import dilated
from operators.rows.arrays import Pixels

SMALLEST, LARGEST = 0.2, 12.0
"""Megapixels."""
TOWARDS_SMALL = 1.5
"""How strongly sizes lean towards small pictures; 1 would spread them evenly on a logarithmic
scale.
"""
WITHOUT_TEXT = 5
"""One picture in this many has no text."""
PNG_EVERY = 3
GRAIN = 2.0
"""Standard deviation in grey levels."""
MASK_GROWTH = 4
"""Pixels by which a given mask is larger than the strokes."""


@dataclass(frozen=True)
class Manifest:
    """A folder of `images` and a folder of `masks` with the same stems; masks are black outside
    the text.
    """

    folder: Path

    @property
    def images(self) -> Path:
        """The folder of the pictures to clean."""
        return self.folder / "images"

    @property
    def masks(self) -> Path:
        """The folder of the masks, for contenders that find no text themselves."""
        return self.folder / "masks"

    @property
    def paths(self) -> list[Path]:
        """The pictures by name, an order independent of their sizes and formats."""
        return sorted(self.images.iterdir())


def draw_manifest(folder: Path, count: int) -> Manifest:
    """Draw `count` pictures into a folder, identical to the pixel every time."""
    manifest = Manifest(folder)
    manifest.images.mkdir(parents=True)
    manifest.masks.mkdir()
    photographs = list(_photographs())
    for number in range(count):
        rng = random.Random(number)
        width, height = size_of(number, count, rng.choice((4 / 3, 3 / 2, 1.0, 3 / 4)))
        clean = _resized(photographs[number % len(photographs)], width, height, number)
        captions = [] if number % WITHOUT_TEXT == 2 else list(_captions(rng, min(width, height)))
        picture, coverage = draw_all(clean, captions)
        name = f"{number:04d}.{'png' if number % PNG_EVERY == 1 else 'jpg'}"
        Image.fromarray(picture).save(manifest.images / name, quality=90)
        mask = dilated((coverage > 0).astype(np.uint8) * 255, MASK_GROWTH)
        Image.fromarray(mask).save((manifest.masks / name).with_suffix(".png"))
    return manifest


def size_of(number: int, count: int, shape: float) -> tuple[int, int]:
    """Width and height of a picture; the manifest's sizes are shuffled and include SMALLEST and
    LARGEST.
    """
    order = random.Random(count).sample(range(count), count)
    megapixels = SMALLEST * (LARGEST / SMALLEST) ** ((order[number] / max(1, count - 1)) ** TOWARDS_SMALL)
    height = (megapixels * 1e6 / shape) ** 0.5
    return round(height * shape), round(height)


def _photographs() -> Iterator[Pixels]:
    from skimage import data

    pictures = (
        data.astronaut(),
        data.coffee(),
        data.chelsea(),
        data.rocket(),
        data.stereo_motorcycle()[0],
        data.hubble_deep_field(),
        data.brick(),
        data.grass(),
    )
    for picture in pictures:
        yield picture[:, :, :3] if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)


def _resized(photograph: Pixels, width: int, height: int, seed: int) -> Pixels:
    """A photograph mirrored at its edges to the shape, resampled to the size, grain added."""
    down, across = photograph.shape[:2]
    scale = max(1.0, (width * height / (2.0 * down * across)) ** 0.5)
    rows, columns = round(height / scale), round(width / scale)
    tiled = np.pad(photograph, ((0, max(0, rows - down)), (0, max(0, columns - across)), (0, 0)), mode="symmetric")
    view = np.ascontiguousarray(tiled[:rows, :columns])
    larger = cv2.resize(view, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    larger += np.random.default_rng(seed).normal(0, GRAIN, (height, width, 1)).astype(np.float32)
    return np.clip(np.rint(larger), 0, 255).astype(np.uint8)


def _captions(rng: random.Random, side: int) -> Iterator[Caption]:
    """One to three lines of text, their letters 3 to 7 % of the shorter side high."""
    fonts = list(typefaces().values())
    for row in range(rng.randint(1, 3)):
        yield Caption(
            rng.choice(WORDS),
            rng.choice(fonts),
            round(side * rng.uniform(0.04, 0.09)),
            rng.uniform(0.35, 0.65),
            0.18 + 0.3 * row,
            rng.choice(((255, 255, 255), (250, 220, 60), (15, 15, 15))),
            outline=max(1, side // 500),
        )
