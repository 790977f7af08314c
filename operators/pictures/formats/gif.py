"""GIF: the source's blocks byte for byte, around newly compressed pixels (CompuServe GIF89a).

The palette keeps its length; entries that no pixel uses may take new colours, see
`operators.pictures.formats.palette`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from operators.pictures.colour import Space
from operators.pictures.formats import palette
from operators.pictures.formats.header import Header, loaded, opened
from operators.pictures.formats.thumbnails import xmp_redrawn
from operators.pictures.picture import Edited, Picture
from operators.rows.timing import timed

EXTENSION, DESCRIPTOR, TABLE_FLAG, INTERLACED = 0x21, 0x2C, 0x80, 0x40
LEAST_INTERLACED = 16
"""Pillow's encoder interlaces no picture with a side below this."""


@dataclass(frozen=True)
class Frame:
    """Where the only frame of a file stands: its descriptor, its colours, its compressed pixels
    and what follows them.
    """

    descriptor: int
    table: int
    table_bits: int
    pixels: int
    end: int


def header(data: memoryview | bytes) -> Header:
    """A file's header. Raises what Pillow raises."""
    return opened(data, "GIF")


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """The whole picture. Raises Failure as `loaded` does."""
    file = loaded(header.source)
    indexed = palette.of(file.convert("P") if file.mode == "L" else file)
    return Picture("GIF", "P", palette.looked_up(indexed), Space("rgb"), 1, (header.width, header.height), indexed)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """The source with the edited pixels in place of its own. Raises ValueError."""
    content, before = bytes(source), edited.picture.indexed
    assert before is not None
    frame = _frame(content)
    found = palette.refitted(before, edited, reserved=(content[11],))
    assert found is not None
    result = bytearray(content[: frame.pixels])
    for number in np.flatnonzero((found.entries != before.entries).any(axis=1)).tolist():
        result[frame.table + 3 * number : frame.table + 3 * number + 3] = found.entries[number, :3].tobytes()
    height, width = found.indices.shape
    interlaced = bool(content[frame.descriptor + 9] & INTERLACED) and min(width, height) >= LEAST_INTERLACED
    result[frame.descriptor + 1 : frame.descriptor + 9] = struct.pack("<4H", 0, 0, width, height)
    result[frame.descriptor + 9] = content[frame.descriptor + 9] & ~INTERLACED | INTERLACED * interlaced
    bits = max(2, frame.table_bits)
    with timed("codec"):
        pixels = Image.fromarray(found.indices).tobytes("gif", "L", bits, int(interlaced))
    rest = xmp_redrawn(content[frame.end :], edited.preview)
    return xmp_redrawn(bytes(result), edited.preview) + bytes([bits]) + pixels + b"\0" + rest


def _frame(data: bytes) -> Frame:
    """The first frame. Raises ValueError for a file without one."""
    table, bits = 13, (data[10] & 7) + 1
    position = 13 + (3 << bits if data[10] & TABLE_FLAG else 0)
    while position + 10 < len(data) and data[position] == EXTENSION:
        position = _behind(data, position + 2)
    if position + 10 >= len(data) or data[position] != DESCRIPTOR:
        raise ValueError("no frame")
    pixels, packed = position + 10, data[position + 9]
    if packed & TABLE_FLAG:
        table, bits = pixels, (packed & 7) + 1
        pixels += 3 << bits
    return Frame(position, table, bits, pixels, _behind(data, pixels + 1))


def _behind(data: bytes, position: int) -> int:
    """The offset behind a chain of sub-blocks."""
    while position < len(data) and data[position]:
        position += 1 + data[position]
    return position + 1
