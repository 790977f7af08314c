"""Follow one picture through a flow, with an overlay of the row's data after every operator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageOps

from flows.flow import Flow
from operators.masks.alpha import lift_fill
from operators.masks.mask import BLEND, CORE, pasted
from operators.models.threads import use_one_thread
from operators.operator import Operator
from operators.pictures.formats.header import open_image
from operators.rows.arrays import Pixels
from operators.rows.schema import complete_rows
from operators.rows.table import Region, Row, row_views
from operators.rows.transparency import lay

FOUND, OPEN, ACCEPTED = (255, 190, 0), (230, 40, 60), (30, 170, 70)
"""Outline colours of detected text, of an open region, and of a region whose fill is accepted."""
WHITE = 255
VEIL = (255, 0, 90)
"""Colour of the area that a mask covers."""


@dataclass(frozen=True)
class Step:
    """The state of the picture after one operator."""

    operator: str
    milliseconds: float
    """Time that the operator took."""
    summary: str
    """The columns that it added and the regions by state; or the verdict or the failure."""
    picture: Image.Image
    """The picture as `draw_regions` draws it."""


def steps(flow: Flow, file: str | Path) -> Iterator[Step]:
    """Run the flow over the picture in `file` in this process, one step per operator.

    A file that cannot be decoded gives a single white pixel.
    """
    use_one_thread()
    row = index_row(Path(file))
    for operator in flow.operators:
        operator.open()
        row = operator.apply(row)
        (view,) = row_views(row)
        yield Step(operator.name, _milliseconds(view), _summary(operator, view), draw_regions(view))


def index_row(file: Path) -> pa.Table:
    """The complete row with which a flow starts on a local file."""
    columns = {"image_id": [file.name], "uri": [str(file)], "path": [file.name], "shard": pa.array([0], pa.int32())}
    return complete_rows(pa.table(columns))


def draw_regions(row: Row) -> Image.Image:
    """Draw a row's picture.

    A row with a verdict or a failure gives the picture as delivered. Any other row gives the
    source with text and regions outlined, masks tinted and fills in place.
    """
    encoded = row.data("encoded")
    frame = _decode(encoded if encoded is not None else row.data("bytes"))
    if row["verdict"] is not None or row["failure"] is not None:
        return Image.fromarray(frame)
    for region in row.regions:
        _paint_region(frame, region)
    picture = Image.fromarray(frame)
    outlines = ImageDraw.Draw(picture)
    for region in row.regions:
        _outline(outlines, region)
    return picture


def _decode(data: memoryview | None) -> Pixels:
    """A file's pixels (uint8 RGB, upright), transparent ones laid on white.

    A single white pixel if it cannot be decoded.
    """
    try:
        pixels = np.array(ImageOps.exif_transpose(open_image(data or b"")).convert("RGBA"))
        return lay(pixels[:, :, :3], pixels[:, :, 3], WHITE)
    except OSError:
        return np.full((1, 1, 3), 255, np.uint8)


def _paint_region(frame: Pixels, region: Region) -> None:
    """Paint a region's fill into the frame, or tint its mask if it has no fill yet."""
    box = region["crop"]
    if box is None:
        return
    crop = np.s_[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]]
    mask, fill, seen = region.array("mask", 4), region.fill(), region.transparency()
    if fill is not None:
        resized = cv2.resize(fill, (box["width"], box["height"]), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
        if seen is not None:
            resized = lay(*lift_fill(region.array("pixels", 3), resized, mask, seen), WHITE)
        frame[crop] = pasted(frame[crop], resized, mask[:, :, BLEND])
    else:
        opacity = np.maximum(mask[:, :, BLEND] // 2, (mask[:, :, CORE] > 0) * np.uint8(200))
        frame[crop] = pasted(frame[crop], np.full_like(frame[crop], VEIL), opacity)


def _outline(draw: ImageDraw.ImageDraw, region: Region) -> None:
    """Outline a region's crop, or its polygons if it has no crop yet."""
    if region["crop"] is None:
        for polygon in region["polygons"]:
            draw.polygon([tuple(corner) for corner in polygon], outline=FOUND, width=2)
        return
    box, colour = region["crop"], ACCEPTED if region["state"] in ("accepted", "erased") else OPEN
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
