"""BMP: the source file itself, with the bytes of the changed pixels replaced.

Source: Microsoft, BITMAPINFOHEADER and its successors. Run-length coded pictures are written
uncompressed. Colours of other than 8 bits, as masks declare them, are scaled to 8 or 16 bits and
back, which changes none that is not edited. A palette keeps its length; entries that no pixel
uses may take new colours, see `operators.pictures.formats.palette`.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from operators.pictures.colour import Samples, Space
from operators.pictures.formats import palette
from operators.pictures.formats.header import Header, load_pixels, pillow_header
from operators.pictures.formats.png import pack_rows
from operators.pictures.picture import Edited, Indexed, Picture
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure
from operators.rows.timing import timed

FILE_HEADER, CORE_HEADER = 14, 12
"""Bytes of the file header and of a BITMAPCOREHEADER, which has no compression."""
V5_HEADER = 124
"""Bytes of a BITMAPV5HEADER, which may name a colour profile."""
PROFILE = FILE_HEADER + 112
"""Where that header says how far from its start the profile is, and how long."""
RESOLUTION = slice(38, 46)
"""Bytes of the resolution, horizontally and vertically, in pixels per metre."""
RUN_LENGTHS, MASKS, MASKS_WITH_ALPHA = (1, 2), (3, 6), 6
"""Compressions: run lengths of 8 and 4 bits; none, with a bit mask for each colour."""
MASK_OFFSET, HEADER_WITH_ALPHA = 54, 56
"""Where masks are, and the bytes of the smallest header that has one for alpha."""
SHORT_HEADER = 16
"""Bytes of the header of OS/2 2.x that ends after the number of bits."""
EMBEDDED = {4: "JPEG", 5: "PNG"}
"""Compressions whose pixels are a file of another format."""
FIVE_BITS = (0x7C00, 0x3E0, 0x1F)
"""The masks of a picture of 16 bits a pixel that declares none."""
BYTES = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
"""The masks of whole bytes."""


class Channel(NamedTuple):
    """Which bits of a pixel hold one of its colours."""

    shift: int
    """The number of the lowest bit."""
    bits: int

    @property
    def peak(self) -> int:
        """The largest value."""
        return (1 << self.bits) - 1


def header(data: memoryview | bytes) -> Header:
    """Read the header of a BMP file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels, one picture, and why its bit depth is
      unsupported.
    - Kept: Pillow's image, its pixels not decoded yet; the channels if Pillow cannot decode them.
    - Errors: whatever Pillow raises; ValueError for no pixels,
      struct.error for a file cut in its header.
    """
    channels = packed_channels(data)
    if channels:
        width, height = struct.unpack_from("<ii", data, 18)
        if width < 1 or height == 0:
            raise ValueError(f"{width} x {height} pixels")
        return Header(width, abs(height), channels, unsupported=_unsupported(channels))
    kind = _rare_kind(data)
    if kind is not None:
        raise Failure("mode_unsupported", f"BMP, {kind}")
    opened_header, bits = pillow_header(data, "BMP"), _bits(data)
    unsupported = None if bits in (1, 4, 8, 24, 32) else f"BMP, {bits} bits a pixel"
    if unsupported is None and struct.unpack_from("<I", data, 10)[0] < _end_of_palette(data):
        unsupported = "BMP, pixels that start within the palette"
    return Header(opened_header.width, opened_header.height, opened_header.source, unsupported=unsupported)


def _rare_kind(data: memoryview | bytes) -> str | None:
    """What an intact file is that no decoder here reads; None for any other."""
    if struct.unpack_from("<I", data, FILE_HEADER)[0] == SHORT_HEADER:
        return "the short header of OS/2"
    if _compression(data) in EMBEDDED and _bits(data) == 0:
        return f"{EMBEDDED[_compression(data)]} within it"
    return "2 bits a pixel" if _bits(data) == 2 else None


def packed_channels(data: memoryview | bytes) -> list[Channel]:
    """The colours of a picture whose pixels of 16 or 32 bits are not whole bytes; else empty.

    Red, green, blue and, if the file has one, alpha. A mask with gaps counts from its lowest to
    its highest bit. Raises struct.error for a file cut in its header.
    """
    bits, masked = _bits(data), _compression(data) in MASKS
    if has_core_header(data) or (bits, masked) not in ((16, False), (16, True), (32, True)):
        return []
    masks = list(struct.unpack_from("<3I", data, MASK_OFFSET) if masked else FIVE_BITS)
    if masked and (
        _compression(data) == MASKS_WITH_ALPHA or struct.unpack_from("<I", data, FILE_HEADER)[0] >= HEADER_WITH_ALPHA
    ):
        (alpha,) = struct.unpack_from("<I", data, MASK_OFFSET + 12)
        masks += [alpha] * (alpha > 0)
    if bits == 32 and set(masks) <= set(BYTES) and _compression(data) != MASKS_WITH_ALPHA:
        return []
    shifts = [max(0, (mask & -mask).bit_length() - 1) for mask in masks]
    return [Channel(shift, mask.bit_length() - shift) for mask, shift in zip(masks, shifts, strict=True)]


def _unsupported(channels: list[Channel]) -> str | None:
    """Why colours of these bits cannot be edited; None if they can."""
    used = sorted((channel.shift, channel.shift + channel.bits) for channel in channels)
    apart = all(first[1] <= second[0] for first, second in pairwise(used))
    if apart and all(1 <= channel.bits <= 16 for channel in channels):
        return None
    return f"BMP, colour masks of {[channel.bits for channel in channels]} bits"


def _peak(channels: list[Channel]) -> int:
    """The peak of the samples to which colours are scaled."""
    return 65535 if any(channel.bits > 8 for channel in channels) else 255


def rounding(data: memoryview | bytes) -> int:
    """By how much a sample of an edited pixel may differ from what was meant, in samples."""
    channels = packed_channels(data)
    return max((_peak(channels) // (2 * channel.peak) + 1 for channel in channels), default=0)


def _decode_packed(header: Header, data: memoryview | bytes) -> Picture:
    """The picture of colours that are not whole bytes. Raises Failure truncated."""
    channels: list[Channel] = header.source
    peak = _peak(channels)
    try:
        lines = _lines(bytearray(data), (header.height, header.width), _bits(data))
    except ValueError as error:
        raise Failure("truncated", str(error)) from None
    pixels = _whole_pixels(lines, header.width, _bits(data))
    stored: Samples = np.empty((header.height, header.width, len(channels)), np.uint16 if peak > 255 else np.uint8)
    for number, (shift, bits) in enumerate(channels):
        values = np.rint(np.arange(2**bits) * (peak / (2**bits - 1))).astype(stored.dtype)
        stored[:, :, number] = values[pixels >> shift & (2**bits - 1)]
    name = ("RGBA" if len(channels) == 4 else "RGB") + ";" + ".".join(str(channel.bits) for channel in channels)
    space = Space("rgb", peak, alpha=len(channels) == 4)
    return Picture("BMP", name, stored, space, orientation=1, size=(header.width, header.height))


def _whole_pixels(lines: Pixels, width: int, bits: int) -> npt.NDArray[np.uint32]:
    """Rows of bytes as numbers of one pixel each, height x width."""
    return np.ascontiguousarray(lines[:, : width * bits // 8]).view(f"<u{bits // 8}").astype(np.uint32)


def _write_packed(lines: Pixels, edited: Edited, channels: list[Channel], bits: int) -> None:
    """Write the colours of changed pixels into their bits; other bits stay."""
    rows, columns = np.nonzero(edited.changed)
    peak = edited.picture.space.peak
    pixels = _whole_pixels(lines, edited.stored.shape[1], bits)
    values = pixels[rows, columns]
    for number, channel in enumerate(channels):
        sample = np.rint(edited.stored[rows, columns, number] * (channel.peak / peak)).astype(np.uint32)
        values = values & ~np.uint32(channel.peak << channel.shift) | sample << np.uint32(channel.shift)
    pixels[rows, columns] = values
    written = pixels.astype(f"<u{bits // 8}").view(np.uint8)
    lines[:, : written.shape[1]] = written


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of a BMP file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in grey, RGB or RGBA, with a palette looked up.
    - Kept: the palette.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    if isinstance(header.source, list):
        with timed("codec"):
            return _decode_packed(header, data)
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
    - Errors: ValueError for pixels outside of the file.
    """
    result, before = bytearray(source), edited.picture.indexed
    bits, run_lengths = _bits(source), _compression(source) in RUN_LENGTHS
    stored: Samples = edited.stored
    if before is not None:
        refitted = palette.refitted(before, edited)
        assert refitted is not None
        stored = refitted.indices[:, :, None]
        _write_entries(result, before, refitted)
    channels = packed_channels(source)
    if channels:
        _write_packed(_lines(result, stored.shape[:2], bits), edited, channels, bits)
        return bytes(result)
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


