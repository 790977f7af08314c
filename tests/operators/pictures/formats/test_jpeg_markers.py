"""Marker segments of a JPEG and data after its end: kept, except thumbnails and their index."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import Image

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats.jpeg_markers import component_ids, end_of_image, frame_of, segments
from operators.pictures.picture import Edit


def jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **{"quality": 90, **options})
    return buffer.getvalue()


def edited(data: bytes, colour: tuple[int, int, int] = (20, 180, 40)) -> bytes:
    """The file with its upper half in one colour."""
    picture = decode(data, Limits())
    width, height = picture.size
    edit = Edit(0, 0, np.full((height // 2, width, 3), colour, np.uint8), np.ones((height // 2, width), np.float32))
    return encode(picture.edited([edit]), data)


def test_the_end_marker_of_a_thumbnail_is_not_the_end_of_the_file(photo: np.ndarray) -> None:
    inside = jpeg(photo[:32, :32])
    data = jpeg(photo[:64, :64], comment=inside)
    assert end_of_image(data) == len(data)
    assert end_of_image(data + inside) == len(data)
    frame = frame_of(data)
    assert frame is not None
    assert (frame.marker, frame.precision, frame.width, frame.height) == (0xC0, 8, 64, 64)
    assert component_ids(data) == b"\1\2\3"


def test_every_scan_is_a_segment(photo: np.ndarray) -> None:
    data = jpeg(photo[:64, :64], progressive=True)
    assert sum(marker == 0xDA for marker, _ in segments(data)) == data.count(b"\xff\xda") > 3
    assert end_of_image(data) == len(data)


def test_data_after_the_end_is_kept(photo: np.ndarray) -> None:
    data = jpeg(photo[:64, :64]) + b"a film, or a maker's own data \xff\xd9"
    result = edited(data)
    assert result.endswith(b"\xff\xd9a film, or a maker's own data \xff\xd9")
    assert np.abs(np.asarray(Image.open(io.BytesIO(result)))[:24].astype(int) - (20, 180, 40)).max() <= 3


def test_the_exif_thumbnail_of_a_file_shows_the_edit(photo: np.ndarray) -> None:
    thumbnail = jpeg(photo[::4, ::4])
    second = 8 + 2 + 12 + 4
    start = second + 2 + 24 + 4
    exif = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 1, 0, second)
    exif += struct.pack(">HHHIIHHIII", 2, 0x0201, 4, 1, start, 0x0202, 4, 1, len(thumbnail), 0) + thumbnail
    data = jpeg(photo, exif=b"Exif\0\0" + exif)
    result = edited(data)
    start = result.index(b"\xff\xd8", 4)
    rendered = np.asarray(Image.open(io.BytesIO(result[start:]))).astype(int)
    assert rendered.shape == (128, 128, 3)
    assert np.abs(rendered[:60] - (20, 180, 40)).mean() < 4
    assert result[: start - 40] == data[: start - 40]
    assert [offset for _, offset in segments(result)][:3] == [offset for _, offset in segments(data)][:3]
