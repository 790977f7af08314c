"""The marker segments of a JPEG: kept byte for byte and in order, whatever writes the
coefficients.

Only thumbnails that would show what was erased are drawn again, in place. What follows the
picture's end (a camera's previews, a motion photo's film, a maker's own data) is kept; the index
of appended previews (CIPA DC-007) follows where they move.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from operators.pictures.formats.thumbnails import Draw, exif_redrawn, photoshop_redrawn, redrawn, xmp_redrawn
from operators.pictures.formats.tiff_directory import Directory, first_directory

APPLICATION_OR_COMMENT = (*range(0xE0, 0xF0), 0xFE)
FRAMES = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0))
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9
WITHOUT_LENGTH = frozenset((0x00, 0x01, 0xFF, *range(0xD0, 0xD9)))
EXIF, XMP, PHOTOSHOP, INDEX = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"Photoshop 3.0\0", b"MPF\0"
INDEX_ENTRIES = 0xB002
PREVIEW = 1
"""The kind of an appended picture that is a smaller copy of the first (CIPA DC-007, 5.2.3.3.1).
"""


@dataclass(frozen=True)
class Frame:
    """What a frame header says: its marker, bits a sample, and size."""

    marker: int
    precision: int
    width: int
    height: int


def segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and offset of every segment with a length, scans included; their entropy-coded data
    is passed over.
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
    """The offset behind the end marker of the first picture; the data's length where it has none."""
    last = 2
    for _, at in segments(data):
        last = at + 2 + _length(data, at)
    end = data.find(b"\xff\xd9", last)
    return len(data) if end < 0 else end + 2


def frame_of(data: bytes) -> Frame | None:
    """The first frame header; None where there is none."""
    for marker, at in segments(data):
        if marker in FRAMES and at + 9 <= len(data):
            precision, height, width = struct.unpack(">BHH", data[at + 4 : at + 9])
            return Frame(marker, precision, width, height)
        if marker == START_OF_SCAN:
            break
    return None


def component_ids(data: bytes) -> bytes:
    """The numbers by which a file calls its components: by convention 1, 2, 3, but any will do."""
    for marker, at in segments(data):
        if marker in FRAMES:
            return bytes(data[at + 10 + 3 * number] for number in range(data[at + 9]))
    raise ValueError("no frame header")


def luma_and_black(data: bytes) -> bool:
    """Whether Adobe's marker says that four components are luma, two colour differences and black
    (YCCK).
    """
    for marker, at in segments(data):
        if marker == 0xEE and data[at + 4 : at + 9] == b"Adobe":
            return data[at + 15 : at + 16] == b"\x02"
    return False


def with_component_order(data: bytes, order: tuple[int, ...]) -> bytes:
    """The file with the components of its frame header in another order; its scans are left
    alone.
    """
    for marker, at in segments(data):
        if marker in FRAMES:
            entries = [data[at + 10 + 3 * number : at + 13 + 3 * number] for number in order]
            return data[: at + 10] + b"".join(entries) + data[at + 10 + 3 * len(order) :]
    raise ValueError("no frame header")


def with_component_ids(data: bytes, ids: bytes) -> bytes:
    """The file with its components called by other numbers, in its frame header and in every
    scan.
    """
    renamed, own = bytearray(data), component_ids(data)
    if own == ids:
        return data
    for marker, at in segments(data):
        if marker in FRAMES:
            for number, new in enumerate(ids):
                renamed[at + 10 + 3 * number] = new
        elif marker == START_OF_SCAN:
            for number in range(data[at + 4]):
                place = at + 5 + 2 * number
                renamed[place] = ids[own.index(data[place])]
    return bytes(renamed)


