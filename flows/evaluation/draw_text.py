"""Draws text on pictures and returns which pixels the text touched, and how strongly."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from operators.rows.arrays import Pixels

Coverage = npt.NDArray[np.float32]
"""How much of each pixel the text replaced, 0..1, its outline, shadow and glow included."""


@dataclass(frozen=True)
class Caption:
    """One line of text and its style: lengths in pixels, sRGB colours, angle in degrees
    anticlockwise.

    `x` and `y` place the middle of the line, as shares of the picture's sides. `glow` is the
    radius of the light around the letters. `arc` bends the line along a circle, of which it takes
    that many degrees: upwards in the middle if positive, downwards if negative. `vertical` stacks
    the letters.
    """

    text: str
    font: str
    size: int
    x: float = 0.5
    y: float = 0.5
    colour: tuple[int, int, int] = (255, 255, 255)
    opacity: float = 1.0
    outline: int = 0
    outline_colour: tuple[int, int, int] = (0, 0, 0)
    shadow: int = 0
    angle: float = 0.0
    glow: int = 0
    glow_colour: tuple[int, int, int] = (255, 255, 255)
    arc: float = 0.0
    vertical: bool = False
    underlined: bool = False


def draw(clean: Pixels, caption: Caption) -> tuple[Pixels, Coverage]:
    """The picture (uint8 height x width x 3) with the caption on it, and the coverage."""
    height, width = clean.shape[:2]
    layer = _draw_layer(caption)
    left, top = _corner(layer.size, caption, width, height)
    picture, coverage = clean.copy(), np.zeros((height, width), np.float32)
    seen = np.s_[max(0, top) : max(0, top + layer.height), max(0, left) : max(0, left + layer.width)]
    behind = clean[seen]
    if behind.size:
        pixels = np.asarray(layer, np.float32)[max(0, -top) :, max(0, -left) :][: behind.shape[0], : behind.shape[1]]
        weight = pixels[:, :, 3] / 255 * caption.opacity
        mixed = behind * (1 - weight[:, :, None]) + pixels[:, :, :3] * weight[:, :, None]
        picture[seen], coverage[seen] = np.rint(mixed).astype(np.uint8), weight
    return picture, coverage


def _corner(size: tuple[int, int], caption: Caption, width: int, height: int) -> tuple[int, int]:
    """The left upper corner of a caption's layer on a picture."""
    return round(caption.x * width - size[0] / 2), round(caption.y * height - size[1] / 2)


def extent(caption: Caption) -> tuple[int, int]:
    """Width and height in pixels of what a caption may cover."""
    return _draw_layer(caption).size


def _draw_layer(caption: Caption) -> Image.Image:
    """The caption alone with straight alpha, cropped to what it covers."""
    layer = _draw_upright(caption)
    if caption.arc:
        layer = _bent(layer, caption.arc)
    return layer.rotate(caption.angle, Image.Resampling.BICUBIC, expand=True) if caption.angle else layer


