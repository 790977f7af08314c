"""Clean pictures of everyday places to write on: sky, walls, lights out of focus, products."""

from __future__ import annotations

import random

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from operators.rows.arrays import Pixels

Plane = npt.NDArray[np.floating]

Size = tuple[int, int]
"""Width and height in pixels."""

PHOTOGRAPHS = {
    "tune": ("astronaut", "coffee", "hubble_deep_field", "camera"),
    "report": ("chelsea", "rocket", "retina", "stereo_motorcycle"),
    "promise": ("moon", "logo", "cell", "clock"),
}
"""Set to the photographs of `skimage.data` that its everyday pictures show."""


def rounded(picture: Plane) -> Pixels:
    """The picture in whole grey levels, 0..255."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def numbers_of(rng: random.Random) -> np.random.Generator:
    """A generator of arrays that continues `rng`."""
    return np.random.default_rng(rng.getrandbits(32))


def ramp(length: int, start: float = 0.0, stop: float = 1.0) -> Plane:
    """Evenly spaced values."""
    return np.linspace(start, stop, length, dtype=np.float32)


def clouded(rng: np.random.Generator, size: Size, roughness: float, cell: int = 4) -> Plane:
    """Soft noise of mean 0 and deviation 1 whose amplitude falls as frequency to the power
    `-roughness`; nothing in it is smaller than about `cell` pixels.
    """
    width, height = (max(8, side // cell) for side in size)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None] * height / width, np.fft.fftfreq(width)[None, :])
    spectrum = np.fft.fft2(rng.normal(size=(height, width))) * np.maximum(frequency, 1 / width) ** -roughness
    grain = np.fft.ifft2(spectrum).real
    grain = (grain - grain.mean()) / grain.std()
    return np.asarray(cv2.resize(grain.astype(np.float32), size, interpolation=cv2.INTER_CUBIC))


def blended(first: tuple[int, ...], second: tuple[int, ...], share: Plane) -> Plane:
    """A mixture of two colours, `share` of the second."""
    weight = share[:, :, None]
    return np.asarray(np.array(first, np.float32) * (1 - weight) + np.array(second, np.float32) * weight)


def smooth_sky(rng: random.Random, size: Size) -> Pixels:
    """A sky from its zenith down to the haze, with or without thin clouds and a low skyline."""
    width, height = size
    zenith, haze = rng.choice(
        (((52, 110, 190), (196, 222, 242)), ((40, 52, 110), (246, 170, 120)), ((104, 152, 200), (232, 236, 236)),
         ((18, 24, 58), (92, 80, 128)), ((150, 168, 186), (214, 220, 224)), ((28, 120, 176), (150, 206, 226)))
    )  # fmt: skip
    down = np.broadcast_to(ramp(height)[:, None] ** rng.uniform(0.8, 1.5), (height, width))
    sky = blended(zenith, haze, np.ascontiguousarray(down))
    numbers = numbers_of(rng)
    if rng.random() < 0.6:
        cover = np.clip(clouded(numbers, size, 1.7, 8) * 0.5 - rng.uniform(-0.2, 0.5), 0, 0.8)
        sky = sky * (1 - cover[:, :, None]) + np.array([250, 248, 244], np.float32) * cover[:, :, None]
    if rng.random() < 0.5:
        hills = height * (0.9 + 0.05 * clouded(numbers, (width, 64), 1.6, 8)[20])
        land = np.clip(np.arange(height, dtype=np.float32)[:, None] - hills[None, :], 0, 1)[:, :, None]
        sky = sky * (1 - land) + np.array([52, 62, 54], np.float32) * land
    return rounded(sky + numbers.normal(0, 0.7, (height, width, 1)).astype(np.float32))


def plain_wall(rng: random.Random, size: Size) -> Pixels:
    """A painted or plastered wall in uneven light."""
    width, height = size
    base = rng.choice(((226, 220, 208), (198, 206, 204), (168, 186, 196), (208, 184, 160), (122, 136, 122), (236, 236, 232)))
    numbers = numbers_of(rng)
    x, y = ramp(width)[None, :], ramp(height)[:, None]
    lamp = np.exp(-(np.square(x - rng.uniform(0, 1)) + np.square(y - rng.uniform(-0.2, 0.5))) / rng.uniform(0.4, 1.2))
    light = 0.74 + 0.28 * lamp + 0.012 * clouded(numbers, size, 1.4, 8)
    if rng.random() < 0.35:
        edge = (x * rng.uniform(0.5, 1.2) + y - rng.uniform(0.6, 1.1)) * min(size)
        light = light * (0.92 - 0.08 * np.tanh(edge / rng.uniform(8, 28)))
    grain = cv2.GaussianBlur(numbers.normal(0, 1, (height, width)).astype(np.float32), (0, 0), rng.uniform(0.6, 1.4))
    wall = np.array(base, np.float32) * light[:, :, None] + (rng.uniform(1.0, 5.0) * grain)[:, :, None]
    return rounded(wall)


def bokeh(rng: random.Random, size: Size) -> Pixels:
    """Lights out of focus over a dark or warm background."""
    width, height = size
    dark, warm = rng.choice((((16, 18, 34), (58, 40, 60)), ((40, 26, 14), (120, 78, 40)), ((10, 36, 34), (40, 90, 70))))
    numbers = numbers_of(rng)
    picture = blended(dark, warm, np.clip(0.5 + 0.25 * clouded(numbers, size, 1.8, 8), 0, 1))
    hues = rng.choice((((255, 200, 120), (255, 150, 90), (255, 230, 190)), ((120, 190, 255), (220, 140, 255), (255, 220, 160))))
    radius = rng.uniform(0.035, 0.07) * min(size)
    for _ in range(rng.randint(22, 40)):
        disc = np.zeros((height, width), np.float32)
        middle, r = (rng.randrange(width), rng.randrange(height)), round(radius * rng.uniform(0.6, 1.6))
        cv2.circle(disc, middle, r, rng.uniform(0.15, 0.4), -1, cv2.LINE_AA)
        cv2.circle(disc, middle, r, rng.uniform(0.3, 0.5), 2, cv2.LINE_AA)
        low, high = max(0, middle[1] - r - 12), middle[1] + r + 12
        soft = cv2.GaussianBlur(disc[low:high], (0, 0), rng.uniform(1.2, 3))
        picture[low:high] += soft[:, :, None] * np.array(rng.choice(hues), np.float32)
    return rounded(picture + numbers.normal(0, 1.0, (height, width, 1)).astype(np.float32))


def studio_white(rng: random.Random, size: Size) -> Pixels:
    """A product in front of white paper: its shading, its highlight and its soft shadow."""
    width, height = size
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    white = rng.choice(((255, 255, 255), (248, 248, 250), (243, 241, 238)))
    falloff = np.square(x / width - 0.5) + np.square(y / height - 0.5)
    picture = np.array(white, np.float32) - (rng.uniform(0, 40) * falloff)[:, :, None]
    cx, cy, rx, ry = (
        rng.uniform(0.34, 0.66) * width,
        0.56 * height,
        rng.uniform(0.09, 0.16) * width,
        rng.uniform(0.16, 0.26) * height,
    )
    shadow = np.exp(-np.square((x - cx - rx * 0.25) / (1.25 * rx)) - np.square((y - cy - ry) / (0.13 * ry)))
    picture *= 1 - 0.45 * np.clip(shadow, 0, 1)[:, :, None]
    power = rng.choice((2.0, 8.0, 4.0))
    away = (np.abs((x - cx) / rx) ** power + np.abs((y - cy) / ry) ** power) ** (1 / power)
    body = np.clip((1 - away) * min(rx, ry), 0, 1)[:, :, None]
    across = (x - cx) / rx
    shade = 0.55 + 0.5 * np.sqrt(np.clip(1 - np.square(across + 0.25), 0, 1)) + 0.5 * np.exp(-np.square((across + 0.42) / 0.1))
    colour = rng.choice(((70, 110, 160), (190, 60, 50), (60, 130, 90), (200, 160, 80), (90, 90, 96), (228, 220, 210)))
    picture = picture * (1 - body) + np.array(colour, np.float32) * shade[:, :, None] * body
    return rounded(picture)


def photograph(rng: random.Random, size: Size, chosen: str, number: int) -> Pixels:
    """A part of one of the set's photographs, at most 1.4 times enlarged."""
    from skimage import data

    source = getattr(data, PHOTOGRAPHS[chosen][number % 4])()
    return view(source[0] if isinstance(source, tuple) else source, rng, size)


def view(source: Pixels, rng: random.Random, size: Size) -> Pixels:
    """A random part of a picture in another size."""
    rgb = source if source.ndim == 3 else np.repeat(source[:, :, None], 3, axis=2)
    height, width = rgb.shape[:2]
    share = min(width / size[0], height / size[1]) * rng.uniform(0.8, 1)
    across, down = int(size[0] * share), int(size[1] * share)
    x, y = rng.randint(0, width - across), rng.randint(0, height - down)
    part = np.ascontiguousarray(rgb[y : y + down, x : x + across, :3])
    return np.asarray(Image.fromarray(part).resize(size, Image.Resampling.LANCZOS))


def any_surface(rng: random.Random, size: Size, chosen: str, number: int) -> Pixels:
    """One of the surfaces and photographs, in turn."""
    if number % 2:
        return photograph(rng, size, chosen, number // 2)
    return (smooth_sky, plain_wall, bokeh, studio_white)[number // 2 % 4](rng, size)
