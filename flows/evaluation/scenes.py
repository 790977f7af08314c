"""Clean square pictures to draw text on: photographs that packages ship, textures and graphics."""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
from PIL import Image, ImageDraw

from flows.evaluation.suite import SETS
from operators.rows.arrays import Pixels

SIDE = 384
"""Side of the square pictures in pixels."""


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
    """Bucket, set and clean picture of the square backgrounds; no picture is in two sets."""
    from skimage import data

    photographs = {
        "tune": (data.astronaut(), data.coffee(), data.camera(), data.hubble_deep_field()),
        "report": (data.chelsea(), data.rocket(), data.stereo_motorcycle()[0], data.retina()),
        "promise": (data.logo(), data.moon(), data.cell(), data.clock()),
    }
    textures = {
        "tune": (data.brick(), data.immunohistochemistry()),
        "report": (data.grass(), data.gravel()),
        "promise": (),
    }
    corners = ((0.2, 0.1), (0.9, 0.8), (0.1, 0.9), (0.6, 0.4))
    for seed, chosen in enumerate(SETS, 1):
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
