"""Small pictures inside metadata, drawn again in place once the picture they show is edited.

EXIF thumbnails (CIPA DC-008, 4.5.8), Photoshop's thumbnail resource (Adobe, *Photoshop File
Formats*, image resource 1036) and XMP's `xmp:Thumbnails` would go on showing what was erased.
Each is replaced by a JPEG of the same width and height, cut from the edited picture and coded
finely or coarsely enough to fit into the old one's bytes; what is left of them is zeros. So no
byte of the metadata moves, and nothing else in it changes but the length of that JPEG. A preview
that cannot be drawn again (not a JPEG, or damaged) is blanked, an EXIF thumbnail's directory
unlinked.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
from collections.abc import Callable

from PIL import Image

from operators.pictures.formats.tiff_directory import Directory, directory_at, first_directory
from operators.rows.arrays import Pixels

Draw = Callable[[int, int], Pixels]
"""Width and height to uint8 sRGB pixels of that size that show the edited picture."""

STRIP_OFFSETS, STRIP_LENGTHS, JPEG_OFFSET, JPEG_LENGTH = 0x0111, 0x0117, 0x0201, 0x0202
MOST_SIDE = 4096
THUMBNAIL_RESOURCES = (1033, 1036)
XMP_IMAGE = re.compile(rb"(<xmpGImg:image>|xmpGImg:image=\")([^<\"]*)")
LINE_ENDS = re.compile(rb"&#x[Aa];|\s+")


def redrawn(old: bytes, draw: Draw) -> bytes | None:
    """A JPEG of the old one's size showing the edited picture, no longer than the old one; None
    where there is no such.
    """
    try:
        shown = Image.open(io.BytesIO(old), formats=["JPEG"])
        if max(shown.size) > MOST_SIDE:
            return None
        image = Image.fromarray(draw(*shown.size)).convert("L" if shown.mode == "L" else "RGB")
    except (OSError, SyntaxError, ValueError):
        return None
    for quality in (90, 80, 65, 50, 30, 10, 1):
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= len(old):
            return buffer.getvalue()
    return None


def exif_redrawn(exif: bytes, draw: Draw) -> bytes:
    """An EXIF structure (from its byte order mark on) of the same length whose thumbnail shows
    the edited picture.
    """
    try:
        main = first_directory(exif)
        if main.next == 0:
            return exif
        thumbnail = directory_at(exif, main.next, main.order)
        at, length = thumbnail.number(JPEG_OFFSET, 0), thumbnail.number(JPEG_LENGTH, 0)
    except ValueError:
        return exif
    result = bytearray(exif)
    old = exif[at : at + length]
    new = redrawn(old, draw) if at and len(old) == length else None
    if new is not None:
        result[at : at + length] = new.ljust(length, b"\0")
        entry = thumbnail.entries[JPEG_LENGTH]
        result[entry.at : entry.at + entry.size] = thumbnail.packed(JPEG_LENGTH, (len(new),))
        return bytes(result)
    for start, size in [(at, length), *_strips(thumbnail)]:
        result[start : start + size] = bytes(len(result[start : start + size]))
    result[main.next_at : main.next_at + 4] = bytes(4)
    return bytes(result)


def _strips(thumbnail: Directory) -> list[tuple[int, int]]:
    """Where the pixels of an uncompressed thumbnail stand."""
    try:
        return list(zip(thumbnail.numbers(STRIP_OFFSETS), thumbnail.numbers(STRIP_LENGTHS), strict=False))
    except ValueError:
        return []


def photoshop_redrawn(resources: bytes, draw: Draw) -> bytes:
    """Photoshop's image resources, of the same length, with a thumbnail that shows the edited
    picture.
    """
    result, at = bytearray(resources), 0
    while resources[at : at + 4] == b"8BIM" and at + 12 <= len(resources):
        (number,) = struct.unpack(">H", resources[at + 4 : at + 6])
        at += 6 + (resources[at + 6] + 2) // 2 * 2
        if at + 4 > len(resources):
            break
        (size,) = struct.unpack(">I", resources[at : at + 4])
        if number in THUMBNAIL_RESOURCES and size > 28 and at + 4 + size <= len(resources):
            old = resources[at + 32 : at + 4 + size]
            new = redrawn(old, draw) or b""
            result[at + 24 : at + 28] = struct.pack(">I", len(new))
            result[at + 32 : at + 4 + size] = new.ljust(len(old), b"\0")
        at += 4 + (size + 1) // 2 * 2
    return bytes(result)


def xmp_redrawn(xmp: bytes, draw: Draw) -> bytes:
    """An XMP packet of the same length whose thumbnails show the edited picture."""

    def replaced(match: re.Match[bytes]) -> bytes:
        start, text = match.groups()
        try:
            old = base64.b64decode(LINE_ENDS.sub(b"", text), validate=True)
        except binascii.Error:
            old = b""
        new = base64.b64encode((redrawn(old, draw) or b"").ljust(len(old), b"\0"))
        return start + new[: len(text)].ljust(len(text), b" ")

    return XMP_IMAGE.sub(replaced, xmp)
