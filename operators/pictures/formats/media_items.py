"""Files of boxes and their items (ISO/IEC 14496-12 and 23008-12): pictures, metadata, properties.

An item is a coded picture or metadata. Properties, such as its size and colours, are listed once
and belong to any number of items. References say what an item is for another.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

BOX_HEAD = 8
"""Bytes of a box before its content: its size and name."""
MOST_PROPERTIES = 127
"""The largest number by which a property can be named in one byte."""
EXIF, MIME = b"Exif", b"mime"
"""Kinds of items: EXIF, and content whose kind is a MIME type, such as XMP."""


class Property(NamedTuple):
    """One property of an item: the name and content of its box."""

    name: bytes
    content: bytes
    essential: bool
    """Whether a reader that does not know it must not show the item."""


class Item(NamedTuple):
    """One item of a file."""

    kind: bytes
    mime: bytes
    """The MIME type of an item of that kind."""
    content: bytes
    properties: tuple[Property, ...] = ()
    reference: bytes = b""
    """What it is for the first item of a list, by the name of a reference; empty for nothing."""


class Reference(NamedTuple):
    """What one item is for others."""

    name: bytes
    item: int
    others: tuple[int, ...]


class Items(NamedTuple):
    """The items of a file by their numbers."""

    primary: int
    """The number of the item that is shown."""
    kinds: dict[int, tuple[bytes, bytes]]
    """Kind and MIME type."""
    places: dict[int, list[tuple[bytes, int, int]]]
    """In which bytes each item is, from where, and how many."""
    properties: dict[int, list[Property]]
    references: list[Reference]

    def content(self, number: int) -> bytes:
        """The bytes of an item. Raises ValueError if they are cut."""
        parts = [source[start : start + size] for source, start, size in self.places.get(number, ())]
        if any(len(part) != size for part, (_, _, size) in zip(parts, self.places.get(number, ()), strict=True)):
            raise ValueError(f"truncated: item {number} lies outside of the file")
        return b"".join(parts)

    def size(self, number: int) -> int:
        """The number of bytes of an item."""
        return sum(size for _, _, size in self.places.get(number, ()))

    def item(self, number: int) -> Item:
        """One item with what it is for others. Raises ValueError as `content` does."""
        return Item(*self.kinds[number], self.content(number), tuple(self.properties.get(number, ())))

    def named(self, name: bytes, other: int) -> list[int]:
        """The items that a reference of this name leads from to another one."""
        found = (reference.item for reference in self.references if reference.name == name and other in reference.others)
        return [number for number in found if number in self.kinds]


def every_box(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The names and contents of all boxes, not of those inside other boxes."""
    position = 0
    while position + 8 <= len(data):
        size, start = int.from_bytes(data[position : position + 4], "big"), position + 8
        if size == 1:
            size, start = int.from_bytes(data[position + 8 : position + 16], "big"), position + 16
        size = size or len(data) - position
        if size < start - position:
            return
        yield data[position + 4 : position + 8], data[start : position + size]
        position += size


def boxes(data: bytes, name: bytes) -> Iterator[bytes]:
    """The contents of the boxes of a name, not of those inside other boxes."""
    return (content for found, content in every_box(data) if found == name)


def properties(data: bytes, name: bytes) -> Iterator[bytes]:
    """The contents of all boxes of a name among the properties of a file's items."""
    parents = [data]
    for step in (b"meta", b"iprp", b"ipco"):
        parents = [content[4:] if step == b"meta" else content for parent in parents for content in boxes(parent, step)]
    for parent in parents:
        yield from boxes(parent, name)


def entries(box: bytes) -> Iterator[bytes]:
    """The entries of a list of items, whose number is counted in 2 or 4 bytes."""
    return boxes(box[6:] if box[:1] == b"\0" else box[8:], b"infe")


def items_of(data: bytes) -> Items:
    """The items of a file. Raises ValueError if it has none, or if their lists are cut."""
    try:
        meta = next(boxes(data, b"meta"))[4:]
        primary = next(boxes(meta, b"pitm"))
        number = int.from_bytes(primary[4:6] if primary[0] == 0 else primary[4:8], "big")
        kinds = dict(map(_kind, (entry for box in boxes(meta, b"iinf") for entry in entries(box))))
        stored = next(boxes(meta, b"idat"), b"")
        places = dict(_places(next(boxes(meta, b"iloc")), data, stored))
        listed: dict[int, list[Property]] = {}
        for parent in boxes(meta, b"iprp"):
            every = [box for container in boxes(parent, b"ipco") for box in every_box(container)]
            for box in boxes(parent, b"ipma"):
                for item, place, essential in _associations(box):
                    listed.setdefault(item, []).append(Property(*every[place - 1], essential))
        references = [reference for box in boxes(meta, b"iref") for reference in _references(box)]
    except (struct.error, IndexError, StopIteration) as error:
        raise ValueError("truncated: the list of items is incomplete") from error
    if number not in kinds or number not in places:
        raise ValueError(f"the shown item {number} is missing")
    return Items(number, kinds, places, listed, references)


