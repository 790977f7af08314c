"""GIF: the blocks of the source, unchanged, around newly compressed pixels (CompuServe GIF89a).

The palette keeps its length; entries that no pixel uses may take new colours, see
`operators.pictures.formats.palette`. Animations are in `operators.pictures.formats.animated_gif`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from PIL import Image

from operators.pictures.colour import Space
from operators.pictures.formats import animated_gif, palette
from operators.pictures.formats.header import Header, load_pixels, pillow_header
from operators.pictures.picture import Edited, Picture
from operators.rows.timing import timed

OF_FRAMES = (b"\x21\xf9", b"\x21\x01")
"""How extensions start that belong to a frame: its control and plain text."""
EXTENSION, COMMENT, DESCRIPTOR, TABLE_FLAG, INTERLACED = 0x21, 0xFE, 0x2C, 0x80, 0x40
LEAST_INTERLACED = 16
"""Pillow's encoder does not interlace a picture with a side below this."""
LARGEST_SIDE = 0xFFFF
"""The largest number that a GIF can hold of a place or a side."""


@dataclass(frozen=True)
class Frame:
    """Where the parts of a file's only frame are, as offsets into the file."""

    descriptor: int
    table: int
    """The colour table, local or global."""
    table_bits: int
    """Bits of an index into the colour table."""
    pixels: int
    """The compressed pixels, from their code size on."""
    end: int
    """The first byte after the compressed pixels."""


def header(data: memoryview | bytes) -> Header:
    """Read the header of a GIF file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels; of an animation, of all its frames in one picture.
    - Kept: Pillow's image, its pixels not decoded yet, or where the frames of an animation are.
    - Errors: whatever Pillow raises.
    """
    frames = animated_gif.blocks_of(bytes(data))
    return animated_gif.header(bytes(data), frames) if len(frames) > 1 else pillow_header(data, "GIF")


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of a GIF file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in RGB or RGBA, its palette looked up.
    - Kept: the palette.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    if isinstance(header.source, list):
        return animated_gif.decode(header.source, bytes(data))
    file = load_pixels(header.source)
    indexed = palette.indexed_of(file.convert("P") if file.mode == "L" else file)
    size, stored = (header.width, header.height), palette.looked_up(indexed)
    space = Space("rgb", alpha=stored.shape[2] == 4)
    return Picture("GIF", "P", stored, space, orientation=1, size=size, indexed=indexed)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a GIF file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file; its frame covers what it covered, or the whole screen if an edit
      reaches beyond it.
    - Kept: the index of every unchanged pixel, transparency, interlacing unless a side is below
      LEAST_INTERLACED, and every other block.
    - Errors: ValueError for a file without a frame, and for one that reaches beyond what a GIF can
      hold, because its place is damaged.
    """
    if edited.picture.frames:
        return animated_gif.encode(edited, bytes(source))
    content, before = bytes(source), edited.picture.indexed
    assert before is not None
    frame = _first_frame(content)
    background = content[11]
    refitted = palette.refitted(before, edited, reserved=(background,))
    assert refitted is not None
    result = bytearray(content[: frame.pixels])
    for number in np.flatnonzero((refitted.entries != before.entries).any(axis=1)).tolist():
        result[frame.table + 3 * number : frame.table + 3 * number + 3] = refitted.entries[number, :3].tobytes()
    left, top, width, height = struct.unpack_from("<4H", content, frame.descriptor + 1)
    outside = edited.changed.copy()
    outside[top : top + height, left : left + width] = False
    if outside.any():
        left, top, height, width = 0, 0, *refitted.indices.shape
    indices = np.ascontiguousarray(refitted.indices[top : top + height, left : left + width])
    if max(left, top, width, height) > LARGEST_SIDE:
        raise ValueError(f"a frame of {width} x {height} pixels")
    interlaced = bool(content[frame.descriptor + 9] & INTERLACED) and min(width, height) >= LEAST_INTERLACED
    result[frame.descriptor + 1 : frame.descriptor + 9] = struct.pack("<4H", left, top, width, height)
    result[frame.descriptor + 9] = content[frame.descriptor + 9] & ~INTERLACED | INTERLACED * interlaced
    bits = max(2, frame.table_bits)
    with timed("codec"):
        pixels = Image.fromarray(indices).tobytes("gif", "L", bits, int(interlaced))
    return bytes(result) + bytes([bits]) + pixels + b"\0" + content[frame.end :]


def blocks(data: bytes) -> tuple[list[tuple[int, int]], int]:
    """Where every extension and frame starts and ends, and the offset after the end block.

    Without an end block that is the data's length.
    """
    position, found = 13 + (3 << (data[10] & 7) + 1 if data[10] & TABLE_FLAG else 0), []
    while position + 10 < len(data) and data[position] in (EXTENSION, DESCRIPTOR):
        start, flags = position, data[position + 9]
        table = 3 << (flags & 7) + 1 if flags & TABLE_FLAG else 0
        position = _end_of_sub_blocks(data, start + 2 if data[start] == EXTENSION else start + 11 + table)
        found.append((start, position))
    return found, min(len(data), position + 1)


def _first_frame(data: bytes) -> Frame:
    """Find the first frame. Raises ValueError for a file without one."""
    table, bits = 13, (data[10] & 7) + 1
    position = 13 + (3 << bits if data[10] & TABLE_FLAG else 0)
    while position + 10 < len(data) and data[position] == EXTENSION:
        position = _end_of_sub_blocks(data, position + 2)
    if position + 10 >= len(data) or data[position] != DESCRIPTOR:
        raise ValueError("no frame")
    pixels, flags = position + 10, data[position + 9]
    if flags & TABLE_FLAG:
        table, bits = pixels, (flags & 7) + 1
        pixels += 3 << bits
    end = _end_of_sub_blocks(data, pixels + 1)
    return Frame(descriptor=position, table=table, table_bits=bits, pixels=pixels, end=end)


def _end_of_sub_blocks(data: bytes, position: int) -> int:
    """The offset after a chain of sub-blocks that starts at a position."""
    while position < len(data) and data[position]:
        position += 1 + data[position]
    return position + 1
