"""TIFF: the source file itself, with only those strips or tiles written again in which a sample changed (Adobe TIFF 6.0).

A strip or tile keeps its compression, predictor, byte order and planes. New ones take the place of the old ones; what finds no
room there goes to the end of the file, and its offset follows. So every tag, known or not, with its sub-directories, stays
byte for byte. Pixels are compressed and decompressed by libtiff, as Pillow carries it, as plain bytes.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

from operators.clock import spent_in
from operators.colour import COLOURS, Model, Samples, Space, black_generation, followed
from operators.formats import palette
from operators.formats.directory import Directory, first_directory
from operators.formats.header import Header, decoding_failure
from operators.formats.previews import photoshop_redrawn, xmp_redrawn
from operators.picture import TURNS, Edited, Indexed, Picture, upright_size
from operators.table import Pixels

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, ORIENTATION, SAMPLES, STRIP_ROWS, STRIP_COUNTS, PLANES = 273, 274, 277, 278, 279, 284
GROUP_3_OPTIONS, PREDICTOR, COLOUR_MAP, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 292, 317, 320, 322, 323, 324, 325
SUB_DIRECTORIES, INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, XMP, PHOTOSHOP, PROFILE = 330, 332, 338, 339, 700, 34377, 34675
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
MODELS: dict[int, Model] = {0: "grey", 1: "grey", 2: "rgb", 3: "rgb", 5: "cmyk"}
"""The meaning of samples by photometric interpretation; 3 is a palette of RGB colours."""
WHITE_IS_ZERO, INDEXED = 0, 3
NAMES = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}
DIFFERENCES = 2
REVERSED = np.array([int(f"{value:08b}"[::-1], 2) for value in range(256)], np.uint8)
MOST_SAMPLES = 8


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
        """Every strip or tile in the order of its offset; tiles may reach over the picture's right and lower edge."""
        height, width = self.tile or (self.strip_rows, self.width)
        for plane in range(self.planes):
            part = slice(0, self.samples) if self.planes == 1 else slice(plane, plane + 1)
            for top in range(0, self.height, height):
                rows = height if self.tile else min(height, self.height - top)
                for left in range(0, self.width, width):
                    yield Segment(top, left, rows, width, part)


def header(data: memoryview | bytes) -> Header:
    """A file's header; further pages and smaller copies of the first one count as frames. Raises ValueError."""
    directory = first_directory(data)
    width, height = directory.number(WIDTH, 0), directory.number(LENGTH, 0)
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height} pixels")
    frames = (
        1 + (directory.next != 0) + (directory.entries[SUB_DIRECTORIES].count if SUB_DIRECTORIES in directory.entries else 0)
    )
    return Header(width, height, directory, frames, _unsupported(directory))


def _unsupported(directory: Directory) -> str | None:
    bits = directory.numbers(BITS, (1,))
    samples, photometric = directory.number(SAMPLES, 1), directory.number(PHOTOMETRIC, 1)
    compression, predictor = directory.number(COMPRESSION, PLAIN), directory.number(PREDICTOR, 1)
    formats = set(directory.numbers(SAMPLE_FORMAT, (1,)))
    if photometric not in MODELS or directory.number(INK_SET, 1) != 1:
        return f"TIFF, photometric interpretation {photometric}"
    if formats - {1, 4}:
        return f"TIFF, sample format {formats}"
    if len(set(bits)) > 1 or bits[0] not in (1, 2, 4, 8, 16) or (bits[0] < 8 and samples > 1):
        return f"TIFF, {bits} bits a sample"
    if compression != PLAIN and compression not in COMPRESSIONS:
        return f"TIFF, compression {compression}"
    if predictor not in (1, DIFFERENCES) or (predictor == DIFFERENCES and bits[0] < 8):
        return f"TIFF, predictor {predictor}"
    if (compression in FAX and bits[0] != 1) or (photometric == INDEXED and (samples != 1 or bits[0] > 8)):
        return f"TIFF, photometric interpretation {photometric}, compression {compression}, {bits} bits a sample"
    if not COLOURS[MODELS[photometric]] * (photometric != INDEXED) <= samples <= MOST_SAMPLES:
        return f"TIFF, {samples} samples"
    return None


