"""Tag directories of TIFF, EXIF and multi-picture files: their tags and where the values are.

Sources: TIFF 6.0 (Adobe, 1992) and BigTIFF. EXIF (CIPA DC-008) and MPF (CIPA DC-007) use the same
structure inside a JPEG marker. Offsets count from the first byte of the structure.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value of each field type."""
WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Field types of unsigned whole numbers, with their `struct` letters."""
MOST_ENTRIES = 4096
"""A directory that claims more entries is damaged."""
MOST_DIRECTORIES = 4096
"""How many directories of a file are looked at for those that are named in them."""
DIRECTORIES = (330, 34665, 34853, 40965)
"""Tags that name other directories: smaller copies, EXIF, GPS and interoperability."""
PIXELS = ((273, 279), (324, 325), (513, 514), (288, 289))
"""Tags of offsets and of lengths: strips, tiles, a JPEG, and free places."""


@dataclass(frozen=True)
class Entry:
    """Where the values of one tag are."""

    kind: int
    """The field type, a key of SIZES."""
    count: int
    """Number of values."""
    offset: int
    """Where the values start."""
    size: int
    """Bytes of all values."""


@dataclass(frozen=True)
class Directory:
    """One directory of a file."""

    data: memoryview
    """The whole structure."""
    order: str
    """Byte order as `struct` writes it, `<` or `>`."""
    entries: dict[int, Entry]
    """The entries by tag."""
    next_offset: int
    """Where the next directory starts; 0 if there is none."""
    next_pointer: int
    """Where `next_offset` itself is stored."""
    start: int
    """Where the directory itself starts: the number of its entries."""
    next_width: int
    """Bytes of an offset: 4, or 8 in BigTIFF."""

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A tag's whole numbers; the default if the tag is missing.

        Raises ValueError for values of another type or outside of the file.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return default
        if entry.kind not in WHOLE:
            raise ValueError(f"tag {tag} holds no whole numbers")
        return struct.unpack(f"{self.order}{entry.count}{WHOLE[entry.kind]}", self.content(tag) or b"")

    def number(self, tag: int, default: int) -> int:
        """A tag's first whole number; the default if there is none. Raises as `numbers` does."""
        return next(iter(self.numbers(tag)), default)

    def content(self, tag: int) -> bytes | None:
        """A tag's bytes as the file stores them; None if the tag is missing.

        Raises ValueError for values outside of the file.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return None
        if entry.offset + entry.size > len(self.data):
            raise ValueError(f"truncated: tag {tag} lies outside of the file")
        return bytes(self.data[entry.offset : entry.offset + entry.size])

    def packed(self, tag: int, numbers: tuple[int, ...]) -> bytes:
        """Whole numbers in the type that the tag has in this file.

        Raises ValueError for a number that does not fit.
        """
        try:
            return struct.pack(f"{self.order}{len(numbers)}{WHOLE[self.entries[tag].kind]}", *numbers)
        except struct.error as error:
            raise ValueError(f"tag {tag}: {error}") from error


def first_directory(data: memoryview | bytes) -> Directory:
    """The first directory of a TIFF structure. Raises ValueError if it is missing or cut."""
    view = memoryview(data)
    orders = {b"II": "<", b"MM": ">"}
    order = orders.get(bytes(view[:2]))
    if order is None or len(view) < 8:
        raise ValueError("no TIFF header")
    (version,) = struct.unpack(f"{order}H", view[2:4])
    if version not in {42, 43} or (version == 43 and len(view) < 16):
        raise ValueError(f"TIFF version {version}")
    (first,) = struct.unpack(f"{order}Q", view[8:16]) if version == 43 else struct.unpack(f"{order}I", view[4:8])
    return directory_at(view, int(first), order, version == 43)


def directory_at(data: memoryview | bytes, offset: int, order: str, big: bool = False) -> Directory:
    """The directory at an offset; `big` for BigTIFF.

    Values are read and checked when they are asked for. Raises ValueError for a truncated
    directory, or one of more than MOST_ENTRIES.
    """
    view = memoryview(data)
    count_size, entry_size, letter = (8, 20, "Q") if big else (2, 12, "I")
    inline = struct.calcsize(letter)
    try:
        (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", view[offset : offset + count_size])
        if count > MOST_ENTRIES:
            raise ValueError(f"a directory of {count} entries")
        entries: dict[int, Entry] = {}
        for number in range(count):
            start = offset + count_size + number * entry_size
            tag, kind, values = struct.unpack(f"{order}HH{letter}", view[start : start + 4 + inline])
            size = values * SIZES.get(kind, 1)
            place = start + 4 + inline
            if size > inline:
                (place,) = struct.unpack(f"{order}{letter}", view[place : place + inline])
            entries.setdefault(tag, Entry(kind, values, int(place), size))
        next_pointer = offset + count_size + count * entry_size
        (next_offset,) = struct.unpack(f"{order}{letter}", view[next_pointer : next_pointer + inline])
    except struct.error as error:
        raise ValueError(f"truncated directory: {error}") from error
    return Directory(view, order, entries, int(next_offset), next_pointer, offset, inline)


def with_sub_directories(directories: Iterable[Directory]) -> list[Directory]:
    """Directories and those that are named in them, at any depth; unreadable ones are left out."""
    found = {directory.start: directory for directory in directories}
    waiting = list(found.values())
    while waiting and len(found) < MOST_DIRECTORIES:
        directory = waiting.pop()
        for offset in _named_in(directory):
            if offset in found:
                continue
            try:
                found[offset] = directory_at(directory.data, offset, directory.order, directory.next_width == 8)
            except ValueError:
                continue
            waiting.append(found[offset])
    return list(found.values())


def _named_in(directory: Directory) -> Iterator[int]:
    """Where the sub-directories of a directory start, as far as its tags can be read."""
    for tag in DIRECTORIES:
        try:
            yield from directory.numbers(tag)
        except ValueError:
            continue


def places_of(directory: Directory) -> Iterator[tuple[int, int]]:
    """Where a directory and the values of its tags start and end."""
    yield directory.start, directory.next_pointer + directory.next_width
    for entry in directory.entries.values():
        yield entry.offset, entry.offset + entry.size


def pixels_of(directory: Directory) -> Iterator[tuple[int, int]]:
    """Where the strips, tiles and further streams of a directory start and end.

    Raises ValueError for damaged tags.
    """
    for offsets, lengths in PIXELS:
        pairs = zip(directory.numbers(offsets), directory.numbers(lengths), strict=False)
        yield from ((offset, offset + length) for offset, length in pairs)
