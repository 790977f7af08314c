"""A preview: what would go and what would stay in the first pictures of a source, as one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFont

from flows.flow import Flow
from flows.reports.page import render_page
from operators.ledger.index import index_rows
from operators.masks.mask import BLEND, pasted
from operators.models.threads import use_one_thread
from operators.pictures.codec import FRAME_CACHE, Limits
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.regions import KEPT
from operators.rows.schema import complete_rows
from operators.rows.table import Region, Row, row_views
from operators.storage.source_image import SourceImage

GOES, STAYS = (214, 40, 40), (20, 140, 90)
"""Colours of the outlines."""
SIDE = 1100
"""Longest side, in pixels, of a picture on the page."""
QUALITY = 85


@dataclass(frozen=True)
class Text:
    """One text on the page."""

    number: int
    goes: bool
    kind: str
    origin: str
    text: str
    rule: str
    reason: str


@dataclass(frozen=True)
class Sheet:
    """One picture on the page."""

    path: str
    size: str
    picture: str
    """A data URI; empty for a picture that cannot be shown."""
    failure: str
    texts: list[Text] = field(default_factory=list)

    @property
    def going(self) -> int:
        """How many texts go."""
        return sum(text.goes for text in self.texts)


def look_at(flow: Flow, images: Iterable[SourceImage], limits: Limits = Limits()) -> Iterator[Sheet]:
    """Work the images in this process, one by one, and draw what was found in them.

    `flow` finds and masks, and edits nothing. The columns of a manifest are columns of the row.
    """
    use_one_thread()
    for operator in flow.operators:
        operator.open()
    for image in images:
        table = complete_rows(index_rows([image], 0))
        for name, value in image.own.items():
            table = table.append_column(name, pa.array([value]))
        for operator in flow.operators:
            table = operator.apply(table)
        (row,) = row_views(table)
        yield _sheet(row, limits)


def render_preview(source: str, sheets: Sequence[Sheet]) -> str:
    """The page, as HTML."""
    going = sum(sheet.going for sheet in sheets)
    staying = sum(len(sheet.texts) for sheet in sheets) - going
    return render_page("preview.html.j2", source=source, sheets=sheets, going=going, staying=staying, colours=(GOES, STAYS))


def _sheet(row: Row, limits: Limits) -> Sheet:
    failure: dict[str, Any] | None = row["failure"]
    if failure is not None:
        return Sheet(row["path"], "", "", f"{failure['code']}: {failure['message']}")
    texts = [_text(number, region) for number, region in enumerate(row.regions, 1)]
    rgb = np.array(FRAME_CACHE.picture(row, limits).rgb())
    return Sheet(row["path"], f"{row['width']} x {row['height']}", _uri(_drawn(rgb, row.regions)), "", texts)


def _text(number: int, region: Region) -> Text:
    names = ("kind", "origin", "text", "rule", "reason")
    return Text(number, region["state"] != KEPT, **{name: region[name] or "" for name in names})


def _drawn(rgb: Pixels, regions: Sequence[Region]) -> Image.Image:
    """The picture with its masks tinted, and the outline and the number of each text."""
    for region in regions:
        if region["crop"] is not None:
            place = region.crop.inside(Box(0, 0, rgb.shape[1], rgb.shape[0]))
            veil = np.full_like(rgb[place], GOES)
            rgb[place] = pasted(rgb[place], veil, region.array("mask", 4)[:, :, BLEND] // 3 * 2)
    factor = min(1.0, SIDE / max(rgb.shape[:2]))
    if factor < 1:
        rgb = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    picture = Image.fromarray(rgb)
    canvas, font = ImageDraw.Draw(picture), ImageFont.load_default(13)
    for number, region in enumerate(regions, 1):
        colour = STAYS if region["state"] == KEPT else GOES
        for polygon in region["polygons"]:
            points = [(x * factor, y * factor) for x, y in polygon]
            canvas.polygon(points, outline=colour, width=2)
        corner = min(points, key=lambda point: point[1] + point[0])
        box = canvas.textbbox((corner[0], corner[1] - 16), str(number), font=font)
        canvas.rectangle((box[0] - 2, box[1] - 2, box[2] + 2, box[3] + 2), fill=colour)
        canvas.text((corner[0], corner[1] - 16), str(number), (255, 255, 255), font=font)
    return picture


def _uri(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
