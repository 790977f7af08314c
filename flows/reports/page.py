"""Pages: one template environment and one thumbnail for every report."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from PIL import Image, ImageOps

TEMPLATES = Path(__file__).parent / "templates"


def render_page(template: str, filters: Mapping[str, Callable[..., Any]] | None = None, **values: Any) -> str:
    """The page that a template of `templates/` makes of these values; text is escaped for HTML.

    `filters` are functions that the template uses by name.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters or {}
    return environment.get_template(template).render(**values)


def thumbnail(data: bytes, side: int) -> str:
    """A picture as a JPEG data URI, upright, at most `side` pixels a side. Raises OSError if it
    cannot be read.
    """
    file = Image.open(io.BytesIO(data))
    file.draft(None, (2 * side, 2 * side))
    picture = ImageOps.exif_transpose(file).convert("RGB")
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
