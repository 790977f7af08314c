"""One picture on its way through a flow, with what is known of it after every operator laid over
it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageOps

from flows.flow import Flow
from operators.masks.mask import BLEND, CORE, pasted
from operators.models.threads import use_one_thread
from operators.operator import Operator
from operators.rows.arrays import Pixels
from operators.rows.schema import complete
from operators.rows.table import Region, Row, row_views

FOUND, OPEN, ACCEPTED = (255, 190, 0), (230, 40, 60), (30, 170, 70)
"""Colours of a text that was found, of a region that is open, and of one whose fill was accepted.
"""
VEIL = (255, 0, 90)
"""Colour of what a mask covers."""


@dataclass(frozen=True)
class Step:
    """What one operator has made of the picture."""

    operator: str
    milliseconds: float
    summary: str
    picture: Image.Image


def steps(flow: Flow, file: str | Path) -> Iterator[Step]:
    """The picture in `file` after every operator of the flow, in this process. What cannot be
    read is blank.
    """
    use_one_thread()
    row = index_row(Path(file))
    for operator in flow.operators:
        operator.open()
        row = operator.apply(row)
        (view,) = row_views(row)
        yield Step(operator.name, _milliseconds(view), _summary(operator, view), draw_regions(view))


def index_row(file: Path) -> pa.Table:
    """The row with which a flow starts on a file of this machine."""
    columns = {"image_id": [file.name], "uri": [str(file)], "path": [file.name], "shard": pa.array([0], pa.int32())}
    return complete(pa.table(columns))


def draw_regions(row: Row) -> Image.Image:
    """A row's picture as delivered, or else its source with its texts outlined, its masks veiled
    and its fills in place.
    """
    encoded = row.data("encoded")
    frame = _frame(encoded if encoded is not None else row.data("bytes"))
    if row["verdict"] is not None or row["failure"] is not None:
        return Image.fromarray(frame)
    for region in row.regions:
        _lay_over(frame, region)
    picture = Image.fromarray(frame)
    outlines = ImageDraw.Draw(picture)
    for region in row.regions:
        _outline(outlines, region)
    return picture


def _frame(data: memoryview | None) -> Pixels:
    """A file's pixels (uint8 sRGB, upright); a single white one where there are none."""
    try:
        return np.array(ImageOps.exif_transpose(Image.open(io.BytesIO(bytes(data or b"")))).convert("RGB"))
    except OSError:
        return np.full((1, 1, 3), 255, np.uint8)


def _lay_over(frame: Pixels, region: Region) -> None:
    box = region["crop"]
    if box is None:
        return
    place = np.s_[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]]
    mask, fill = region.array("mask", 4), region.fill()
    if fill is not None:
        fitted = cv2.resize(fill, (box["width"], box["height"]), interpolation=cv2.INTER_CUBIC)
        frame[place] = pasted(frame[place], fitted.astype(np.uint8), mask[:, :, BLEND])
    else:
        veil = np.maximum(mask[:, :, BLEND] // 2, (mask[:, :, CORE] > 0) * np.uint8(200))
        frame[place] = pasted(frame[place], np.full_like(frame[place], VEIL), veil)


def _outline(draw: ImageDraw.ImageDraw, region: Region) -> None:
    if region["crop"] is None:
        for polygon in region["polygons"]:
            draw.polygon([tuple(corner) for corner in polygon], outline=FOUND, width=2)
        return
    box, colour = region["crop"], ACCEPTED if region["state"] == "accepted" else OPEN
    draw.rectangle((box["x"], box["y"], box["x"] + box["width"] - 1, box["y"] + box["height"] - 1), outline=colour, width=2)


def _milliseconds(row: Row) -> float:
    return float(row["timings"][-1]["total"]) if row["timings"] else 0.0


def _summary(operator: Operator, row: Row) -> str:
    if row["failure"] is not None:
        return f"{row['failure']['code']}: {row['failure']['message']}"
    if row["verdict"] is not None:
        return str(row["verdict"])
    states = [region["state"] or "found" for region in row.regions]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    added = ", ".join(dict.fromkeys(name.removeprefix("regions.") for name in operator.adds))
    return f"adds {added}" + (f" | regions: {counts}" if counts else "")
