"""Strips and tiles: how a TIFF's samples lie in its file, and how other samples take their place
(Adobe TIFF 6.0).

Pixels are compressed and decompressed by libtiff, as Pillow carries it, as plain bytes: bit
depth, byte order, planes and differences are undone here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from PIL import Image

from operators.pictures.colour import Samples
from operators.pictures.formats.tiff_directory import Directory, first_directory
from operators.rows.arrays import Pixels

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, SAMPLES, STRIP_ROWS, STRIP_COUNTS, PLANES, GROUP_3_OPTIONS = 273, 277, 278, 279, 284, 292
PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 317, 322, 323, 324, 325
PLAIN, DEFLATE = 1, (8, 32946)
FAX = {2: "tiff_ccitt", 3: "group3", 4: "group4"}
COMPRESSIONS = FAX | {
    5: "tiff_lzw",
    8: "tiff_adobe_deflate",
    32773: "packbits",
    32946: "tiff_deflate",
    34925: "lzma",
    50000: "zstd",
}
"""Compressions without loss, by Pillow's names."""
DIFFERENCES = 2
REVERSED = np.array([int(f"{value:08b}"[::-1], 2) for value in range(256)], np.uint8)


@dataclass(frozen=True)
class Segment:
    """One strip or tile: its place in the picture, and which samples it holds."""

    top: int
    left: int
    height: int
    width: int
    plane: slice


@dataclass(frozen=True)
class Layout:
    """How a file's samples lie in it."""

    directory: Directory
    width: int
    height: int
    bits: int
    samples: int
    compression: int
    differences: bool
    reversed: bool
    tile: tuple[int, int] | None
    strip_rows: int
    planes: int
    offsets: tuple[int, ...]
    counts: tuple[int, ...]

    @property
    def order(self) -> str:
        """Byte order of samples, `<` or `>`."""
        return self.directory.order

    def segments(self) -> Iterator[Segment]:
        """Every strip or tile in the order of its offset; tiles may reach over the picture's
        right and lower edge.
        """
        height, width = self.tile or (self.strip_rows, self.width)
        for plane in range(self.planes):
            part = slice(0, self.samples) if self.planes == 1 else slice(plane, plane + 1)
            for top in range(0, self.height, height):
                rows = height if self.tile else min(height, self.height - top)
                for left in range(0, self.width, width):
                    yield Segment(top, left, rows, width, part)


