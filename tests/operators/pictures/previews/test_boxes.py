"""EXIF and XMP in files of boxes hold no old picture after an edit."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from operators.pictures.codec import Limits, decode, encode_with_notes
from operators.pictures.formats import jpeg_xl
from operators.pictures.picture import Edit
from operators.pictures.previews.boxes import EXIF_BOXES


def thumbnail() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


OLD = thumbnail()


def exif() -> bytes:
    """EXIF whose second directory is a thumbnail."""
    first = struct.pack("<2sHIHHHI4sI", b"II", 42, 8, 1, 0x0112, 3, 1, b"\1\0\0\0", 26)
    entries = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(OLD), 0)
    return first + entries + OLD


XMP = b"<x:xmpmeta><xmpGImg:image>" + base64.b64encode(OLD) + b"</xmpGImg:image></x:xmpmeta>"


def by_pillow(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, exif=b"Exif\0\0" + exif(), xmp=XMP)
    return buffer.getvalue()


def heic(picture: Image.Image) -> bytes:
    buffer, file = io.BytesIO(), pillow_heif.from_pillow(picture)
    file.info.update({"exif": b"Exif\0\0" + exif(), "xmp": XMP})
    file.save(buffer)
    return buffer.getvalue()


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def of_boxes(picture: Image.Image, packed: bool) -> bytes:
    stream = bytes(imagecodecs.jpegxl_encode(np.asarray(picture), lossless=True))
    metadata = [(b"Exif", b"\0\0\0\0" + exif()), (b"xml ", XMP)]
    if packed:
        metadata = [(b"brob", name + bytes(imagecodecs.brotli_encode(content))) for name, content in metadata]
    head = jpeg_xl.CONTAINER + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return head + b"".join(box(*part) for part in metadata) + box(b"jxlc", stream)


def jpeg2000(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG2000")
    return buffer.getvalue() + box(b"uuid", EXIF_BOXES[0] + exif()) + box(b"xml ", XMP)


FILES: dict[str, Callable[[Image.Image], bytes]] = {
    "AVIF": lambda picture: by_pillow(picture, "AVIF"),
    "HEIC": heic,
    "JPEG XL": lambda picture: of_boxes(picture, False),
    "JPEG XL, packed": lambda picture: of_boxes(picture, True),
    "JPEG XL of a JPEG": lambda picture: bytes(imagecodecs.jpegxl_encode_jpeg(by_pillow(picture, "JPEG"))),
    "JPEG 2000": jpeg2000,
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("policy", ["redraw", "drop", "keep"])
def test_no_old_picture_is_left_in_the_metadata(name: str, policy: str, photo: np.ndarray) -> None:
    data = FILES[name](Image.fromarray(photo[:120, :160]))
    edit = Edit(8, 8, np.full((48, 64, 3), (250, 5, 10), np.uint8), np.ones((48, 64), np.float32))
    edited = decode(data, Limits()).edited([edit])
    result, notes = encode_with_notes(edited, data, policy)
    for old in (OLD, base64.b64encode(OLD)):
        assert (old in _unpacked(result)) == (policy == "keep" and old in _unpacked(data))
    assert bool([note for note in notes if note.startswith("preview_dropped")]) == (policy == "drop")


def _unpacked(data: bytes) -> bytes:
    """A file with the JPEG that it was made of, if it was."""
    return data + (jpeg_xl.jpeg_of(data) if data.startswith(jpeg_xl.CONTAINER) and jpeg_xl.is_jpeg(data) else b"")
