"""Render HTML pages and thumbnails for all reports."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from PIL import ImageOps

from operators.pictures.formats.header import open_image

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """Render a template of `templates/` with these values, escaping text for HTML.

    `filters` are functions that the template calls by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters or {}
    return environment.get_template(template).render(**values)


def thumbnail(data: bytes, side: int) -> str:
    """Make an upright JPEG data URI of a picture, at most `side` pixels on each side.

    `data` is the content of the picture's file. Raises OSError if it cannot be read.
    """
    file = open_image(data)
    file.draft(None, (2 * side, 2 * side))
    picture = ImageOps.exif_transpose(file).convert("RGB")
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
