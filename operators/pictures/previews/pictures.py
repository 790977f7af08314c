"""Pictures inside metadata, drawn again after the picture that they show was edited.

Each is replaced by one of the same format and size that shows the edited picture, at a quality
that fits into the bytes of the old one, so that no byte of the metadata moves.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from operators.pictures.formats.header import open_image
from operators.rows.arrays import Pixels

Draw = Callable[[int, int], Pixels]
"""Draws the edited picture: from width and height to uint8 sRGB pixels of that size."""

MOST_SIDE = 4096
"""A picture with a longer side, in pixels, is not drawn."""
ATTEMPTS: dict[str, tuple[dict[str, Any], ...]] = {
    "JPEG": tuple({"quality": quality, "optimize": True} for quality in (90, 80, 65, 50, 30, 10, 1)),
    "PNG": tuple({"colours": colours, "optimize": True} for colours in (None, 256, 64, 16, 4)),
    "WEBP": tuple({"quality": quality} for quality in (90, 70, 40, 10, 1)),
    "GIF": tuple({"colours": colours} for colours in (256, 64, 16, 4)),
}
"""How a picture of each format is written, best first, until it is short enough."""


def redrawn(old: bytes, draw: Draw) -> bytes | None:
    """A picture of the same format and size that shows the edited picture, no longer than `old`.

    None if the old one is in another format than those of ATTEMPTS or unreadable, is too large,
    or is too short to replace.
    """
    try:
        thumbnail = open_image(old, *ATTEMPTS)
        if max(thumbnail.size) > MOST_SIDE:
            return None
        image = Image.fromarray(draw(*thumbnail.size)).convert("L" if thumbnail.mode in ("1", "L") else "RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    for attempt in ATTEMPTS[str(thumbnail.format)]:
        options = dict(attempt)
        colours = options.pop("colours", None)
        buffer = io.BytesIO()
        (image if colours is None else image.quantize(colours)).save(buffer, str(thumbnail.format), **options)
        if buffer.tell() <= len(old):
            return buffer.getvalue()
    return None


def plain_rgb(width: int, height: int, draw: Draw) -> bytes:
    """The edited picture as uncompressed RGB of 8 bits."""
    return np.ascontiguousarray(draw(width, height)).tobytes()
