"""The marker segments of a JPEG, kept unchanged and in order whatever writes the coefficients.

Data after the end of the picture (a camera's previews, a gain map, the film of a motion photo, a
maker's private data) is kept, and the index of appended pictures (CIPA DC-007) is updated. What
would show erased content is the affair of `operators.pictures.previews`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from operators.pictures.formats.tiff_directory import Directory, first_directory

APPLICATION_OR_COMMENT = (*range(0xE0, 0xF0), 0xFE)
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
WITHOUT_LENGTH = frozenset((0x00, 0x01, 0xFF, *range(0xD0, 0xD9)))
INDEX = b"MPF\0"
COLOUR_SPACES = (b"JFIF\0", b"Adobe")
"""How the segments start by which decoders know a file's colour space."""
PROFILE = b"ICC_PROFILE\0"
INDEX_ENTRIES = 0xB002
PREVIEW = 1
"""The kind of an appended smaller copy of the first picture (CIPA DC-007, 5.2.3.3.1)."""


@dataclass(frozen=True)
class Frame:
    """A frame header."""

    marker: int
    """Which kind of frame, one of FRAMES."""
    precision: int
    """Bits of a sample."""
    width: int
    height: int


class IndexedPicture(NamedTuple):
    """One picture in an index of appended pictures."""

    attributes: int
    """Flags and, in the middle bits, the kind of picture."""
    size: int
    """Length in bytes."""
    offset: int
    """Where it starts, counted from the index's byte order mark; 0 for the first picture."""


class Index(NamedTuple):
    """The index of appended pictures."""

    start: int
    """Offset of its byte order mark in the file."""
    directory: Directory


def segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and offset of every segment that has a length, scans included.

    Entropy-coded data is skipped.
    """
    position = 2
    while (position := data.find(0xFF, position)) >= 0 and position + 4 <= len(data):
        marker = data[position + 1]
        if marker in WITHOUT_LENGTH:
            position += 1 if marker == 0xFF else 2
            continue
        if marker == END_OF_IMAGE:
            return
        yield marker, position
        position += 2 + _length(data, position)


def end_of_image(data: bytes) -> int:
    """The offset after the first picture's end marker; the data's length without a marker."""
    last = 2
    for _, offset in segments(data):
        last = offset + 2 + _length(data, offset)
    end = data.find(b"\xff\xd9", last)
    return len(data) if end < 0 else end + 2


def with_end(data: bytes) -> bytes:
    """The file with an end marker after its first picture, if it has none."""
    end = end_of_image(data)
    return data if data[end - 2 : end] == b"\xff\xd9" else data + b"\xff\xd9"


def scans_are_complete(data: bytes) -> bool:
    """Whether a progressive file has a scan for the last bit of each component's coefficients."""
    missing: dict[int, set[int]] = {}
    for marker, offset in segments(data):
        if marker in FRAMES:
            missing = {number: set(range(64)) for number in component_ids(data)}
        elif marker == START_OF_SCAN and _length(data, offset) >= 6:
            end = offset + 2 + _length(data, offset)
            first, last, bits = data[end - 3 : end]
            if bits & 15 == 0:
                for place in range(offset + 5, end - 3, 2):
                    missing.get(data[place], set()).difference_update(range(first, last + 1))
    return not any(missing.values())


def frame_of(data: bytes) -> Frame | None:
    """The first frame header; None if there is none."""
    for marker, offset in segments(data):
        if marker in FRAMES and offset + 9 <= len(data):
            precision, height, width = struct.unpack(">BHH", data[offset + 4 : offset + 9])
            return Frame(marker, precision, width, height)
        if marker == START_OF_SCAN:
            break
    return None


def component_ids(data: bytes) -> bytes:
    """The numbers of a file's components: usually 1, 2, 3, but any are allowed.

    Raises ValueError for a file without a frame header.
    """
    for marker, offset in segments(data):
        if marker in FRAMES:
            return bytes(data[offset + 10 + 3 * number] for number in range(data[offset + 9]))
    raise ValueError("no frame header")


def luma_and_black(data: bytes) -> bool:
    """Whether Adobe's marker declares YCCK: luma, two colour differences and black."""
    for marker, offset in segments(data):
        if marker == 0xEE and data[offset + 4 : offset + 9] == b"Adobe":
            return data[offset + 15 : offset + 16] == b"\x02"
    return False


def stores_rgb(data: bytes) -> bool:
    """Whether three components are red, green and blue, by the rules of libjpeg.

    JFIF means luma and colour differences; Adobe's marker says what it is; without either, the
    components are RGB if they are named so.
    """
    for marker, offset in segments(data):
        if marker == 0xE0 and data[offset + 4 : offset + 9] == b"JFIF\0":
            return False
    for marker, offset in segments(data):
        if marker == 0xEE and data[offset + 4 : offset + 9] == b"Adobe":
            return data[offset + 15 : offset + 16] == b"\0"
    return component_ids(data) == b"RGB"


