"""Thumbnails inside metadata, drawn again in place after the picture they show was edited.

EXIF thumbnails (CIPA DC-008, 4.5.8), Photoshop's thumbnail resource (Adobe, *Photoshop File
Formats*, image resource 1036) and XMP's `xmp:Thumbnails` would go on showing erased content. Each
is replaced by a JPEG of the same width and height that shows the edited picture, at a quality
that fits into the bytes of the old one; the bytes that remain become zero. So no byte of the
metadata moves, and nothing else in it changes but the length of that JPEG. A thumbnail that
cannot be drawn again (not a JPEG, or damaged) is blanked, and the directory of an EXIF thumbnail
is unlinked.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
from collections.abc import Callable

from PIL import Image

from operators.pictures.formats.header import open_image
from operators.pictures.formats.tiff_directory import Directory, directory_at, first_directory
from operators.rows.arrays import Pixels

Draw = Callable[[int, int], Pixels]
"""Draws the edited picture: from width and height to uint8 sRGB pixels of that size."""

STRIP_OFFSETS, STRIP_LENGTHS, JPEG_OFFSET, JPEG_LENGTH = 0x0111, 0x0117, 0x0201, 0x0202
MOST_SIDE = 4096
"""A thumbnail with a longer side, in pixels, is not drawn."""
THUMBNAIL_RESOURCES = (1033, 1036)
XMP_IMAGE = re.compile(rb"(<xmpGImg:image>|xmpGImg:image=\")([^<\"]*)")
LINE_ENDS = re.compile(rb"&#x[Aa];|\s+")


def redrawn(old: bytes, draw: Draw) -> bytes | None:
    """A JPEG of the same size that shows the edited picture and is no longer than the old one.

    None if the old one is not a readable JPEG, is too large or is too short to replace.
    """
    try:
        thumbnail = open_image(old, "JPEG")
        if max(thumbnail.size) > MOST_SIDE:
            return None
        image = Image.fromarray(draw(*thumbnail.size)).convert("L" if thumbnail.mode == "L" else "RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    for quality in (90, 80, 65, 50, 30, 10, 1):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= len(old):
            return buffer.getvalue()
    return None


def exif_redrawn(exif: bytes, draw: Draw) -> bytes:
    """An EXIF structure of the same length whose thumbnail shows the edited picture.

    `exif` starts with its byte order mark. It is returned unchanged without a thumbnail or if it
    cannot be read.
    """
    try:
        main = first_directory(exif)
        if main.next_offset == 0:
            return exif
        thumbnail = directory_at(exif, main.next_offset, main.order)
        offset, length = thumbnail.number(JPEG_OFFSET, 0), thumbnail.number(JPEG_LENGTH, 0)
    except ValueError:
        return exif
    result = bytearray(exif)
    old = exif[offset : offset + length]
    new = redrawn(old, draw) if offset and len(old) == length else None
    if new is not None:
        result[offset : offset + length] = new.ljust(length, b"\0")
        entry = thumbnail.entries[JPEG_LENGTH]
        result[entry.offset : entry.offset + entry.size] = thumbnail.packed(JPEG_LENGTH, (len(new),))
        return bytes(result)
    for start, size in [(offset, length), *_strips(thumbnail)]:
        result[start : start + size] = bytes(len(result[start : start + size]))
    result[main.next_pointer : main.next_pointer + 4] = bytes(4)
    return bytes(result)


def _strips(thumbnail: Directory) -> list[tuple[int, int]]:
    """Offset and length of the strips of an uncompressed thumbnail; empty if they are damaged."""
    try:
        return list(zip(thumbnail.numbers(STRIP_OFFSETS), thumbnail.numbers(STRIP_LENGTHS), strict=False))
    except ValueError:
        return []


def photoshop_redrawn(resources: bytes, draw: Draw) -> bytes:
    """Photoshop's image resources of the same length with a thumbnail of the edited picture."""
    result, position = bytearray(resources), 0
    while resources[position : position + 4] == b"8BIM" and position + 12 <= len(resources):
        (number,) = struct.unpack(">H", resources[position + 4 : position + 6])
        position += 6 + (resources[position + 6] + 2) // 2 * 2
        if position + 4 > len(resources):
            break
        (size,) = struct.unpack(">I", resources[position : position + 4])
        if number in THUMBNAIL_RESOURCES and size > 28 and position + 4 + size <= len(resources):
            old = resources[position + 32 : position + 4 + size]
            new = redrawn(old, draw) or b""
            result[position + 24 : position + 28] = struct.pack(">I", len(new))
            result[position + 32 : position + 4 + size] = new.ljust(len(old), b"\0")
        position += 4 + (size + 1) // 2 * 2
    return bytes(result)


def xmp_redrawn(xmp: bytes, draw: Draw) -> bytes:
    """An XMP packet, or a file that contains one, of the same length with redrawn thumbnails."""

    def redraw(match: re.Match[bytes]) -> bytes:
        start, text = match.groups()
        try:
            old = base64.b64decode(LINE_ENDS.sub(b"", text), validate=True)
        except binascii.Error:
            old = b""
        new = base64.b64encode((redrawn(old, draw) or b"").ljust(len(old), b"\0"))
        return start + new[: len(text)].ljust(len(text), b" ")

    return XMP_IMAGE.sub(redraw, xmp)
