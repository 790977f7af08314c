"""BMP: the source file itself, with the bytes of the changed pixels replaced.

Source: Microsoft, BITMAPINFOHEADER and its successors. Run-length coded pictures are written
uncompressed. A palette keeps its length; entries that no pixel uses may take new colours, see
`operators.pictures.formats.palette`.
"""

from __future__ import annotations

import struct

import numpy as np

from operators.pictures.colour import Samples, Space
from operators.pictures.formats import palette
from operators.pictures.formats.header import Header, load_pixels, pillow_header
from operators.pictures.formats.png import pack_rows
from operators.pictures.picture import Edited, Indexed, Picture
from operators.rows.arrays import Pixels

FILE_HEADER, CORE_HEADER = 14, 12
"""Bytes of the file header and of a BITMAPCOREHEADER, which has no compression."""
RUN_LENGTHS, MASKS = (1, 2), (3, 6)
"""Compressions: run lengths of 8 and 4 bits; none, with a bit mask for each colour."""


def header(data: memoryview | bytes) -> Header:
    """Read the header of a BMP file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels, one picture, and why its bit depth is
      unsupported.
    - Kept: Pillow's image, its pixels not decoded yet.
    - Errors: whatever Pillow raises; struct.error for a file cut in its header.
    """
    opened_header, bits = pillow_header(data, "BMP"), _bits(data)
    unsupported = None if bits in (1, 4, 8, 24, 32) else f"BMP, {bits} bits a pixel"
    return Header(opened_header.width, opened_header.height, opened_header.source, unsupported=unsupported)


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of a BMP file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in grey, RGB or RGBA, with a palette looked up.
    - Kept: the palette.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    file = load_pixels(header.source)
    size = (header.width, header.height)
    if file.mode == "P":
        indexed = palette.indexed_of(file)
        return Picture("BMP", "P", palette.looked_up(indexed), Space("rgb"), orientation=1, size=size, indexed=indexed)
    stored = np.asarray(file).astype(np.uint8, copy=False)
    space = Space("rgb", alpha=file.mode == "RGBA")
    if stored.ndim == 2:
        stored, space = stored[:, :, None], Space("grey", 1 if file.mode == "1" else 255)
    return Picture("BMP", file.mode, stored, space, orientation=1, size=size)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a BMP file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file, without run-length coding.
    - Kept: every byte but those of changed pixels and palette entries.
    - Errors: ValueError for pixels outside of the file and colours that are not whole bytes.
    """
    result, before = bytearray(source), edited.picture.indexed
    bits, run_lengths = _bits(source), _compression(source) in RUN_LENGTHS
    stored: Samples = edited.stored
    if before is not None:
        refitted = palette.refitted(before, edited)
        assert refitted is not None
        stored = refitted.indices[:, :, None]
        _write_entries(result, before, refitted)
    if bits > 8:
        _write_pixels(
            _lines(result, edited.stored.shape[:2], bits), edited, _byte_places(source, edited.stored.shape[2]), bits // 8
        )
        return bytes(result)
    if run_lengths:
        start = struct.unpack_from("<I", result, 10)[0]
        size = _stride(stored.shape[1], bits) * stored.shape[0]
        result[start:] = bytes(size)
        struct.pack_into("<I", result, 2, len(result))
        struct.pack_into("<II", result, 30, 0, size)
    lines = pack_rows(stored, bits)
    _lines(result, stored.shape[:2], bits)[:, : lines.shape[1]] = lines
    return bytes(result)


def _lines(content: bytearray, size: tuple[int, ...], bits: int) -> Pixels:
    """The file's rows of bytes from the top, uint8, height x bytes.

    `size` is height and width. The result is a view: writing to it writes to the file. Raises
    ValueError for pixels outside of the file.
    """
    height, stride = size[0], _stride(size[1], bits)
    start = struct.unpack_from("<I", content, 10)[0]
    if start + height * stride > len(content):
        raise ValueError("truncated: pixels lie outside of the file")
    lines = np.frombuffer(content, np.uint8, height * stride, start).reshape(height, stride)
    downwards = not _has_core_header(content) and struct.unpack_from("<i", content, 22)[0] < 0
    return lines if downwards else lines[::-1]


def _write_pixels(lines: Pixels, edited: Edited, places: list[int], size: int) -> None:
    """Write the colours of changed pixels, each at its byte within a pixel of `size` bytes."""
    for row in np.flatnonzero(edited.changed.any(axis=1)).tolist():
        columns = np.flatnonzero(edited.changed[row])
        for channel, place in enumerate(places):
            lines[row, columns * size + place] = edited.stored[row, columns, channel]


def _byte_places(content: memoryview | bytes, channels: int) -> list[int]:
    """Which byte of a pixel holds each of its three or four channels: red, green, blue, alpha.

    Raises ValueError for colours that are not whole bytes.
    """
    if _compression(content) not in MASKS:
        return [2, 1, 0]
    masks = struct.unpack_from("<4I" if channels == 4 else "<3I", content, 54)
    if any(mask not in (0xFF, 0xFF00, 0xFF0000, 0xFF000000) for mask in masks):
        raise ValueError(f"colour masks {masks}")
    return [mask.bit_length() // 8 - 1 for mask in masks]


def _write_entries(content: bytearray, before: Indexed, after: Indexed) -> None:
    """Write the palette entries that changed."""
    size = struct.unpack_from("<I", content, FILE_HEADER)[0]
    step = 3 if size == CORE_HEADER else 4
    for number in np.flatnonzero((after.entries != before.entries).any(axis=1)).tolist():
        offset = FILE_HEADER + size + step * number
        content[offset : offset + 3] = after.entries[number, 2::-1].tobytes()


def _has_core_header(content: memoryview | bytes | bytearray) -> bool:
    return bool(struct.unpack_from("<I", content, FILE_HEADER)[0] == CORE_HEADER)


def _bits(content: memoryview | bytes) -> int:
    return int(struct.unpack_from("<H", content, 24 if _has_core_header(content) else 28)[0])


def _compression(content: memoryview | bytes) -> int:
    return 0 if _has_core_header(content) else int(struct.unpack_from("<I", content, 30)[0])


def _stride(width: int, bits: int) -> int:
    """Bytes of a row, which is padded to a multiple of four."""
    return (width * bits + 31) // 32 * 4