def _draw_upright(caption: Caption) -> Image.Image:
    font = ImageFont.truetype(caption.font, caption.size)
    text = "\n".join(caption.text) if caption.vertical else caption.text
    style = {"font": font, "spacing": 0, "align": "center"} if caption.vertical else {"font": font}
    measure = ImageDraw.Draw(Image.new("L", (1, 1)))
    left, top, right, bottom = measure.textbbox((0, 0), text, stroke_width=caption.outline, **style)
    rule, thickness = font.getmetrics()[0] + max(1, caption.size // 12), max(1, caption.size // 14)
    bottom = max(bottom, rule + thickness) if caption.underlined else bottom
    margin = 2 + 3 * max(caption.shadow, caption.glow)
    size = (round(right - left) + 2 * margin, round(bottom - top) + 2 * margin)
    x, y = margin - left, margin - top

    def write(on: Image.Image, at: int, **ink: Any) -> None:
        canvas = ImageDraw.Draw(on)
        canvas.text((x + at, y + at), text, **style, **ink)
        if caption.underlined:
            canvas.rectangle(
                (margin + at, y + at + rule, size[0] - margin + at, y + at + rule + thickness - 1), fill=ink["fill"]
            )

    layer = Image.new("RGBA", size, (*caption.colour, 0))
    if caption.glow or caption.shadow:
        layer = Image.new("RGBA", size, (*(caption.glow_colour if caption.glow else (0, 0, 0)), 0))
    if caption.glow:
        light = Image.new("L", size, 0)
        write(light, 0, fill=255, stroke_width=caption.glow // 2)
        layer.putalpha(light.filter(ImageFilter.GaussianBlur(caption.glow)))
    if caption.shadow:
        shade = Image.new("L", size, 0)
        write(shade, caption.shadow, fill=200)
        below = Image.new("RGBA", size, (0, 0, 0, 0))
        below.putalpha(shade.filter(ImageFilter.GaussianBlur(caption.shadow / 2)))
        layer.alpha_composite(below)
    face = Image.new("RGBA", size, (*(caption.outline_colour if caption.outline else caption.colour), 0))
    colours = {"fill": (*caption.colour, 255), "stroke_fill": (*caption.outline_colour, 255)}
    write(face, 0, stroke_width=caption.outline, **colours)
    layer.alpha_composite(face)
    return layer


def _ring(size: tuple[int, int], arc: float) -> tuple[float, float, float, float]:
    """Radius of the middle line, half the angle (radians), width and height of a bent layer."""
    half = math.radians(abs(arc)) / 2
    radius = size[0] / (2 * half)
    outer, inner = radius + size[1] / 2, radius - size[1] / 2
    across = 2 * outer * math.sin(min(half, math.pi / 2))
    return radius, half, across, outer - min(inner * math.cos(half), outer * math.cos(half))


def _bent(layer: Image.Image, arc: float) -> Image.Image:
    """The layer bent along a circle of which it takes `arc` degrees."""
    radius, half, across, down = _ring(layer.size, arc)
    rows, columns = np.mgrid[: math.ceil(down), : math.ceil(across)].astype(np.float32) + 0.5
    from_middle, from_centre = columns - across / 2, radius + layer.height / 2 - rows
    angle, distance = np.arctan2(from_middle, from_centre), np.hypot(from_middle, from_centre)
    x = layer.width / 2 + angle / half * layer.width / 2
    y = layer.height / 2 + radius - distance
    if arc < 0:
        x, y = x[::-1], layer.height - y[::-1]
    straight = np.asarray(layer, np.float32)
    weighted = np.dstack([straight[:, :, :3] * straight[:, :, 3:] / 255, straight[:, :, 3]])
    bent = cv2.remap(weighted, x - 0.5, y - 0.5, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    bent[:, :, :3] *= 255 / np.maximum(bent[:, :, 3:], 1e-3)
    return Image.fromarray(np.clip(np.rint(bent), 0, 255).astype(np.uint8))


def draw_all(clean: Pixels, captions: Iterable[Caption]) -> tuple[Pixels, Coverage]:
    """The picture with several captions, and the strongest coverage of each pixel."""
    picture, strongest = clean, np.zeros(clean.shape[:2], np.float32)
    for caption in captions:
        picture, coverage = draw(picture, caption)
        strongest = np.maximum(strongest, coverage)
    return picture, strongest


def polygon_around(coverage: Coverage) -> list[list[float]]:
    """The smallest rotated rectangle around what a caption covers: four corners in pixels."""
    points = cv2.findNonZero((coverage > 0.1).astype(np.uint8))
    return [[float(x), float(y)] for x, y in cv2.boxPoints(cv2.minAreaRect(points))]


def polygon_of(caption: Caption, coverage: Coverage) -> list[list[float]]:
    """The outline of a caption that covers `coverage`: a band along its circle if it is bent, else
    the smallest rotated rectangle.
    """
    if not caption.arc:
        return polygon_around(coverage)
    upright = _draw_upright(caption).size
    radius, half, across, down = _ring(upright, caption.arc)
    height, width = coverage.shape
    left, top = _corner((math.ceil(across), math.ceil(down)), caption, width, height)
    steps = np.linspace(-half, half, 13)
    edges = [(radius + upright[1] / 2, steps), (radius - upright[1] / 2, steps[::-1])]
    points = [(r * math.sin(t), radius + upright[1] / 2 - r * math.cos(t)) for r, angles in edges for t in angles]
    flip = caption.arc < 0
    return [[left + across / 2 + x, top + (math.ceil(down) - y if flip else y)] for x, y in points]