def with_markers(data: bytes, source: bytes, draw: Draw | None = None) -> bytes:
    """The file with exactly the application and comment segments of the source, in their order.

    With `draw`, the thumbnails in them show what it draws.
    """
    kept = [source[at : at + 2 + _length(source, at)] for marker, at in segments(source) if marker in APPLICATION_OR_COMMENT]
    if draw is not None:
        kept = _with_thumbnails(kept, draw)
    stripped, position = b"", 2
    for marker, at in segments(data):
        if marker in APPLICATION_OR_COMMENT:
            stripped += data[position:at]
            position = at + 2 + _length(data, at)
    return data[:2] + b"".join(kept) + stripped + data[position:]


def _with_thumbnails(kept: list[bytes], draw: Draw) -> list[bytes]:
    """Application segments of the same lengths whose thumbnails are drawn again; Photoshop's may
    span several of them.
    """
    result = list(kept)
    for number, segment in enumerate(kept):
        if segment[1] == 0xE1 and segment[4:].startswith(EXIF):
            result[number] = segment[:10] + exif_redrawn(segment[10:], draw)
        elif segment[1] == 0xE1 and segment[4:].startswith(XMP):
            result[number] = segment[: 4 + len(XMP)] + xmp_redrawn(segment[4 + len(XMP) :], draw)
    places = [number for number, segment in enumerate(result) if segment[1] == 0xED and segment[4:].startswith(PHOTOSHOP)]
    start = 4 + len(PHOTOSHOP)
    resources = photoshop_redrawn(b"".join(result[number][start:] for number in places), draw)
    for number in places:
        size = len(result[number]) - start
        result[number] = result[number][:start] + resources[:size]
        resources = resources[size:]
    return result


def other_pictures(data: bytes) -> int:
    """How many pictures a file holds beside its first and smaller copies of that: gain maps,
    stereo pairs, panoramas.
    """
    index = _index(data)
    if index is None:
        return 0
    return sum(entry[0] >> 16 & 0xFF != PREVIEW for entry in _pictures(index[1])[1:])


def with_trailer(data: bytes, source: bytes, end: int, draw: Draw) -> bytes:
    """An edited file (`data`) followed by what stood behind the source's first picture, its
    previews drawn again.

    Raises ValueError where a preview that the source's index names cannot be drawn again.
    """
    trailer, index = bytearray(source[end:]), _index(source)
    moved = _index(data)
    if index is None or moved is None:
        return data + bytes(trailer)
    result, header = bytearray(data), moved[0]
    place, order = header + index[1].entries[INDEX_ENTRIES].at, index[1].order
    for number, (_, size, offset) in enumerate(_pictures(index[1])):
        start = index[0] + offset - end
        if number == 0:
            struct.pack_into(f"{order}I", result, place + 4, len(data))
        elif offset:
            new = redrawn(bytes(trailer[start : start + size]), draw) if start >= 0 else None
            if new is None:
                raise ValueError("an appended preview cannot be drawn again")
            trailer[start : start + size] = new.ljust(size, b"\0")
            struct.pack_into(f"{order}I", result, place + 16 * number + 8, len(data) + start - header)
    return bytes(result + trailer)


def _index(data: bytes) -> tuple[int, Directory] | None:
    """The index of appended pictures and the offset of its byte order mark, from which its own
    offsets count.
    """
    for marker, at in segments(data):
        if marker == START_OF_SCAN:
            return None
        if marker == 0xE2 and data[at + 4 : at + 8] == INDEX:
            try:
                found = first_directory(data[at + 8 : at + 2 + _length(data, at)])
                found.content(INDEX_ENTRIES)
            except ValueError:
                return None
            return (at + 8, found) if INDEX_ENTRIES in found.entries else None
    return None


def _pictures(index: Directory) -> list[tuple[int, int, int]]:
    """Attributes, size and offset of every picture that an index names, the first one included."""
    content = index.content(INDEX_ENTRIES) or b""
    entries = [content[at : at + 12] for at in range(0, len(content) // 16 * 16, 16)]
    return [struct.unpack(f"{index.order}3I", entry) for entry in entries]


def _length(data: bytes, at: int) -> int:
    """The length of a segment, its two length bytes included."""
    return int.from_bytes(data[at + 2 : at + 4], "big")
