"""The items of a file of boxes, in all the ways in which their lists may be written."""

from __future__ import annotations

import struct
import time

import pytest

from operators.pictures.formats.media_items import Item, Property, assembled, boxed, items_of

SIZE = Property(b"ispe", struct.pack(">3I", 0, 64, 48), False)
TURN = Property(b"irot", b"\1", True)
PICTURE = Item(b"av01", b"", b"coded samples", (SIZE, TURN))
ALPHA = Item(b"av01", b"", b"alpha", (SIZE,), b"auxl")
EXIF = Item(b"Exif", b"", b"\0\0\0\0tags", (), b"cdsc")
XMP = Item(b"mime", b"application/rdf+xml", b"<x/>", (), b"cdsc")


def test_what_is_put_together_is_read_again() -> None:
    items = items_of(assembled(b"avif\0\0\0\0", [PICTURE, ALPHA, EXIF, XMP]))
    assert items.primary == 1
    assert [items.item(number)._replace(reference=b"") for number in items.kinds] == [
        item._replace(reference=b"") for item in (PICTURE, ALPHA, EXIF, XMP)
    ]
    assert items.named(b"auxl", 1) == [2]
    assert items.named(b"cdsc", 1) == [3, 4]


def long_lists(content: bytes) -> bytes:
    """A file with the long forms of all lists, and bytes that are in the list itself."""
    number = 70_000
    extents = struct.pack(">II", 0, 5) + struct.pack(">II", 5, len(content) - 5)
    place = struct.pack(">IHHIH", number, 1, 0, 0, 2) + extents
    entry = boxed(b"infe", bytes([3, 0, 0, 0]), struct.pack(">IH", number, 0), b"av01\0")
    link = struct.pack(">IIBH", 1, number, 1, 0x8000 | 1)
    return boxed(b"ftyp", b"avif\0\0\0\0") + boxed(
        b"meta",
        bytes(4),
        boxed(b"pitm", bytes([1, 0, 0, 0]), struct.pack(">I", number)),
        boxed(b"iloc", bytes([2, 0, 0, 0]), b"\x44\x40", struct.pack(">I", 1), place),
        boxed(b"iinf", bytes([1, 0, 0, 0]), struct.pack(">I", 1), entry),
        boxed(b"iref", bytes([1, 0, 0, 0]), boxed(b"thmb", struct.pack(">IHI", 9, 1, number))),
        boxed(b"iprp", boxed(b"ipco", boxed(*TURN[:2])), boxed(b"ipma", bytes([1, 0, 0, 1]), link)),
        boxed(b"idat", content),
    )


def test_long_numbers_extents_and_stored_bytes_are_read() -> None:
    items = items_of(long_lists(b"coded samples"))
    assert items.item(items.primary) == Item(b"av01", b"", b"coded samples", (TURN,))
    assert items.references[0].others == (70_000,)


@pytest.mark.parametrize("cut", range(40, 300, 13))
def test_lists_that_are_cut_are_truncated(cut: int) -> None:
    data = assembled(b"avif\0\0\0\0", [PICTURE, ALPHA, EXIF, XMP])
    with pytest.raises(ValueError, match=r"(truncated|missing)"):
        items_of(data[:cut]).content(1)


def test_an_item_of_more_bytes_than_the_file_has_is_missing() -> None:
    data = long_lists(b"coded samples")
    with pytest.raises(ValueError, match="missing"):
        items_of(data.replace(struct.pack(">II", 0, 5), struct.pack(">II", 0, 2**31)))


def test_extents_that_take_no_bytes_cost_no_time() -> None:
    data = assembled(b"avif\0\0\0\0", [PICTURE])
    start = data.index(b"iloc")
    size = int.from_bytes(data[start - 4 : start], "big")
    place = boxed(b"iloc", bytes(4), b"\0\0", struct.pack(">H", 60_000), struct.pack(">3H", 1, 0, 65_535) * 60_000)
    began = time.thread_time()
    with pytest.raises(ValueError, match="incomplete"):
        items_of(boxed(b"meta", data[data.index(b"meta") + 4 : start - 4], place, data[start - 4 + size :]))
    assert time.thread_time() - began < 1


def test_properties_that_cannot_be_numbered_are_refused() -> None:
    many = tuple(Property(b"clli", struct.pack(">HH", number, 0), False) for number in range(128))
    with pytest.raises(ValueError, match="128 properties"):
        assembled(b"avif\0\0\0\0", [PICTURE._replace(properties=many)])
