"""WebP: every chunk of the source byte for byte and in order, around newly coded pixels (RFC
9649).

A lossless file stays lossless, its hidden colours included. A lossy one is coded again as a
whole: VP8 has no coefficients of its own to keep apart from their neighbours, every block being
predicted from the ones before it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from operators.pictures.colour import Space, followed
from operators.pictures.formats.header import Header, loaded, opened, orientation_of
from operators.pictures.formats.thumbnails import exif_redrawn, xmp_redrawn
from operators.pictures.picture import Edited, Picture, upright_size
from operators.rows.timing import timed

PIXELS = (b"VP8 ", b"VP8L", b"ALPH")
LOSSY_QUALITY = 92
LOSSLESS_EFFORT = 50
"""Pillow takes the effort for a quality; above this, a lossless file grows no smaller and takes
three times as long.
"""
JPEG_PREFIX = b"Exif\0\0"
"""What some writers put before the EXIF structure, as JPEG has it."""


def header(data: memoryview | bytes) -> Header:
    """A file's header. Raises what Pillow raises."""
    return opened(data, "WEBP")


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """The whole picture. Raises Failure as `loaded` does."""
    file = loaded(header.source)
    profile, note = followed(file.info.get("icc_profile"), "rgb")
    orientation = orientation_of(file)
    size = upright_size(header.width, header.height, orientation)
    return Picture("WEBP", file.mode, np.asarray(file), Space("rgb", profile=profile), orientation, size, note=note)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """The source with the edited pixels in place of its own."""
    parts = list(_chunks(bytes(source)))
    lossless = is_lossless(source)
    with timed("codec"):
        buffer = io.BytesIO()
        quality = LOSSLESS_EFFORT if lossless else LOSSY_QUALITY
        Image.fromarray(edited.stored).save(buffer, "WEBP", lossless=lossless, exact=True, quality=quality, method=4)
    pixels = [chunk for chunk in _chunks(buffer.getvalue()) if chunk[0] in PIXELS]
    result = []
    for name, data in parts:
        if name in PIXELS:
            result += pixels
            pixels = []
        elif name == b"EXIF":
            start = len(JPEG_PREFIX) if data.startswith(JPEG_PREFIX) else 0
            result.append((name, data[:start] + exif_redrawn(data[start:], edited.preview)))
        else:
            result.append((name, xmp_redrawn(data, edited.preview) if name == b"XMP " else data))
    body = b"WEBP" + b"".join(name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for name, data in result)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def is_lossless(source: memoryview | bytes) -> bool:
    """Whether the file keeps its pixels without loss; they may stand behind a profile of any
    length.
    """
    return any(name == b"VP8L" for name, _ in _chunks(bytes(source)))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of every chunk of a RIFF file."""
    position = 12
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
