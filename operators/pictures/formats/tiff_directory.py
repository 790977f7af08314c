"""Tag directories as TIFF, EXIF and multi-picture files hold them: which tags there are, and
where their values stand.

TIFF 6.0 (Adobe, 1992) and BigTIFF; EXIF (CIPA DC-008) and MPF (CIPA DC-007) use the same
structure inside a JPEG marker. Offsets count from the first byte of the structure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of one value of each field type."""
WHOLE = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
"""Field types that hold whole numbers without a sign, by their `struct` letters."""
MOST_ENTRIES = 4096


@dataclass(frozen=True)
class Entry:
    """A tag's values: `count` of field type `kind`, at byte `at`, `size` bytes in all."""

    kind: int
    count: int
    at: int
    size: int


@dataclass(frozen=True)
class Directory:
    """One directory of a file: its entries by tag, and where the next directory's offset stands
    (0: there is none).
    """

    data: memoryview
    order: str
    entries: dict[int, Entry]
    next: int
    next_at: int

    def numbers(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """A tag's whole numbers; the default where it is missing.

        Raises ValueError where it holds anything else or lies outside of the file.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return default
        if entry.kind not in WHOLE:
            raise ValueError(f"tag {tag} holds no whole numbers")
        return struct.unpack(f"{self.order}{entry.count}{WHOLE[entry.kind]}", self.content(tag) or b"")

    def number(self, tag: int, default: int) -> int:
        """A tag's first whole number."""
        return next(iter(self.numbers(tag)), default)

    def content(self, tag: int) -> bytes | None:
        """A tag's bytes as they stand in the file; None where it is missing. Raises ValueError
        where they lie outside of it.
        """
        entry = self.entries.get(tag)
        if entry is None:
            return None
        if entry.at + entry.size > len(self.data):
            raise ValueError(f"truncated: tag {tag} lies outside of the file")
        return bytes(self.data[entry.at : entry.at + entry.size])

    def packed(self, tag: int, numbers: tuple[int, ...]) -> bytes:
        """Whole numbers in the type that the tag has in this file. Raises ValueError where one
        does not fit.
        """
        try:
            return struct.pack(f"{self.order}{len(numbers)}{WHOLE[self.entries[tag].kind]}", *numbers)
        except struct.error as error:
            raise ValueError(f"tag {tag}: {error}") from error


def first_directory(data: memoryview | bytes) -> Directory:
    """The first directory of a TIFF structure. Raises ValueError for what is none, or ends early."""
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


def directory_at(data: memoryview | bytes, at: int, order: str, big: bool = False) -> Directory:
    """The directory at an offset. Raises ValueError where it is truncated; values are looked at
    when they are asked for.
    """
    view = memoryview(data)
    count_size, entry_size, offset = (8, 20, "Q") if big else (2, 12, "I")
    inline = struct.calcsize(offset)
    try:
        (count,) = struct.unpack(f"{order}{'Q' if big else 'H'}", view[at : at + count_size])
        if count > MOST_ENTRIES:
            raise ValueError(f"a directory of {count} entries")
        entries: dict[int, Entry] = {}
        for number in range(count):
            start = at + count_size + number * entry_size
            tag, kind, values = struct.unpack(f"{order}HH{offset}", view[start : start + 4 + inline])
            size = values * SIZES.get(kind, 1)
            place = start + 4 + inline
            if size > inline:
                (place,) = struct.unpack(f"{order}{offset}", view[place : place + inline])
            entries.setdefault(tag, Entry(kind, values, int(place), size))
        next_at = at + count_size + count * entry_size
        (following,) = struct.unpack(f"{order}{offset}", view[next_at : next_at + inline])
    except struct.error as error:
        raise ValueError(f"truncated directory: {error}") from error
    return Directory(view, order, entries, int(following), next_at)