def layout_of(directory: Directory) -> Layout:
    """How a supported file's samples lie in it. Raises ValueError where that is contradictory or data is missing."""
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
    if compression == PLAIN:
        counts = tuple(
            _row_bytes(across, samples // planes, bits) * rows for rows in _rows(height, down, expected, tile, width)
        )
    if len(offsets) < expected or len(counts) < expected:
        raise ValueError(f"{len(offsets)} offsets and {len(counts)} lengths of {expected} parts")
    offsets, counts = offsets[:expected], counts[:expected]
    if any(offset + count > len(directory.data) for offset, count in zip(offsets, counts, strict=True)):
        raise ValueError("truncated: pixels lie outside of the file")
    return Layout(
        directory, width, height, bits, samples, compression, directory.number(PREDICTOR, 1) == DIFFERENCES,
        directory.number(FILL_ORDER, 1) == 2, tile, strip_rows, planes, offsets, counts,
    )  # fmt: skip


def _rows(height: int, down: int, expected: int, tile: tuple[int, int] | None, width: int) -> list[int]:
    """The rows of every strip or tile, in order; a strip ends with the picture."""
    if tile:
        return [down] * expected
    strips = [min(down, height - top) for top in range(0, height, down)]
    return strips * (expected // len(strips))


def _row_bytes(width: int, samples: int, bits: int) -> int:
    return (width * samples * bits + 7) // 8


def decoded(header: Header, data: memoryview | bytes) -> Picture:
    """The whole picture. Raises Failure truncated or corrupt."""
    directory: Directory = header.source
    try:
        with spent_in("codec"):
            stored = _decoded(layout_of(directory))
        return _picture(directory, stored)
    except Exception as error:
        raise decoding_failure(error) from error


def _picture(directory: Directory, stored: Samples) -> Picture:
    photometric, bits = directory.number(PHOTOMETRIC, 1), directory.number(BITS, 1)
    model = MODELS[photometric]
    orientation = directory.number(ORIENTATION, 1)
    orientation = orientation if orientation in TURNS else 1
    size = upright_size(stored.shape[1], stored.shape[0], orientation)
    profile, note = followed(directory.content(PROFILE), model)
    if photometric == INDEXED:
        indexed = Indexed(stored[:, :, 0], _entries(directory))
        return Picture("TIFF", "P", palette.looked_up(indexed), Space("rgb", 255, profile), orientation, size, indexed, note)
    extra = directory.numbers(EXTRA_SAMPLES)[:1]
    beyond = stored.shape[2] - COLOURS[model]
    mode = NAMES[model] + ("A" if beyond == 1 and extra in ((1,), (2,)) else "X" * beyond) + (f";{bits}" if bits != 8 else "")
    mode = {"L;1": "1", "L;16": "I;16"}.get(mode, mode)
    black = black_generation(stored if bits == 8 else (stored >> 8).astype(np.uint8)) if model == "cmyk" else 1.0
    inverted, premultiplied = photometric == WHITE_IS_ZERO, extra == (1,) and beyond > 0
    space = Space(model, 2**bits - 1, profile, inverted, premultiplied, black)
    return Picture("TIFF", mode, stored, space, orientation, size, note=note)


def _entries(directory: Directory) -> Pixels:
    """A palette of 16-bit colours as uint8 RGBA entries."""
    colours = np.array(directory.numbers(COLOUR_MAP), np.uint32).reshape(3, -1).T
    colours = colours if colours.max(initial=0) < 256 else (colours + 128) // 257
    entries = np.full((len(colours), 4), 255, np.uint8)
    entries[:, :3] = colours
    return entries


def _decoded(layout: Layout) -> Samples:
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
    """One plane's decompressed lines, uint8 height x bytes: the file once more, its pixels declared to be bytes."""
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


def written(edited: Edited, source: memoryview | bytes) -> bytes:
    """The source with every strip and tile written again that holds a changed sample. Raises OSError or ValueError."""
    directory = first_directory(source)
    layout, indexed = layout_of(directory), edited.picture.indexed
    result = bytearray(source)
    before, after = edited.picture.stored, edited.stored
    if indexed is not None:
        found = palette.refitted(indexed, edited)
        assert found is not None
        before, after = indexed.indices[:, :, None], found.indices[:, :, None]
        _put_colours(result, directory, indexed, found)
    with spent_in("codec"):
        offsets, counts = _placed(result, layout, dict(_changed_parts(layout, edited.changed, before, after)))
    tiled = layout.tile is not None
    _put_numbers(result, directory, TILE_OFFSETS if tiled else STRIP_OFFSETS, offsets)
    if layout.compression != PLAIN:
        _put_numbers(result, directory, TILE_COUNTS if tiled else STRIP_COUNTS, counts)
    for tag, redrawn in ((XMP, xmp_redrawn), (PHOTOSHOP, photoshop_redrawn)):
        if tag in directory.entries:
            entry, content = directory.entries[tag], directory.content(tag) or b""
            result[entry.at : entry.at + entry.size] = redrawn(content, edited.preview)
    _check(bytes(result), after)
    return bytes(result)


def _changed_parts(
    layout: Layout, changed: npt.NDArray[np.bool_], before: Samples, after: Samples
) -> Iterator[tuple[int, bytes]]:
    """The number and the new content of every strip or tile in which a sample changed."""
    for number, segment in enumerate(layout.segments()):
        area = np.s_[segment.top : segment.top + segment.height, segment.left : segment.left + segment.width]
        if changed[area].any() and not np.array_equal(before[area][:, :, segment.plane], after[area][:, :, segment.plane]):
            yield number, _compressed(layout, segment, after[area][:, :, segment.plane])


def _placed(result: bytearray, layout: Layout, parts: dict[int, bytes]) -> tuple[list[int], list[int]]:
    """Put new strips or tiles into the file: where the old ones stood if there is room, else at its end.

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
    """Start and end of the places that strips or tiles leave which are replaced, neighbours joined.

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


def _check(result: bytes, after: Samples) -> None:
    """Raise ValueError unless the file holds the edited samples: parts of a file may lie over one another."""
    if not np.array_equal(_decoded(layout_of(first_directory(result))), after):
        raise ValueError("the file's parts overlap")


def _put_numbers(result: bytearray, directory: Directory, tag: int, numbers: list[int]) -> None:
    old = directory.numbers(tag)
    entry = directory.entries[tag]
    result[entry.at : entry.at + entry.size] = directory.packed(tag, (*numbers, *old[len(numbers) :]))


def _put_colours(result: bytearray, directory: Directory, before: Indexed, after: Indexed) -> None:
    """Write the palette entries that have other colours now; the rest keep their 16 bits."""
    colours = np.array(directory.numbers(COLOUR_MAP), np.uint32).reshape(3, -1)
    scale = 1 if colours.max(initial=0) < 256 else 257
    other = (before.entries != after.entries).any(axis=1)
    colours[:, other] = after.entries[other, :3].T.astype(np.uint32) * scale
    _put_numbers(result, directory, COLOUR_MAP, colours.ravel().tolist())


def _compressed(layout: Layout, segment: Segment, samples: Samples) -> bytes:
    """A strip's or tile's samples as they stand in the file; a tile is filled up with its last row and column."""
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
