"""BMP: the source file itself, with the bytes of the changed pixels replaced (Microsoft,
BITMAPINFOHEADER and its successors).

Run-length coded pictures are written without that coding. A palette keeps its length; entries
that no pixel uses may take new colours, see `operators.pictures.formats.palette`.
"""

from __future__ import annotations

import struct

import numpy as np

from operators.pictures.colour import Samples, Space
from operators.pictures.formats import palette
from operators.pictures.formats.header import Header, loaded, opened
from operators.pictures.formats.png import pack_rows
from operators.pictures.picture import Edited, Indexed, Picture
from operators.rows.arrays import Pixels

FILE_HEADER, CORE_HEADER = 14, 12
RUN_LENGTHS, MASKS = (1, 2), (3, 6)
"""Compressions: run-length codes of 8 and 4 bits; none, with a mask for each colour."""


def header(data: memoryview | bytes) -> Header:
    """A file's header. Raises what Pillow raises."""
    found, bits = opened(data, "BMP"), _bits(data)
    unsupported = None if bits in (1, 4, 8, 24, 32) else f"BMP, {bits} bits a pixel"
    return Header(found.width, found.height, found.source, unsupported=unsupported)


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """The whole picture. Raises Failure as `loaded` does."""
    file = loaded(header.source)
    size = (header.width, header.height)
    if file.mode == "P":
        indexed = palette.of(file)
        return Picture("BMP", "P", palette.looked_up(indexed), Space("rgb"), 1, size, indexed)
    stored = np.asarray(file).astype(np.uint8, copy=False)
    if stored.ndim == 2:
        return Picture("BMP", file.mode, stored[:, :, None], Space("grey", 1 if file.mode == "1" else 255), 1, size)
    return Picture("BMP", file.mode, stored, Space("rgb"), 1, size)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """The source with the changed pixels in place of its own. Raises ValueError."""
    result, before = bytearray(source), edited.picture.indexed
    bits, coded = _bits(source), _compression(source) in RUN_LENGTHS
    stored: Samples = edited.stored
    if before is not None:
        found = palette.refitted(before, edited)
        assert found is not None
        stored = found.indices[:, :, None]
        _put_colours(result, before, found)
    if bits > 8:
        _put(_lines(result, edited.stored.shape[:2], bits), edited, _places(source), bits // 8)
        return bytes(result)
    if coded:
        start = struct.unpack_from("<I", result, 10)[0]
        size = _stride(stored.shape[1], bits) * stored.shape[0]
        result[start:] = bytes(size)
        struct.pack_into("<I", result, 2, len(result))
        struct.pack_into("<II", result, 30, 0, size)
    lines = pack_rows(stored, bits)
    _lines(result, stored.shape[:2], bits)[:, : lines.shape[1]] = lines
    return bytes(result)


def _lines(content: bytearray, size: tuple[int, ...], bits: int) -> Pixels:
    """The file's rows of bytes from the top, uint8 height x bytes; writing to them writes to the
    file.
    """
    height, stride = size[0], _stride(size[1], bits)
    start = struct.unpack_from("<I", content, 10)[0]
    if start + height * stride > len(content):
        raise ValueError("truncated: pixels lie outside of the file")
    lines = np.frombuffer(content, np.uint8, height * stride, start).reshape(height, stride)
    core = struct.unpack_from("<I", content, FILE_HEADER)[0] == CORE_HEADER
    downwards = not core and struct.unpack_from("<i", content, 22)[0] < 0
    return lines if downwards else lines[::-1]


def _put(lines: Pixels, edited: Edited, places: list[int], size: int) -> None:
    """Write the colours of the changed pixels, each at its byte within a pixel of `size` bytes."""
    for row in np.flatnonzero(edited.changed.any(axis=1)).tolist():
        columns = np.flatnonzero(edited.changed[row])
        for channel, place in enumerate(places):
            lines[row, columns * size + place] = edited.stored[row, columns, channel]


def _places(content: memoryview | bytes) -> list[int]:
    """The bytes of red, green and blue within a pixel. Raises ValueError for colours that are not
    whole bytes.
    """
    if _compression(content) not in MASKS:
        return [2, 1, 0]
    masks = struct.unpack_from("<3I", content, 54)
    if any(mask not in (0xFF, 0xFF00, 0xFF0000, 0xFF000000) for mask in masks):
        raise ValueError(f"colour masks {masks}")
    return [mask.bit_length() // 8 - 1 for mask in masks]


def _put_colours(content: bytearray, before: Indexed, after: Indexed) -> None:
    """Write the palette entries that have other colours now."""
    size = struct.unpack_from("<I", content, FILE_HEADER)[0]
    step = 3 if size == CORE_HEADER else 4
    for number in np.flatnonzero((after.entries != before.entries).any(axis=1)).tolist():
        at = FILE_HEADER + size + step * number
        content[at : at + 3] = after.entries[number, 2::-1].tobytes()


def _bits(content: memoryview | bytes) -> int:
    core = struct.unpack_from("<I", content, FILE_HEADER)[0] == CORE_HEADER
    return int(struct.unpack_from("<H", content, 24 if core else 28)[0])


def _compression(content: memoryview | bytes) -> int:
    core = struct.unpack_from("<I", content, FILE_HEADER)[0] == CORE_HEADER
    return 0 if core else int(struct.unpack_from("<I", content, 30)[0])


def _stride(width: int, bits: int) -> int:
    return (width * bits + 31) // 32 * 4