def layout_of(directory: Directory) -> Layout:
    """How a supported file's samples lie in it. Raises ValueError where that is contradictory or
    data is missing.
    """
    width, height = directory.number(WIDTH, 0), directory.number(LENGTH, 0)
    tiled = TILE_OFFSETS in directory.entries
    tile = (directory.number(TILE_LENGTH, 0), directory.number(TILE_WIDTH, 0)) if tiled else None
    strip_rows = min(height, directory.number(STRIP_ROWS, height))
    if strip_rows < 1 or (tile and (min(tile) < 1 or max(tile) > 2 * max(width, height) + 4096)):
        raise ValueError(f"strips of {strip_rows} rows, tiles of {tile}")
    bits, samples = directory.number(BITS, 1), directory.number(SAMPLES, 1)
    planes = samples if directory.number(PLANES, 1) == 2 else 1
    offsets = directory.numbers(TILE_OFFSETS if tiled else STRIP_OFFSETS)
    compression = directory.number(COMPRESSION, PLAIN)
    down, across = tile or (strip_rows, width)
    expected = planes * -(-height // down) * -(-width // across)
    counts = directory.numbers(TILE_COUNTS if tiled else STRIP_COUNTS)
    if len(offsets) < expected or (len(counts) < expected and compression != PLAIN):
        raise ValueError(f"{len(offsets)} offsets and {len(counts)} lengths of {expected} parts")
    if compression == PLAIN:
        counts = tuple(
            _row_bytes(across, samples // planes, bits) * rows for rows in _rows(height, down, expected, tile is not None)
        )
    offsets, counts = offsets[:expected], counts[:expected]
    if any(offset + count > len(directory.data) for offset, count in zip(offsets, counts, strict=True)):
        raise ValueError("truncated: pixels lie outside of the file")
    return Layout(
        directory, width, height, bits, samples, compression, directory.number(PREDICTOR, 1) == DIFFERENCES,
        directory.number(FILL_ORDER, 1) == 2, tile, strip_rows, planes, offsets, counts,
    )  # fmt: skip


def _rows(height: int, down: int, expected: int, tiled: bool) -> list[int]:
    """The rows of every strip or tile, in order; a strip ends with the picture."""
    if tiled:
        return [down] * expected
    strips = [min(down, height - top) for top in range(0, height, down)]
    return strips * (expected // len(strips))


def _row_bytes(width: int, samples: int, bits: int) -> int:
    return (width * samples * bits + 7) // 8


def decompressed(layout: Layout) -> Samples:
    """Samples, height x width x samples, uint8 or uint16. Raises OSError or ValueError."""
    inside = layout.samples // layout.planes
    parts = len(layout.offsets) // layout.planes
    row = _row_bytes(layout.width, inside, layout.bits)
    planes = []
    for plane in range(layout.planes):
        lines = _lines(layout, slice(plane * parts, (plane + 1) * parts), row, inside)
        planes.append(_unpacked(layout, lines, inside))
    stored = planes[0] if layout.planes == 1 else np.concatenate(planes, axis=2)
    if layout.differences:
        across = layout.tile[1] if layout.tile else layout.width
        for left in range(0, layout.width, across):
            part = stored[:, left : left + across]
            np.cumsum(part, axis=1, dtype=stored.dtype, out=part)
    return stored


def _lines(layout: Layout, parts: slice, row: int, inside: int) -> Pixels:
    """One plane's decompressed lines, uint8 height x bytes: the file once more, its pixels
    declared to be bytes.
    """
    offsets, counts = layout.offsets[parts], layout.counts[parts]
    if layout.compression == PLAIN and not layout.tile:
        lines = b"".join(bytes(layout.directory.data[at : at + count]) for at, count in zip(offsets, counts, strict=True))
        plain = np.frombuffer(lines, np.uint8).reshape(layout.height, row)
        return REVERSED[plain] if layout.reversed else plain
    fax = layout.compression in FAX
    tags: dict[int, tuple[int, ...]] = {
        WIDTH: (layout.width if fax else row,),
        LENGTH: (layout.height,),
        BITS: (1 if fax else 8,),
        COMPRESSION: (layout.compression,),
        PHOTOMETRIC: (1,),
        FILL_ORDER: (2 if layout.reversed else 1,),
        SAMPLES: (1,),
    }
    if layout.tile:
        across = layout.tile[1] if fax else _row_bytes(layout.tile[1], inside, layout.bits)
        tags |= {TILE_WIDTH: (across,), TILE_LENGTH: (layout.tile[0],), TILE_OFFSETS: offsets, TILE_COUNTS: counts}
    else:
        tags |= {STRIP_OFFSETS: offsets, STRIP_ROWS: (layout.strip_rows,), STRIP_COUNTS: counts}
    if GROUP_3_OPTIONS in layout.directory.entries:
        tags[GROUP_3_OPTIONS] = layout.directory.numbers(GROUP_3_OPTIONS)
    file = Image.open(io.BytesIO(_with_directory(layout.directory.data, tags)), formats=["TIFF"])
    return np.frombuffer(file.tobytes(), np.uint8).reshape(layout.height, row)


def _with_directory(data: memoryview, tags: dict[int, tuple[int, ...]]) -> bytes:
    """The file's bytes under another, little-endian header with one directory of 32-bit numbers."""
    at = len(data) + len(data) % 2
    place = at + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag in sorted(tags):
        numbers = struct.pack(f"<{len(tags[tag])}I", *tags[tag])
        stands = len(numbers) > 4
        entries += struct.pack("<HHI", tag, 4, len(tags[tag])) + (struct.pack("<I", place + len(values)) if stands else numbers)
        values += numbers if stands else b""
    return b"".join(
        [
            struct.pack("<2sHI", b"II", 42, at),
            data[8:],
            bytes(at - len(data)),
            struct.pack("<H", len(tags)),
            entries,
            bytes(4),
            values,
        ]
    )


def _unpacked(layout: Layout, lines: Pixels, inside: int) -> Samples:
    """Lines of bytes as samples, height x width x samples."""
    shape = (layout.height, layout.width, inside)
    if layout.bits == 16:
        return lines.view(f"{layout.order}u2").astype(np.uint16).reshape(shape)
    if layout.bits == 8:
        return np.array(lines).reshape(shape)
    bits = np.unpackbits(lines, axis=1)[:, : layout.width * layout.bits].reshape(layout.height, layout.width, layout.bits)
    return (bits @ (1 << np.arange(layout.bits, dtype=np.uint8)[::-1])).astype(np.uint8)[:, :, None]


def compressed(layout: Layout, segment: Segment, samples: Samples) -> bytes:
    """A strip's or tile's samples as they stand in the file; a tile is filled up with its last
    row and column.
    """
    missing = ((0, segment.height - samples.shape[0]), (0, segment.width - samples.shape[1]), (0, 0))
    whole = np.pad(samples, missing, mode="edge")
    if layout.differences:
        whole = np.concatenate([whole[:, :1], whole[:, 1:] - whole[:, :-1]], axis=1)
    lines = _packed(layout, whole)
    if layout.compression == PLAIN:
        content = lines.tobytes()
    elif layout.compression in DEFLATE:
        content = zlib.compress(lines.tobytes(), 9)
    else:
        fax = layout.compression in FAX
        size = (segment.width if fax else lines.shape[1], segment.height)
        image = Image.frombytes("1" if fax else "L", size, lines.tobytes())
        buffer = io.BytesIO()
        options = {GROUP_3_OPTIONS: layout.directory.number(GROUP_3_OPTIONS, 0)} if layout.compression == 3 else {}
        image.save(buffer, "TIFF", compression=COMPRESSIONS[layout.compression], strip_size=lines.size + 1, tiffinfo=options)
        small = first_directory(buffer.getvalue())
        at, count = small.numbers(STRIP_OFFSETS), small.numbers(STRIP_COUNTS)
        if len(at) != 1:
            raise ValueError(f"{len(at)} strips in place of one")
        content = buffer.getvalue()[at[0] : at[0] + count[0]]
    return REVERSED[np.frombuffer(content, np.uint8)].tobytes() if layout.reversed else content


def _packed(layout: Layout, samples: Samples) -> Pixels:
    """Samples as lines of bytes."""
    if layout.bits == 16:
        return np.ascontiguousarray(samples, f"{layout.order}u2").view(np.uint8).reshape(samples.shape[0], -1)
    if layout.bits == 8:
        return np.ascontiguousarray(samples, np.uint8).reshape(samples.shape[0], -1)
    bits = np.unpackbits(np.ascontiguousarray(samples, np.uint8), axis=2)[:, :, -layout.bits :]
    return np.packbits(bits.reshape(samples.shape[0], -1), axis=1)


def placed(result: bytearray, layout: Layout, parts: dict[int, bytes]) -> tuple[list[int], list[int]]:
    """Put new strips or tiles into the file: where the old ones stood if there is room, else at
    its end.

    Returns the offsets and lengths of all strips or tiles.
    """
    offsets, counts = list(layout.offsets), list(layout.counts)
    rooms = _rooms(layout, list(parts))
    for number, content in parts.items():
        counts[number] = len(content)
        room = next(
            (room for room in rooms if room[1] - room[0] >= len(content) or room[1] == len(layout.directory.data)), None
        )
        if room is None:
            room = [len(result) + len(result) % 2, 0]
        at = offsets[number] = room[0]
        result += bytes(max(0, at + len(content) - len(result)))
        result[at : at + len(content)] = content
        room[0] += len(content) + len(content) % 2
    return offsets, counts


def _rooms(layout: Layout, replaced: list[int]) -> list[list[int]]:
    """Start and end of the places that strips or tiles leave which are replaced, neighbours
    joined.

    A place that two strips or tiles share is left alone: some writers store equal ones once.
    """
    spans = sorted((at, at + count) for at, count in zip(layout.offsets, layout.counts, strict=True) if count)
    shared = {span for one, other in pairwise(spans) if other[0] < one[1] for span in (one, other)}
    rooms: list[list[int]] = []
    for at, until in sorted((layout.offsets[number], layout.offsets[number] + layout.counts[number]) for number in replaced):
        if (at, until) in shared:
            continue
        if rooms and rooms[-1][1] <= at <= rooms[-1][1] + at % 2:
            rooms[-1][1] = until
        else:
            rooms.append([at, until])
    return rooms
