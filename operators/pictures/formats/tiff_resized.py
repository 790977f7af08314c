"""A TIFF whose picture has another size: the source with new strips and a new first directory.

Source: Adobe TIFF 6.0. All tags that do not describe the pixels keep their values where they are,
with the directories that they point to (EXIF, GPS). The new strips take the room of the old
pixels, then the end of the file.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np

from operators.pictures.colour import Samples
from operators.pictures.formats import tiff_strips as strips
from operators.pictures.formats.tiff import directories_of, other_places
from operators.pictures.formats.tiff_directory import WHOLE, Directory, first_directory
from operators.rows.arrays import Pixels

ROWS = 64
"""Rows of a strip."""
COLOUR_MAP, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT, INCH = 320, 282, 283, 296, 2
SHORT, LONG, RATIONAL, LONG_8 = 3, 4, 5, 16
"""Field types."""
OLD_PIXELS = (strips.TILE_WIDTH, strips.TILE_LENGTH, strips.TILE_OFFSETS, strips.TILE_COUNTS, 254, 255, 347, 512, 529, 530, 532)
"""Tags of the old pixels that new strips do without."""
Field = tuple[int, int, bytes]
"""Type, number of values and content of a tag."""


def resized(source: bytes, stored: Samples, inverted: bool, colours: Pixels | None, dots: float | None) -> bytes:
    """The source with other pixels.

    `stored` are height x width x samples; grey of them counts from black, even if the source's is
    `inverted`. `colours` is the palette of indices, 256 x 3. `dots` is a new resolution in dots
    per inch. Raises OSError or ValueError for damaged tags.
    """
    directory = first_directory(source)
    old = strips.layout_of(directory)
    known = old.compression in strips.COMPRESSIONS and old.compression not in strips.FAX
    height, width, samples = stored.shape
    layout = replace(
        old,
        width=width,
        height=height,
        bits=8 * stored.dtype.itemsize,
        samples=samples,
        compression=old.compression if known or old.compression == strips.PLAIN else 8,
        differences=old.differences and known and colours is None,
        tile=None,
        strip_rows=ROWS,
        planes=1,
    )
    parts = [
        strips.compressed(layout, segment, stored[segment.top : segment.top + segment.height]) for segment in layout.segments()
    ]
    result, offsets = strips.without_pixels(source, old, parts, other_places(directories_of(source), directory))
    whole = {
        strips.WIDTH: (width,),
        strips.LENGTH: (height,),
        strips.BITS: (layout.bits,) * samples,
        strips.COMPRESSION: (layout.compression,),
        strips.STRIP_OFFSETS: tuple(offsets),
        strips.SAMPLES: (samples,),
        strips.STRIP_ROWS: (ROWS,),
        strips.STRIP_COUNTS: tuple(len(part) for part in parts),
        strips.PLANES: (1,),
    }
    if inverted:
        whole[strips.PHOTOMETRIC] = (1 if samples < 3 else directory.number(strips.PHOTOMETRIC, 1),)
    if strips.PREDICTOR in directory.entries:
        whole[strips.PREDICTOR] = (strips.DIFFERENCES if layout.differences else 1,)
    fields = {tag: _field(directory, tag, numbers) for tag, numbers in whole.items()}
    if colours is not None:
        table = (colours.astype(np.uint16).T * 257).astype(f"{directory.order}u2")
        fields[COLOUR_MAP] = (SHORT, table.size, table.tobytes())
    if dots is not None:
        rational = struct.pack(f"{directory.order}2I", round(dots * 100), 100)
        fields |= {X_RESOLUTION: (RATIONAL, 1, rational), Y_RESOLUTION: (RATIONAL, 1, rational)}
        fields[RESOLUTION_UNIT] = (SHORT, 1, struct.pack(f"{directory.order}H", INCH))
    return _with_directory(result, directory, fields)


def _field(directory: Directory, tag: int, numbers: tuple[int, ...]) -> Field:
    """Whole numbers as the content of a tag."""
    offsets = tag in (strips.STRIP_OFFSETS, strips.STRIP_COUNTS)
    kind = LONG_8 if offsets and directory.next_width == 8 else LONG
    if tag not in (strips.WIDTH, strips.LENGTH, strips.STRIP_ROWS) and not offsets:
        kind = SHORT
    return kind, len(numbers), struct.pack(f"{directory.order}{len(numbers)}{WHOLE[kind]}", *numbers)


def _with_directory(result: bytearray, directory: Directory, fields: dict[int, Field]) -> bytes:
    """The file with a first directory of the old one's tags and these; the old one becomes zero."""
    big = directory.next_width == 8
    size, letter, count_letter = (20, "Q", "Q") if big else (12, "I", "H")
    order, inline = directory.order, directory.next_width
    raw: dict[int, bytes] = {}
    count_size = struct.calcsize(count_letter)
    (number,) = struct.unpack_from(f"{order}{count_letter}", result, directory.start)
    for place in range(number):
        start = directory.start + count_size + place * size
        entry = bytes(result[start : start + size])
        tag = struct.unpack_from(f"{order}H", entry)[0]
        if tag not in OLD_PIXELS:
            raw.setdefault(tag, entry)
    old_end = directory.next_pointer + inline
    result[directory.start : old_end] = bytes(old_end - directory.start)
    for tag, (kind, values, content) in fields.items():
        if len(content) > inline:
            result += bytes(len(result) % 2)
            value = struct.pack(f"{order}{letter}", len(result))
            result += content
        else:
            value = content.ljust(inline, b"\0")
        raw[tag] = struct.pack(f"{order}HH{letter}", tag, kind, values) + value
    result += bytes(len(result) % 2)
    struct.pack_into(f"{order}{letter}", result, 8 if big else 4, len(result))
    head = struct.pack(f"{order}{count_letter}", len(raw))
    return bytes(result) + head + b"".join(raw[tag] for tag in sorted(raw)) + bytes(inline)
