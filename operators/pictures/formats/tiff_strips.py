"""Strips and tiles: how a TIFF stores its samples, and how others replace them (Adobe TIFF 6.0).

The libtiff that comes with Pillow compresses and decompresses plain bytes; this module handles
bit depth, byte order, planes and differences. A strip or tile of JPEG is a stream of its own, whose
tables the file may hold once for all (Technical Note 2): it is edited as any JPEG is.
"""

from __future__ import annotations

import io
import struct
import zlib
from bisect import bisect_left
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from PIL import Image

from operators.pictures.colour import Samples
from operators.pictures.formats.header import open_image
from operators.pictures.formats.jpeg import rewritten
from operators.pictures.formats.jpeg_markers import frame_of, without_markers
from operators.pictures.formats.tiff_directory import Directory, first_directory
from operators.rows.arrays import Pixels

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
STRIP_OFFSETS, SAMPLES, STRIP_ROWS, STRIP_COUNTS, PLANES, GROUP_3_OPTIONS = 273, 277, 278, 279, 284, 292
PREDICTOR, TILE_WIDTH, TILE_LENGTH, TILE_OFFSETS, TILE_COUNTS = 317, 322, 323, 324, 325
JPEG_TABLES = 347
PLAIN, JPEG, DEFLATE = 1, 7, (8, 32946)
RGB, YCBCR = 2, 6
"""Photometric interpretations of the samples in a JPEG."""
ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0"
"""The marker that tells a JPEG decoder the colour space, without the number of the space."""
FAX = {2: "tiff_ccitt", 3: "group3", 4: "group4"}
COMPRESSIONS = FAX | {
    5: "tiff_lzw",
    8: "tiff_adobe_deflate",
    32773: "packbits",
    32946: "tiff_deflate",
    34925: "lzma",
    50000: "zstd",
}
"""Lossless compressions, with Pillow's names."""
DIFFERENCES = 2
"""The predictor that stores each sample as its difference from the one to its left."""
LARGEST_TILE = 4096
"""Pixels by which a tile may be higher or wider than its picture; a larger one is damaged."""
REVERSED = np.array([int(f"{value:08b}"[::-1], 2) for value in range(256)], np.uint8)
"""Every byte with its bits in reverse order."""


Span = tuple[int, int]
"""The first byte of a part of a file, and the one after its last."""


@dataclass(frozen=True)
class Segment:
    """One strip or tile: its rectangle in stored pixels and which samples it holds."""

    top: int
    left: int
    height: int
    width: int
    plane: slice
    """The samples of a pixel that the segment holds."""


@dataclass(frozen=True)
class Layout:
    """How a file stores its samples."""

    directory: Directory
    width: int
    height: int
    bits: int
    """Bits of a sample: 1, 2, 4, 8 or 16."""
    samples: int
    """Samples of a pixel."""
    compression: int
    """PLAIN, JPEG or a key of COMPRESSIONS."""
    differences: bool
    """Whether the predictor is DIFFERENCES."""
    reversed: bool
    """Whether the bits of every byte are in reverse order."""
    tile: tuple[int, int] | None
    """Height and width of a tile; None for strips."""
    strip_rows: int
    """Rows of a strip; the last one may be shorter."""
    planes: int
    """1 if a segment holds all samples of its pixels, else the number of samples."""
    offsets: tuple[int, ...]
    """Where each segment starts in the file."""
    counts: tuple[int, ...]
    """Bytes of each segment."""
    tags: tuple[int, int]
    """The tags that hold `offsets` and `counts`."""

    @property
    def order(self) -> str:
        """Byte order of samples, `<` or `>`."""
        return self.directory.order

    def segments(self) -> Iterator[Segment]:
        """Every strip or tile, in the order of `offsets`.

        Tiles may extend beyond the right and lower edges of the picture.
        """
        height, width = self.tile or (self.strip_rows, self.width)
        for plane in range(self.planes):
            part = slice(0, self.samples) if self.planes == 1 else slice(plane, plane + 1)
            for top in range(0, self.height, height):
                rows = height if self.tile else min(height, self.height - top)
                for left in range(0, self.width, width):
                    yield Segment(top, left, rows, width, part)