def end_of_file(data: bytes) -> int:
    """The offset after the pixels and the profile that may follow them."""
    header_size, start = struct.unpack_from("<I", data, FILE_HEADER)[0], struct.unpack_from("<I", data, 10)[0]
    if header_size == CORE_HEADER:
        width, height, size = *struct.unpack_from("<2H", data, 18), 0
    else:
        width, height = (abs(side) for side in struct.unpack_from("<2i", data, 18))
        size = struct.unpack_from("<I", data, 34)[0]
    if _compression(data) not in RUN_LENGTHS:
        size = _stride(width, _bits(data)) * height
    end = start + size
    if header_size >= V5_HEADER:
        offset, length = struct.unpack_from("<2I", data, PROFILE)
        end = max(end, FILE_HEADER + offset + length if length else 0)
    return min(len(data), int(end))


def resized(source: bytes, stored: Samples) -> bytes | None:
    """The source with pixels of another size, height x width x 3 or 4 of 8 bits.

    None for a source whose colours are not whole bytes. The header, its masks and its profile
    are kept, and what follows the pixels.
    """
    bits, core = _bits(source), has_core_header(source)
    if bits not in (24, 32) or packed_channels(source) or stored.shape[2] < 3 or stored.dtype != np.uint8:
        return None
    height, width = stored.shape[:2]
    start = struct.unpack_from("<I", source, 10)[0]
    head, size = bytearray(source[:start]), _stride(width, bits) * height
    old_sides = struct.unpack_from("<2H" if core else "<2i", source, 18)
    old_end = min(len(source), start + _stride(old_sides[0], bits) * abs(old_sides[1]))
    sign = -1 if old_sides[1] < 0 else 1
    struct.pack_into("<2H" if core else "<2i", head, 18, width, height * sign)
    if not core:
        struct.pack_into("<I", head, 34, size)
    if struct.unpack_from("<I", source, FILE_HEADER)[0] >= V5_HEADER:
        offset, length = struct.unpack_from("<2I", source, PROFILE)
        if length and FILE_HEADER + offset >= old_end:
            struct.pack_into("<I", head, PROFILE, offset + start + size - old_end)
    lines = np.zeros((height, _stride(width, bits)), np.uint8)
    for channel, place in enumerate(_byte_places(source, stored.shape[2])):
        lines[:, place : width * bits // 8 : bits // 8] = stored[:, :, channel]
    result = bytes(head) + (lines if sign < 0 else lines[::-1]).tobytes() + source[old_end:]
    return result[:2] + struct.pack("<I", len(result)) + result[6:]


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
    downwards = not has_core_header(content) and struct.unpack_from("<i", content, 22)[0] < 0
    return lines if downwards else lines[::-1]


def _write_pixels(lines: Pixels, edited: Edited, places: list[int], size: int) -> None:
    """Write the colours of changed pixels, each at its byte within a pixel of `size` bytes."""
    for row in np.flatnonzero(edited.changed.any(axis=1)).tolist():
        columns = np.flatnonzero(edited.changed[row])
        for channel, place in enumerate(places):
            lines[row, columns * size + place] = edited.stored[row, columns, channel]


def _byte_places(content: memoryview | bytes, channels: int) -> list[int]:
    """Which byte of a pixel holds each of its three or four channels: red, green, blue, alpha."""
    if _compression(content) not in MASKS:
        return [2, 1, 0]
    masks = struct.unpack_from("<4I" if channels == 4 else "<3I", content, MASK_OFFSET)
    return [mask.bit_length() // 8 - 1 for mask in masks]


def _write_entries(content: bytearray, before: Indexed, after: Indexed) -> None:
    """Write the palette entries that changed."""
    size = struct.unpack_from("<I", content, FILE_HEADER)[0]
    step = 3 if size == CORE_HEADER else 4
    for number in np.flatnonzero((after.entries != before.entries).any(axis=1)).tolist():
        offset = FILE_HEADER + size + step * number
        content[offset : offset + 3] = after.entries[number, 2::-1].tobytes()


def _end_of_palette(content: memoryview | bytes) -> int:
    """The first byte after the header and the palette, as far as the header counts its entries."""
    size, bits = int(struct.unpack_from("<I", content, FILE_HEADER)[0]), _bits(content)
    used = 0 if bits > 8 or has_core_header(content) else int(struct.unpack_from("<I", content, 46)[0])
    return FILE_HEADER + size + 4 * min(used, 1 << bits)


def has_core_header(content: memoryview | bytes | bytearray) -> bool:
    """Whether a file has the oldest header, which knows no resolution."""
    return bool(struct.unpack_from("<I", content, FILE_HEADER)[0] == CORE_HEADER)


def _bits(content: memoryview | bytes) -> int:
    return int(struct.unpack_from("<H", content, 24 if has_core_header(content) else 28)[0])


def _compression(content: memoryview | bytes) -> int:
    return 0 if has_core_header(content) else int(struct.unpack_from("<I", content, 30)[0])


def _stride(width: int, bits: int) -> int:
    """Bytes of a row, which is padded to a multiple of four."""
    return (width * bits + 31) // 32 * 4
