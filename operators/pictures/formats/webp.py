"""WebP: every chunk of the source, unchanged and in order, around newly coded pixels (RFC 9649).

A lossless file stays lossless, including the colours under full transparency. A lossy one is
coded again as a whole, as finely as it was, see `operators.pictures.formats.vp8`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from operators.pictures.colour import Space, profile_to_apply
from operators.pictures.formats import vp8
from operators.pictures.formats.header import Header, load_pixels, orientation_of, pillow_header
from operators.pictures.picture import Edited, Picture, upright_size
from operators.rows.timing import timed

PIXELS = (b"VP8 ", b"VP8L", b"ALPH")
LOSSLESS_EFFORT = 50
"""Effort of lossless coding, which Pillow takes as `quality`.

Above this value files do not shrink further and coding takes three times as long.
"""


def header(data: memoryview | bytes) -> Header:
    """Read the header of a WebP file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels, and the number of frames.
    - Kept: Pillow's image, its pixels not decoded yet.
    - Errors: whatever Pillow raises.
    """
    return pillow_header(data, "WEBP")


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of a WebP file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in RGB or RGBA.
    - Kept: the ICC profile and the EXIF orientation.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    file = load_pixels(header.source)
    profile, note = profile_to_apply(file.info.get("icc_profile"), "rgb")
    orientation = orientation_of(file)
    size = upright_size(header.width, header.height, orientation)
    space = Space("rgb", profile=profile, alpha=file.mode == "RGBA")
    return Picture("WEBP", file.mode, np.asarray(file), space, orientation, size, note=note)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a WebP file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file, lossless if the source is. The pixels of a lossy one take at most 5%
      more bytes, if any quality can achieve that.
    - Kept: every other chunk, and what follows them; every unchanged sample if the file is
      lossless.
    - Errors: OSError or ValueError if Pillow cannot write the pixels.
    """
    parts = list(chunks(bytes(source)))
    image = Image.fromarray(edited.stored)

    def code(quality: int) -> tuple[bytes, bytes]:
        file = _saved(image, lossless=False, quality=quality)
        return file, frame_of(file)

    with timed("codec"):
        if is_lossless(source):
            new = _saved(image, lossless=True, quality=LOSSLESS_EFFORT)
        else:
            size = sum(len(data) for name, data in parts if name in PIXELS)
            new = vp8.coded_as_finely(frame_of(source), vp8.MOST_GROWTH * size, code)
    pixels = [chunk for chunk in chunks(new) if chunk[0] in PIXELS]
    result = []
    for name, data in parts:
        if name in PIXELS:
            result += pixels
            pixels = []
        else:
            result.append((name, data))
    return assembled(result) + bytes(source[8 + int.from_bytes(source[4:8], "little") :])


def _saved(image: Image.Image, lossless: bool, quality: int) -> bytes:
    """The pixels as a file by Pillow, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, exact=True, quality=quality, method=4)
    return buffer.getvalue()


def frame_of(source: memoryview | bytes) -> bytes:
    """The frame of a lossy file; empty for a lossless one."""
    return next((data for name, data in chunks(bytes(source)) if name == b"VP8 "), b"")


def assembled(parts: list[tuple[bytes, bytes]]) -> bytes:
    """A file that consists of the chunks."""
    body = b"WEBP" + b"".join(name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for name, data in parts)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def is_lossless(source: memoryview | bytes) -> bool:
    """Whether a file stores its pixels without loss.

    All chunks are searched, because the pixels may follow a profile of any length.
    """
    return any(name == b"VP8L" for name, _ in chunks(bytes(source)))


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of every chunk of a RIFF file."""
    position, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    while position + 8 <= end:
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2
