"""Draws text on pictures and returns which pixels the text touched, and how strongly."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from operators.rows.arrays import Pixels

Coverage = npt.NDArray[np.float32]
"""How much of each pixel the text replaced, 0..1, its outline and shadow included."""


@dataclass(frozen=True)
class Caption:
    """One line of text and its style: lengths in pixels, sRGB colours, angle in degrees
    anticlockwise.

    `x` and `y` place the middle of the line, as shares of the picture's sides.
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


def draw(clean: Pixels, caption: Caption) -> tuple[Pixels, Coverage]:
    """The picture (uint8 height x width x 3) with the caption on it, and the coverage."""
    height, width = clean.shape[:2]
    layer = _draw_layer(caption)
    canvas = Image.new("RGBA", (width, height), (*caption.colour, 0))
    canvas.paste(layer, (round(caption.x * width - layer.width / 2), round(caption.y * height - layer.height / 2)))
    pixels = np.asarray(canvas, np.float32)
    coverage = pixels[:, :, 3] / 255 * caption.opacity
    mixed = clean * (1 - coverage[:, :, None]) + pixels[:, :, :3] * coverage[:, :, None]
    return np.rint(mixed).astype(np.uint8), coverage.astype(np.float32)


def _draw_layer(caption: Caption) -> Image.Image:
    """The caption alone with straight alpha, cropped to what it covers."""
    font = ImageFont.truetype(caption.font, caption.size)
    left, top, right, bottom = font.getbbox(caption.text, stroke_width=caption.outline)
    margin = 2 + 3 * caption.shadow
    size = (round(right - left) + 2 * margin, round(bottom - top) + 2 * margin)
    x, y = margin - left, margin - top
    layer = Image.new("RGBA", size, (*caption.colour, 0))
    if caption.shadow:
        shade = Image.new("L", size, 0)
        ImageDraw.Draw(shade).text((x + caption.shadow, y + caption.shadow), caption.text, font=font, fill=200)
        shade = shade.filter(ImageFilter.GaussianBlur(caption.shadow / 2))
        layer = Image.new("RGBA", size, (0, 0, 0, 0))
        layer.putalpha(shade)
    face = Image.new("RGBA", size, (*(caption.outline_colour if caption.outline else caption.colour), 0))
    ImageDraw.Draw(face).text(
        (x, y),
        caption.text,
        font=font,
        fill=(*caption.colour, 255),
        stroke_width=caption.outline,
        stroke_fill=(*caption.outline_colour, 255),
    )
    layer.alpha_composite(face)
    return layer.rotate(caption.angle, Image.Resampling.BICUBIC, expand=True) if caption.angle else layer


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