def layout_of(directory: Directory) -> Layout:
    """The layout of a supported file. Raises ValueError if it is inconsistent or incomplete.

    As in libtiff, a file with a tile's width has tiles, and either pair of tags may hold where
    the strips or tiles are: some writers put tiles under the tags of strips.
    """
    width, height = directory.number(WIDTH, 0), directory.number(LENGTH, 0)
    tiled = TILE_WIDTH in directory.entries
    pairs = ((STRIP_OFFSETS, STRIP_COUNTS), (TILE_OFFSETS, TILE_COUNTS))
    tags = next((pair for pair in pairs[:: -1 if tiled else 1] if pair[0] in directory.entries), pairs[tiled])
    tile = (directory.number(TILE_LENGTH, 0), directory.number(TILE_WIDTH, 0)) if tiled else None
    strip_rows = min(height, directory.number(STRIP_ROWS, height))
    bits, samples = directory.number(BITS, 1), directory.number(SAMPLES, 1)
    if min(width, height, bits, samples) < 1:
        raise ValueError(f"{width} x {height} pixels of {samples} samples of {bits} bits")
    if strip_rows < 1 or (tile and not (0 < tile[0] <= height + LARGEST_TILE and 0 < tile[1] <= width + LARGEST_TILE)):
        raise ValueError(f"strips of {strip_rows} rows, tiles of {tile}")
    planes = samples if directory.number(PLANES, 1) == 2 else 1
    offsets = directory.numbers(tags[0])
    compression = directory.number(COMPRESSION, PLAIN)
    down, across = tile or (strip_rows, width)
    expected = planes * -(-height // down) * -(-width // across)
    counts = directory.numbers(tags[1])
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
        directory=directory,
        width=width,
        height=height,
        bits=bits,
        samples=samples,
        compression=compression,
        differences=directory.number(PREDICTOR, 1) == DIFFERENCES,
        reversed=directory.number(FILL_ORDER, 1) == 2,
        tile=tile,
        strip_rows=strip_rows,
        planes=planes,
        offsets=offsets,
        counts=counts,
        tags=tags,
    )


