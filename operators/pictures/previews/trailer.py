"""What follows the picture in a file: previews, gain maps, other views, films, a maker's own data.

Pictures are found by the index of a JPEG (CIPA DC-007) and by their first bytes, since a gain map
may be named in XMP only. New ones have the length of the old ones. One that is dropped goes, and
the index and the directory in XMP (Ultra HDR, Motion Photo) name it no more. Bytes that are
neither picture, film nor archive are kept.
"""

from __future__ import annotations

import re
import struct
from dataclasses import replace
from typing import NamedTuple

from operators.pictures.formats.jpeg_markers import (
    INDEX_ENTRIES,
    PREVIEW,
    IndexedPicture,
    index_of,
    indexed_pictures,
)
from operators.pictures.previews.auxiliary import map_filled, view_edited
from operators.pictures.previews.metadata import xmp_swept
from operators.pictures.previews.segments import Segment, segments_of, with_segments
from operators.pictures.previews.sweep import DROP, KEEP, NOT_DRAWN, Sweep, find_pictures
from operators.pictures.previews.table import INDEX_HEADER, MAP_MARKS, MAP_SEMANTICS
from operators.rows.failure import Failure

NUMBER_OF_IMAGES = 0xB001
MAKERS_DIRECTORY = b"SEFT"
"""The last bytes of a trailer whose parts are found by their distance from its end."""
ITEM = re.compile(rb"<rdf:li\b[^>]*/>|<rdf:li\b.*?</rdf:li>", re.DOTALL)
SEMANTIC = re.compile(rb":Semantic(?:=\"([^\"]*)\"|>([^<]*)<)")
ITEM_LENGTH = re.compile(rb":(?:Length|Padding)(?:=\"(\d+)\"|>(\d+)<)")
GAIN_MAP_VERSION = re.compile(rb"\s+hdrgm:Version=\"[^\"]*\"|<hdrgm:Version>[^<]*</hdrgm:Version>")
FILM_FLAGS = re.compile(rb"((?:MotionPhoto|MicroVideo|MicroVideoOffset)(?:=\"|>))(\d+)")
ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1"


class Part(NamedTuple):
    """A picture or film in a trailer."""

    start: int
    end: int
    kind: str
    """A key of SIGNATURES; `preview` or `index` for a smaller copy or another indexed picture."""
    number: int | None = None
    """Its number in the index; None if the index does not name it."""


def trailer_swept(trailer: bytes, sweep: Sweep) -> bytes:
    """What follows the picture of any file, with new previews and without what cannot be drawn."""
    return _swept(trailer, _found(trailer, 0), [], sweep)[0] if trailer else trailer


def jpeg_with_trailer(first: bytes, data: bytes, end: int, sweep: Sweep) -> bytes:
    """A JPEG's picture (`first`, already swept) followed by its swept trailer.

    `data` is the whole file before, whose picture ends at `end`.
    """
    trailer, index = data[end:], index_of(data)
    pictures = [] if index is None else indexed_pictures(index.directory)
    if not trailer and not pictures:
        return first
    parts = _indexed_parts(pictures, 0 if index is None else index.start - end, len(trailer))
    gaps = [0, *(edge for part in parts for edge in (part.start, part.end)), len(trailer)]
    for start, stop in zip(gaps[::2], gaps[1::2], strict=True):
        parts += _found(trailer[start:stop], start)
    parts.sort()
    segments = segments_of(first)
    new, kept = _swept(trailer, parts, _semantics(segments, parts), sweep)
    gone = [number for number in range(len(parts)) if number not in kept]
    if gone:
        first = with_segments(first, _without_items(segments, [parts[number].kind for number in gone], gone, len(parts)))
    offsets = {0: 0} | {parts[place].number: start for place, start in kept.items() if parts[place].number is not None}
    return _reindexed(first, pictures, offsets) + new


def _indexed_parts(pictures: list[IndexedPicture], shift: int, length: int) -> list[Part]:
    """The pictures that an index names, by their places, without those that overlap."""
    parts: list[Part] = []
    for number, picture in enumerate(pictures):
        start = picture.offset + shift
        kind = "preview" if picture.attributes >> 16 & 0xFF == PREVIEW else "index"
        if number and picture.offset and 0 <= start < start + picture.size <= length:
            parts.append(Part(start, start + picture.size, kind, number))
    parts.sort()
    return [part for place, part in enumerate(parts) if not place or part.start >= parts[place - 1].end]


def _found(content: bytes, start: int) -> list[Part]:
    """Pictures and films in bytes that begin at `start` of the trailer, by their first bytes."""
    return [Part(start + place[0], start + place[1], kind) for kind, place in find_pictures(content)]


def _items(segment: Segment) -> list[tuple[int, int, str, int]]:
    """Every item of the directory in an XMP segment: its place, what it is, and its length."""
    result = []
    for match in ITEM.finditer(segment.content):
        semantic = SEMANTIC.search(match[0])
        if semantic:
            sizes = sum(int(first or second) for first, second in ITEM_LENGTH.findall(match[0]))
            name = (semantic[1] or semantic[2] or b"").decode("latin-1")
            result.append((match.start(), match.end(), name, sizes))
    return result


