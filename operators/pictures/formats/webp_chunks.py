"""The chunks of which a WebP is made (RFC 9649), and newly coded pixels."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator

from PIL import Image

PIXELS = (b"VP8 ", b"VP8L", b"ALPH")
FRAME, HEAD = b"ANMF", 16
"""The chunk of an animation's frame, and the bytes in it before its own chunks."""
LOSSLESS_EFFORT = 50
"""Effort of lossless coding, which Pillow takes as `quality`.

Above this value files do not shrink further and coding takes three times as long.
"""


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of every chunk of a RIFF file."""
    yield from sub_chunks(data[12 : min(len(data), 8 + int.from_bytes(data[4:8], "little"))])


def sub_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of every chunk of a part of a file."""
    position = 0
    while position + 8 <= len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position : position + 4], data[position + 8 : position + 8 + size]
        position += 8 + size + size % 2


def assembled(parts: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A WebP that consists of the chunks."""
    body = b"WEBP" + b"".join(name + len(data).to_bytes(4, "little") + data + bytes(len(data) % 2) for name, data in parts)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def frames_of(data: bytes) -> list[bytes]:
    """The content of the chunk of every frame of an animation."""
    return [content for name, content in chunks(data) if name == FRAME and len(content) > HEAD]


def coded(image: Image.Image, lossless: bool, quality: int) -> bytes:
    """Pixels as a file by Pillow, without metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=lossless, exact=True, quality=quality, method=4)
    return buffer.getvalue()