def _rows(height: int, down: int, expected: int, tiled: bool) -> list[int]:
    """The number of rows of every strip or tile, in order; the last strip may be shorter."""
    if tiled:
        return [down] * expected
    strips = [min(down, height - top) for top in range(0, height, down)]
    return strips * (expected // len(strips))


def _row_bytes(width: int, samples: int, bits: int) -> int:
    """Bytes of an uncompressed row."""
    return (width * samples * bits + 7) // 8


def decompressed(layout: Layout) -> Samples:
    """All samples of a file, height x width x samples, uint8 or uint16.

    Raises OSError or ValueError for damaged data.
    """
    if layout.compression == JPEG:
        return _decompressed_jpeg(layout)
    samples = layout.samples // layout.planes
    parts = len(layout.offsets) // layout.planes
    row = _row_bytes(layout.width, samples, layout.bits)
    planes = []
    for plane in range(layout.planes):
        lines = _lines(layout, slice(plane * parts, (plane + 1) * parts), row, samples)
        planes.append(_unpacked(layout, lines, samples))
    stored = planes[0] if layout.planes == 1 else np.concatenate(planes, axis=2)
    if layout.differences:
        across = layout.tile[1] if layout.tile else layout.width
        for left in range(0, layout.width, across):
            part = stored[:, left : left + across]
            np.cumsum(part, axis=1, dtype=stored.dtype, out=part)
    return stored


def _decompressed_jpeg(layout: Layout) -> Samples:
    """All samples of a file whose strips or tiles are JPEG. Raises ValueError for another size."""
    stored = np.empty((layout.height, layout.width, layout.samples), np.uint8)
    for number, segment in enumerate(layout.segments()):
        area = stored[segment.top : segment.top + segment.height, segment.left : segment.left + segment.width]
        pixels = np.asarray(open_image(jpeg_of(layout, number), "JPEG"))
        pixels = pixels.reshape(*pixels.shape[:2], -1)[: area.shape[0], : area.shape[1]]
        if pixels.shape != area.shape:
            raise ValueError(f"a part of {pixels.shape} samples instead of {area.shape}")
        area[...] = pixels
    return stored


def jpeg_of(layout: Layout, number: int) -> bytes:
    """A strip or tile as a JPEG file with its tables and colour space."""
    photometric, stream = layout.directory.number(PHOTOMETRIC, 1), jpeg_with_tables(layout, number)
    return stream[:2] + (ADOBE + bytes([photometric == YCBCR]) if photometric in (RGB, YCBCR) else b"") + stream[2:]


def jpeg_with_tables(layout: Layout, number: int) -> bytes:
    """A strip or tile as the file stores it, after the tables that the file holds for all."""
    offset = layout.offsets[number]
    stream = bytes(layout.directory.data[offset : offset + layout.counts[number]])
    return stream[:2] + (layout.directory.content(JPEG_TABLES) or b"")[2:-2] + stream[2:]


def compressed_jpeg(layout: Layout, number: int, segment: Segment, samples: Samples, changed: npt.NDArray[np.bool_]) -> bytes:
    """A strip's or tile's samples as a JPEG whose blocks change only where pixels do.

    `samples` and `changed` are those of the segment inside of the picture. Raises OSError or
    ValueError for components that cannot be coded again.
    """
    source = jpeg_of(layout, number)
    frame = frame_of(source)
    if frame is None:
        raise ValueError("a part without a frame header")
    height, width = min(frame.height, segment.height), min(frame.width, segment.width)
    missing = ((0, height - samples.shape[0]), (0, width - samples.shape[1]))
    after, marked = np.pad(samples, (*missing, (0, 0)), mode="edge"), np.pad(changed, missing)
    return without_markers(rewritten(source, after, marked), kept=())


def _lines(layout: Layout, parts: slice, row: int, samples: int) -> Pixels:
    """The decompressed lines of one plane, uint8, height x `row` bytes.

    `parts` are the plane's strips or tiles, `samples` those of a pixel in it. Pillow decodes a
    copy of the file with a directory that declares the pixels to be plain bytes.
    """
    offsets, counts = layout.offsets[parts], layout.counts[parts]
    if layout.compression == PLAIN and not layout.tile:
        lines = b"".join(
            bytes(layout.directory.data[offset : offset + count]) for offset, count in zip(offsets, counts, strict=True)
        )
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
        across = layout.tile[1] if fax else _row_bytes(layout.tile[1], samples, layout.bits)
        tags |= {TILE_WIDTH: (across,), TILE_LENGTH: (layout.tile[0],), TILE_OFFSETS: offsets, TILE_COUNTS: counts}
    else:
        tags |= {STRIP_OFFSETS: offsets, STRIP_ROWS: (layout.strip_rows,), STRIP_COUNTS: counts}
    if GROUP_3_OPTIONS in layout.directory.entries:
        tags[GROUP_3_OPTIONS] = layout.directory.numbers(GROUP_3_OPTIONS)
    file = open_image(_with_directory(layout.directory.data, tags), "TIFF")
    return np.frombuffer(file.tobytes(), np.uint8).reshape(layout.height, row)


def _with_directory(data: memoryview, tags: dict[int, tuple[int, ...]]) -> bytes:
    """The file's bytes with a little-endian header and one new directory of 32-bit numbers."""
    directory = len(data) + len(data) % 2
    values_start = directory + 2 + 12 * len(tags) + 4
    entries, values = b"", b""
    for tag in sorted(tags):
        numbers = struct.pack(f"<{len(tags[tag])}I", *tags[tag])
        inline = len(numbers) <= 4
        value_field = numbers if inline else struct.pack("<I", values_start + len(values))
        entries += struct.pack("<HHI", tag, 4, len(tags[tag])) + value_field
        values += b"" if inline else numbers
    return b"".join(
        [
            struct.pack("<2sHI", b"II", 42, directory),
            data[8:],
            bytes(directory - len(data)),
            struct.pack("<H", len(tags)),
            entries,
            bytes(4),
            values,
        ]
    )


def _unpacked(layout: Layout, lines: Pixels, samples: int) -> Samples:
    """Lines of bytes as samples, height x width x samples."""
    shape = (layout.height, layout.width, samples)
    if layout.bits == 16:
        return lines.view(f"{layout.order}u2").astype(np.uint16).reshape(shape)
    if layout.bits == 8:
        return np.array(lines).reshape(shape)
    bits = np.unpackbits(lines, axis=1)[:, : layout.width * layout.bits].reshape(layout.height, layout.width, layout.bits)
    return (bits @ (1 << np.arange(layout.bits, dtype=np.uint8)[::-1])).astype(np.uint8)[:, :, None]


def compressed(layout: Layout, segment: Segment, samples: Samples) -> bytes:
    """A strip's or tile's samples as the file stores them.

    A tile that extends beyond the picture repeats its last row and column. Raises OSError or
    ValueError if libtiff cannot compress them.
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
        offsets, counts = small.numbers(STRIP_OFFSETS), small.numbers(STRIP_COUNTS)
        if len(offsets) != 1:
            raise ValueError(f"{len(offsets)} strips instead of one")
        content = buffer.getvalue()[offsets[0] : offsets[0] + counts[0]]
    return REVERSED[np.frombuffer(content, np.uint8)].tobytes() if layout.reversed else content


def _packed(layout: Layout, samples: Samples) -> Pixels:
    """Samples as lines of bytes."""
    if layout.bits == 16:
        return np.ascontiguousarray(samples, f"{layout.order}u2").view(np.uint8).reshape(samples.shape[0], -1)
    if layout.bits == 8:
        return np.ascontiguousarray(samples, np.uint8).reshape(samples.shape[0], -1)
    bits = np.unpackbits(np.ascontiguousarray(samples, np.uint8), axis=2)[:, :, -layout.bits :]
    return np.packbits(bits.reshape(samples.shape[0], -1), axis=1)


def place(
    result: bytearray, layout: Layout, parts: dict[int, bytes], others: Sequence[Span] = ()
) -> tuple[list[int], list[int]]:
    """Write new strips or tiles (content by number) to a file, in place.

    They go where the old ones were if there is room, else to the end of the file. No byte of the
    old ones remains, except for bytes that `others` or a strip or tile that stays have too.
    Returns the offsets and lengths of all strips or tiles.
    """
    offsets, counts = list(layout.offsets), list(layout.counts)
    kept = _kept(layout, parts.keys(), others)
    gaps = _gaps(layout, parts.keys(), kept)
    _erase(result, layout, parts.keys(), kept)
    for number, content in parts.items():
        counts[number] = len(content)
        gap = next((gap for gap in gaps if gap.end - gap.start >= len(content) or gap.end == len(layout.directory.data)), None)
        if gap is None:
            gap = Gap(len(result) + len(result) % 2, 0)
        offset = offsets[number] = gap.start
        result += bytes(max(0, offset + len(content) - len(result)))
        result[offset : offset + len(content)] = content
        gap.start += len(content) + len(content) % 2
    return offsets, counts


def without_pixels(source: bytes, layout: Layout, parts: list[bytes], others: Sequence[Span]) -> tuple[bytearray, list[int]]:
    """The file with other strips in the room of its pixels and at its end, and their offsets.

    Bytes of `others` stay as they are.
    """
    result = bytearray(source)
    everything = range(len(layout.offsets))
    kept = _kept(layout, everything, others)
    _erase(result, layout, everything, kept)
    gaps = _gaps(layout, everything, kept)
    if gaps and gaps[-1].end == len(result):
        del result[gaps.pop().start :]
    offsets = []
    for content in parts:
        gap = next((gap for gap in gaps if gap.end - gap.start >= len(content)), None)
        if gap is None:
            result += bytes(len(result) % 2)
            offsets.append(len(result))
            result += content
        else:
            offsets.append(gap.start)
            result[gap.start : gap.start + len(content)] = content
            gap.start += len(content) + len(content) % 2
    return result, offsets


def _kept(layout: Layout, replaced: Collection[int], others: Sequence[Span]) -> list[Span]:
    """The bytes that must stay: `others`, and strips or tiles that are not replaced.

    They are in order and do not overlap.
    """
    own = (span for number, span in enumerate(_spans(layout)) if number not in replaced)
    kept: list[Span] = []
    for start, end in sorted((*own, *others)):
        if kept and start <= kept[-1][1]:
            kept[-1] = kept[-1][0], max(end, kept[-1][1])
        elif start < end:
            kept.append((start, end))
    return kept


def _spans(layout: Layout) -> list[Span]:
    """Where each strip or tile starts and ends."""
    return [(offset, offset + count) for offset, count in zip(layout.offsets, layout.counts, strict=True)]


def _among(kept: list[Span], span: Span) -> Iterator[Span]:
    """Those of the bytes that stay, in order, which a span has too."""
    start, end = span
    for kept_start, kept_end in kept[max(0, bisect_left(kept, (start, start)) - 1) :]:
        if kept_start >= end:
            return
        if kept_end > start:
            yield max(start, kept_start), min(end, kept_end)


def _erase(result: bytearray, layout: Layout, replaced: Collection[int], kept: list[Span]) -> None:
    """Write zeros over replaced strips or tiles, in place, except for bytes that stay."""
    spans = _spans(layout)
    for start, end in sorted(spans[number] for number in replaced):
        position = start
        for kept_start, kept_end in _among(kept, (start, end)):
            result[position:kept_start] = bytes(kept_start - position)
            position = kept_end
        result[position:end] = bytes(end - position)


@dataclass
class Gap:
    """Free bytes of a file between two offsets; `start` advances as they are used."""

    start: int
    end: int


def _gaps(layout: Layout, replaced: Collection[int], kept: list[Span]) -> list[Gap]:
    """The gaps that replaced strips or tiles leave, adjacent ones joined.

    Bytes that two strips or tiles share are no gap: some writers store equal ones once. Nor are
    bytes that stay.
    """
    every = _spans(layout)
    spans = sorted((start, end) for start, end in every if start < end)
    shared = {span for first, second in pairwise(spans) if second[0] < first[1] for span in (first, second)}
    gaps: list[Gap] = []
    for start, end in sorted(every[number] for number in replaced):
        if (start, end) in shared or any(_among(kept, (start, end))):
            continue
        if gaps and gaps[-1].end <= start <= gaps[-1].end + start % 2:
            gaps[-1].end = end
        else:
            gaps.append(Gap(start, end))
    return gaps