def profile_of(data: bytes) -> bytes | None:
    """The ICC profile, wherever its segments are before the first scan; None if parts are missing.

    Source: ICC.1:2022, B.4.
    """
    parts: dict[int, bytes] = {}
    count = 0
    for marker, offset in segments(data):
        if marker == START_OF_SCAN:
            break
        if marker == 0xE2 and data[offset + 4 : offset + 16] == PROFILE and _length(data, offset) >= 16:
            count = data[offset + 17]
            parts[data[offset + 16]] = data[offset + 18 : offset + 2 + _length(data, offset)]
    whole = count > 0 and sorted(parts) == list(range(1, count + 1))
    return b"".join(parts[number] for number in sorted(parts)) if whole else None


def with_component_order(data: bytes, order: tuple[int, ...]) -> bytes:
    """The file with the components of its frame header in another order; scans stay unchanged.

    Raises ValueError for a file without a frame header.
    """
    for marker, offset in segments(data):
        if marker in FRAMES:
            entries = [data[offset + 10 + 3 * number : offset + 13 + 3 * number] for number in order]
            return data[: offset + 10] + b"".join(entries) + data[offset + 10 + 3 * len(order) :]
    raise ValueError("no frame header")


def with_component_ids(data: bytes, ids: bytes) -> bytes:
    """The file with its components renumbered, in the frame header and in every scan.

    Raises ValueError for a file without a frame header.
    """
    renamed, old_ids = bytearray(data), component_ids(data)
    if old_ids == ids:
        return data
    for marker, offset in segments(data):
        if marker in FRAMES:
            for number, new in enumerate(ids):
                renamed[offset + 10 + 3 * number] = new
        elif marker == START_OF_SCAN:
            for number in range(data[offset + 4]):
                place = offset + 5 + 2 * number
                renamed[place] = ids[old_ids.index(data[place])]
    return bytes(renamed)


def with_markers(data: bytes, source: bytes) -> bytes:
    """The file with the application and comment segments of the source, in their order.

    They replace all such segments of the file.
    """
    metadata = [
        source[offset : offset + 2 + _length(source, offset)]
        for marker, offset in segments(source)
        if marker in APPLICATION_OR_COMMENT
    ]
    bare = without_markers(data, kept=())
    return bare[:2] + b"".join(metadata) + bare[2:]


def without_markers(data: bytes, kept: tuple[bytes, ...] = COLOUR_SPACES) -> bytes:
    """The file without application and comment segments, except those that start as in `kept`."""
    stripped, position = [], 0
    for marker, offset in segments(data):
        if marker in APPLICATION_OR_COMMENT and data[offset + 4 : offset + 9] not in kept:
            stripped.append(data[position:offset])
            position = offset + 2 + _length(data, offset)
    return b"".join([*stripped, data[position:]])


def with_trailer(data: bytes, source: bytes, end: int) -> bytes:
    """An edited file (`data`) followed by what follows the source's first picture.

    `end` is where that starts in the source. The index of appended pictures is updated.
    """
    index, new_index = index_of(source), index_of(data)
    if index is None or new_index is None:
        return data + source[end:]
    result, order = bytearray(data), index.directory.order
    entries = new_index.start + index.directory.entries[INDEX_ENTRIES].offset
    for number, picture in enumerate(indexed_pictures(index.directory)):
        if number == 0:
            struct.pack_into(f"{order}I", result, entries + 4, len(data))
        elif picture.offset:
            offset = len(data) + index.start + picture.offset - end - new_index.start
            struct.pack_into(f"{order}I", result, entries + 16 * number + 8, max(0, offset))
    return bytes(result) + source[end:]


def index_of(data: bytes) -> Index | None:
    """The index of appended pictures; None if there is none that can be read."""
    for marker, offset in segments(data):
        if marker == START_OF_SCAN:
            return None
        if marker == 0xE2 and data[offset + 4 : offset + 8] == INDEX:
            try:
                directory = first_directory(data[offset + 8 : offset + 2 + _length(data, offset)])
                directory.content(INDEX_ENTRIES)
            except ValueError:
                return None
            return Index(offset + 8, directory) if INDEX_ENTRIES in directory.entries else None
    return None


def indexed_pictures(index: Directory) -> list[IndexedPicture]:
    """Every picture that an index names, the first one included."""
    content = index.content(INDEX_ENTRIES) or b""
    entries = [content[offset : offset + 12] for offset in range(0, len(content) // 16 * 16, 16)]
    return [IndexedPicture(*struct.unpack(f"{index.order}3I", entry)) for entry in entries]


def _length(data: bytes, offset: int) -> int:
    """The length of the segment at an offset, without the marker, with the two length bytes."""
    return int.from_bytes(data[offset + 2 : offset + 4], "big")
