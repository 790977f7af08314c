"""The folder of a collection's marks: their files, `marks.yaml` and a page to look at."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from flows.reports.page import render_page
from operators.marks.collection import CollectionMark
from operators.marks.mark import Mark, write_mark
from operators.marks.mark_folder import SETTINGS, write_settings
from operators.marks.statistics import NATIVE, Statistics
from operators.rows.arrays import Pixels
from operators.storage import files as storage

PAGE = "marks.html"
"""The page of a folder of marks."""
SIDE = 360
"""Longer side in pixels of an example."""


def write_marks(
    out: str, source: str, statistics: Statistics, found: Sequence[CollectionMark], read: Callable[[str], Pixels | None]
) -> None:
    """Write each mark as a PNG with alpha, `marks.yaml` for `erase --mark`, and the page.

    `read` decodes the picture at an address, for examples. Raises Failure as the storage does.
    """
    for one in found:
        storage.write(storage.join(out, f"{one.mark.name}.png"), write_mark(one.mark))
    storage.write(storage.join(out, SETTINGS), write_settings([_entry(one) for one in found]).encode())
    rows = [_row(one, read) for one in found]
    page = render_page(
        "marks.html.j2", source=source, marks=rows, pictures=statistics.pictures, failures=sorted(statistics.failures.items())
    )
    storage.write(storage.join(out, PAGE), page.encode())


def _entry(one: CollectionMark) -> dict[str, Any]:
    search = one.mark.search
    size = {"scale": list(search.scale)} if search.width is None else {"width": list(search.width)}
    return {
        "file": f"{one.mark.name}.png",
        "zone": list(search.zone),
        **size,
        "opacity": list(search.opacity),
        "turn": search.turn,
    }


def _row(one: CollectionMark, read: Callable[[str], Pixels | None]) -> dict[str, Any]:
    mark = one.mark
    strong = mark.alpha > 0.5 * mark.alpha.max()
    red, green, blue = (round(float(value)) for value in np.median(mark.colour[strong], axis=0))
    pictures = [picture for uri in one.examples if (picture := read(uri)) is not None]
    return {
        "name": mark.name,
        "size": f"{mark.alpha.shape[1]} x {mark.alpha.shape[0]}",
        "opacity": mark.strongest,
        "colour": f"#{red:02x}{green:02x}{blue:02x}",
        "carriers": one.carriers,
        "looked_at": one.looked_at,
        "share": one.share,
        "copies": one.copies,
        "place": "always in the same size" if one.frame == NATIVE else "scaled with the picture's width",
        "zone": [f"{100 * value:.0f}" for value in mark.search.zone],
        "matte": _data_uri(_shown(mark)),
        "examples": [_data_uri(_small(picture)) for picture in pictures[:3]],
    }


def _shown(mark: Mark) -> Image.Image:
    """The matte as a grey picture, stretched to full contrast."""
    return Image.fromarray(np.rint(mark.alpha / max(float(mark.alpha.max()), 1e-6) * 255).astype(np.uint8))


def _small(picture: Pixels) -> Image.Image:
    image = Image.fromarray(picture)
    image.thumbnail((SIDE, SIDE))
    return image


def _data_uri(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
