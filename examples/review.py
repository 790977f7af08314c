"""Look at a thousand edits of a run, the doubtful ones first, on one page.

python examples/review.py DEST review.html

The page shows each edit before and after, cut out around the text. The pictures are those of the
run: the source and the delivered file of each row of the ledger.
"""

from __future__ import annotations

import base64
import heapq
import html
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from operators.ledger import ledger
from operators.storage import files as storage
from operators.storage import source_image

MOST = 1000
"""Edits on the page."""
MARGIN = 24
"""Pixels around a text that are shown as well."""

Edit = tuple[float, str, dict[str, Any], dict[str, Any]]
"""How near an edit came to being refused, its place, the row, and the region."""


def edits(dest: str) -> Iterator[Edit]:
    """Every erased text of a run, shard by shard, so that memory does not grow with the run."""
    for table in ledger.shard_rows(dest):
        for row in table.to_pylist():
            for number, region in enumerate(row["regions"] or ()):
                if region["state"] == "erased":
                    used = [check["value"] / check["limit"] for check in region["checks"] or () if check["limit"]]
                    yield max(used, default=0.0), f"{row['path']} {number}", row, region


def cut_out(data: bytes, region: dict[str, Any]) -> str:
    """The surroundings of a region as an `img` element."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB")
    points = [point for polygon in region["polygons"] for point in polygon]
    left, top = (max(0, int(min(values)) - MARGIN) for values in zip(*points, strict=True))
    right, bottom = (int(max(values)) + MARGIN for values in zip(*points, strict=True))
    part = picture.crop((left, top, min(right, picture.width), min(bottom, picture.height)))
    buffer = io.BytesIO()
    part.save(buffer, "JPEG", quality=90)
    return f'<img src="data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def page(dest: str) -> str:
    """The page of the edits of a run that came nearest to being refused."""
    figures = []
    for used, place, row, region in heapq.nlargest(MOST, edits(dest), key=lambda edit: edit[:2]):
        before = cut_out(source_image.read(row["uri"], row["etag"]), region)
        after = cut_out(storage.read(row["output_uri"]), region)
        figures.append(f"<figure>{before} {after}<figcaption>{html.escape(place)}: {used:.0%} of a limit</figcaption></figure>")
    return f"<!doctype html><meta charset=utf-8><title>Review</title><h1>{len(figures)} edits</h1>{''.join(figures)}"


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(page(sys.argv[1]))
