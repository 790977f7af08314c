"""Pictures for the page: thumbnails that are made once, and files that a browser can show."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageOps

from flows.reports.delivered import delivered_uri
from flows.reports.page import encode_thumbnail, in_rgb
from operators.pictures.formats.header import open_image
from operators.rows.failure import Failure
from operators.rows.records import JsonObject
from operators.storage import files as storage
from operators.storage import source_image

SIDE = 320
"""Pixels of a thumbnail's longer side at most."""
SHOWN_AS_THEY_ARE = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif"}
"""The formats that every browser shows upright and in the right colours."""
BEFORE, AFTER = "before", "after"
MADE_AT_ONCE = 2


class Thumbnails:
    """The thumbnails of a run, kept under DEST/review/thumbnails."""

    def __init__(self, dest: str) -> None:
        self._dest = dest
        self._folder = storage.join(dest, "review", "thumbnails")
        self._slots = threading.Semaphore(MADE_AT_ONCE)

    def read(self, row: JsonObject) -> bytes:
        """A JPEG of the delivered picture, or of the source if nothing was delivered.

        It is made again if the delivered file changes. Raises Failure, and OSError for a picture
        that cannot be shown.
        """
        version = (row["output_sha256"] or row["source_sha256"] or "none")[:12]
        uri = storage.join(self._folder, row["image_id"][:2], f"{row['image_id']}-{version}.jpg")
        try:
            return storage.read(uri)
        except Failure as failure:
            if failure.code != "key_missing":
                raise
        with self._slots:
            data = encode_thumbnail(read_side(row, AFTER, self._dest), SIDE)
        storage.write(uri, data)
        return data


def read_side(row: Mapping[str, Any], side: str, dest: str) -> bytes:
    """The file before or after the edit; the source if nothing was delivered. Raises Failure."""
    result = delivered_uri(row, dest) if side == AFTER else None
    return source_image.read(row["uri"]) if result is None else storage.read(result)


def shown(row: JsonObject, side: str, dest: str) -> tuple[bytes, str]:
    """A picture before or after the edit, and its media type, for a browser.

    What browsers do not show is converted to PNG, upright. Raises Failure, and OSError for a
    picture that cannot be shown.
    """
    data = read_side(row, side, dest)
    try:
        picture: Any = open_image(data)
        media = SHOWN_AS_THEY_ARE.get(picture.format)
        if media is not None and picture.mode != "CMYK":
            return data, media
        return encode_png(in_rgb(ImageOps.exif_transpose(picture))), "image/png"
    except Exception as error:
        raise OSError(f"cannot be shown: {error}") from error


def encode_png(picture: Image.Image) -> bytes:
    """A picture as PNG, fast rather than small."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
