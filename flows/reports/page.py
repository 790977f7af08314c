"""Render HTML pages and thumbnails for all reports."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image, ImageOps

from operators.pictures.formats.header import open_image

TEMPLATES = Path(__file__).parent / "templates"
LOOK = Path(__file__).parents[1] / "web" / "static" / "look.css"
"""The look that all pages share; a report has it inside, because it is one file."""


def render_page(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """Render a template of `templates/` with these values, escaping text for HTML.

    `filters` are functions that the template calls by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters or {}
    environment.globals["look"] = lambda: Markup(LOOK.read_text())
    return environment.get_template(template).render(**values)


PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}
"""Pillow converts a mode with premultiplied alpha only to that without."""


def in_rgb(picture: Image.Image) -> Image.Image:
    """A picture of any mode as RGB."""
    straight = PREMULTIPLIED.get(picture.mode)
    return (picture.convert(straight) if straight else picture).convert("RGB")


def thumbnail(data: bytes, side: int) -> str:
    """A picture as `encode_thumbnail` makes it, as a data URI. Raises OSError as that does."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_thumbnail(data, side)).decode()


def encode_thumbnail(data: bytes, side: int) -> bytes:
    """Make an upright JPEG of a picture, at most `side` pixels on each side.

    `data` is the content of the picture's file. Raises OSError if it cannot be read or shown,
    whatever the reason: no picture may stand in the way of a report.
    """
    try:
        file = open_image(data)
        file.draft(None, (2 * side, 2 * side))
        picture = in_rgb(ImageOps.exif_transpose(file))
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85)
    except Exception as error:
        raise OSError(f"no thumbnail: {error}") from error
    return buffer.getvalue()