def _kind(entry: bytes) -> tuple[int, tuple[bytes, bytes]]:
    """The number of an item, its kind and its MIME type."""
    width = 2 if entry[0] < 3 else 4
    number, start = int.from_bytes(entry[4 : 4 + width], "big"), 6 + width
    kind, texts = entry[start : start + 4], entry[start + 4 :].split(b"\0")
    return number, (kind, texts[1] if kind == MIME and len(texts) > 1 else b"")


def _places(box: bytes, data: bytes, stored: bytes) -> Iterator[tuple[int, list[tuple[bytes, int, int]]]]:
    """The numbers of all items and where their bytes are: in the file, or in the box of data."""
    version, sizes, position = box[0], (box[4] >> 4, box[4] & 15, box[5] >> 4, box[5] & 15), 6
    left = len(box)  # of extents, which may take no bytes at all

    def take(width: int) -> int:
        nonlocal position
        if position + width > len(box):
            raise IndexError
        position += width
        return int.from_bytes(box[position - width : position], "big")

    number_width = 4 if version == 2 else 2
    for _ in range(take(number_width)):
        number = take(number_width)
        method = take(2) & 15 if version else 0
        take(2)
        base = take(sizes[2])
        extents, count = [], take(2)
        left -= count
        if left < 0:
            raise IndexError
        for _ in range(count):
            take(sizes[3] if version else 0)
            start, size = take(sizes[0]), take(sizes[1])
            source = stored if method == 1 else data
            extents.append((source, base + start, size or len(source)))
        if sum(size for _, _, size in extents) <= len(data):
            yield number, extents


def _associations(box: bytes) -> Iterator[tuple[int, int, bool]]:
    """The numbers of items and of their properties, counted from 1, and whether it is essential."""
    width, large, position = 2 if box[0] == 0 else 4, box[3] & 1, 8
    for _ in range(int.from_bytes(box[4:8], "big")):
        item, position = int.from_bytes(box[position : position + width], "big"), position + width
        count, position = box[position], position + 1
        for _ in range(count):
            value = int.from_bytes(box[position : position + 1 + large], "big")
            if position >= len(box):
                raise IndexError
            position += 1 + large
            top = 0x8000 if large else 0x80
            if value & (top - 1):
                yield item, value & (top - 1), value >= top


def _references(box: bytes) -> Iterator[Reference]:
    """The references of all items."""
    letter = "H" if box[0] == 0 else "I"
    for name, content in every_box(box[4:]):
        item, count = struct.unpack_from(f">{letter}H", content)
        yield Reference(name, item, struct.unpack_from(f">{count}{letter}", content, struct.calcsize(f">{letter}H")))


def boxed(name: bytes, *content: bytes) -> bytes:
    """A box of this name."""
    inner = b"".join(content)
    return struct.pack(">I4s", 8 + len(inner), name) + inner


def assembled(brands: bytes, items: Sequence[Item]) -> bytes:
    """A file of items, of which the first is shown; `brands` is the content of its first box.

    Raises ValueError for more than MOST_PROPERTIES.
    """
    listed = list(dict.fromkeys((each.name, each.content) for item in items for each in item.properties))
    if len(listed) > MOST_PROPERTIES:
        raise ValueError(f"{len(listed)} properties")
    kinds, links = [], []
    for number, item in enumerate(items, 1):
        mime = item.mime + b"\0" if item.kind == MIME else b""
        kinds.append(boxed(b"infe", bytes([2, 0, 0, 0]), struct.pack(">HH", number, 0), item.kind, b"\0", mime))
        numbers = [0x80 * each.essential | listed.index((each.name, each.content)) + 1 for each in item.properties]
        links += [struct.pack(">HB", number, len(numbers)), bytes(numbers)] if numbers else []
    described = sum(1 for item in items if item.properties)
    references = [
        boxed(item.reference, struct.pack(">3H", number, 1, 1)) for number, item in enumerate(items, 1) if item.reference
    ]
    head = boxed(b"ftyp", brands)
    # Metadata come first and the shown picture last, because some readers look at the start alone.
    stored = sorted(enumerate(items, 1), key=lambda one: (one[1].kind == items[0].kind, one[0] == 1))

    def description(start: int) -> bytes:
        """The list of the items, whose bytes start at a place."""
        places = []
        for number, item in stored:
            places.append(struct.pack(">3H2I", number, 0, 1, start, len(item.content)))
            start += len(item.content)
        return boxed(
            b"meta",
            bytes(4),
            boxed(b"hdlr", bytes(8), b"pict", bytes(13)),
            boxed(b"pitm", bytes(4), struct.pack(">H", 1)),
            boxed(b"iloc", bytes(4), b"\x44\0", struct.pack(">H", len(items)), *places),
            boxed(b"iinf", bytes(4), struct.pack(">H", len(items)), *kinds),
            *([boxed(b"iref", bytes(4), *references)] if references else []),
            boxed(
                b"iprp",
                boxed(b"ipco", *(boxed(name, content) for name, content in listed)),
                boxed(b"ipma", bytes(4), struct.pack(">I", described), *links),
            ),
        )

    start = len(head) + len(description(0)) + BOX_HEAD
    return head + description(start) + boxed(b"mdat", *(item.content for _, item in stored))