def _semantics(segments: list[Segment], parts: list[Part]) -> list[str]:
    """What XMP calls every part; its items are in the order of the parts."""
    names = [name for segment in segments if segment.kind == "xmp" for _, _, name, _ in _items(segment)]
    names = [name for name in names if name != "Primary"]
    return names if len(names) == len(parts) else []


def _swept(trailer: bytes, parts: list[Part], semantics: list[str], sweep: Sweep) -> tuple[bytes, dict[int, int]]:
    """The new trailer, and where in it the parts are that remain, by their numbers."""
    contents = []
    for number, part in enumerate(parts):
        semantic = semantics[number] if number < len(semantics) else ""
        contents.append(_part_swept(trailer[part.start : part.end], part, semantic, sweep))
    bare = trailer.endswith(MAKERS_DIRECTORY) and any(content is None for content in contents)
    if bare:
        sweep.dropped("maker's trailer")
    result, kept, position = b"", {}, 0
    for number, (part, content) in enumerate(zip(parts, contents, strict=True)):
        result += b"" if bare else xmp_swept(trailer[position : part.start], sweep)
        position = part.end
        if content is not None:
            kept[number] = len(result)
            result += content
    return result + (b"" if bare else xmp_swept(trailer[position:], sweep)), kept


def _part_swept(old: bytes, part: Part, semantic: str, sweep: Sweep) -> bytes | None:
    """A new picture of the same length; None for one that goes."""
    if sweep.policy == KEEP:
        return old
    if part.kind in NOT_DRAWN:
        sweep.dropped(f"{part.kind} in trailer")
        return None
    jpeg = old.startswith(b"\xff\xd8")
    is_map = jpeg and (semantic in MAP_SEMANTICS or (part.kind != "preview" and any(mark in old for mark in MAP_MARKS)))
    name = "gain map or other map" if is_map else "appended picture"
    if sweep.policy == DROP:
        sweep.dropped(name)
        return None
    if jpeg and part.kind != "preview" and sweep.edited is not None:
        try:
            new = map_filled(old, sweep.edited) if is_map else view_edited(old, sweep.edited)
        except (Failure, OSError, ValueError):
            new = None
        if new is not None and len(new) <= len(old):
            return new.ljust(len(old), b"\0")
        if is_map or part.kind == "index":
            sweep.dropped(name)
            return None
    new, used = sweep.picture(old, name)
    return new if used else None


def _without_items(segments: list[Segment], kinds: list[str], gone: list[int], number_of_parts: int) -> list[Segment]:
    """The segments of the first picture without what names the parts that are gone."""
    result = []
    for segment in segments:
        content = segment.content
        if segment.kind == "xmp":
            further = [item for item in _items(segment) if item[2] != "Primary"]
            named = [further[number] for number in gone] if len(further) == number_of_parts else []
            for start, end, _, _ in reversed(named):
                content = content[:start] + content[end:]
            if any(item[2] == "GainMap" for item in named):
                content = GAIN_MAP_VERSION.sub(b"", content)
            if "film" in kinds:
                content = FILM_FLAGS.sub(lambda match: match[1] + b"0" * len(match[2]), content)
        result.append(replace(segment, content=content))
    return result


def _reindexed(first: bytes, pictures: list[IndexedPicture], offsets: dict[int | None, int]) -> bytes:
    """The first picture with an index of the pictures that remain.

    `offsets` are their places in the trailer, by their numbers in the old index. Without any
    besides the first, there is no index.
    """
    if not pictures:
        return first
    if len(offsets) == 1:
        return with_segments(first, [part for part in segments_of(first) if part.header != INDEX_HEADER])
    index = index_of(first)
    assert index is not None
    order, entry = index.directory.order, index.directory.entries[INDEX_ENTRIES]
    numbers = [number for number in range(len(pictures)) if number in offsets]
    place = {number: position + 1 for position, number in enumerate(numbers)}
    result = bytearray(first)
    entries = b""
    for number in numbers:
        picture = pictures[number]
        start = index.start + entry.offset + 16 * number
        dependent = struct.unpack_from(f"{order}2H", first, start + 12)
        dependent = tuple(place.get(one - 1, 0) if one else 0 for one in dependent)
        size = len(first) if number == 0 else picture.size
        offset = 0 if number == 0 else len(first) + offsets[number] - index.start
        entries += struct.pack(f"{order}3I2H", picture.attributes, size, offset, *dependent)
    start = index.start + entry.offset
    result[start : start + entry.size] = entries.ljust(entry.size, b"\0")
    if len(numbers) < len(pictures):
        _write_counts(result, index.start, index.directory.start, order, len(numbers))
    return bytes(result)


def _write_counts(result: bytearray, mark: int, directory: int, order: str, number: int) -> None:
    """Write how many pictures an index names, in place."""
    start = mark + directory
    (count,) = struct.unpack_from(f"{order}H", result, start)
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from(f"{order}H", result, entry)
        if tag == NUMBER_OF_IMAGES:
            struct.pack_into(f"{order}I", result, entry + 8, number)
        elif tag == INDEX_ENTRIES:
            struct.pack_into(f"{order}I", result, entry + 4, 16 * number)
