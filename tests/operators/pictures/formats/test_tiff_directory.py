"""Tag directories in both byte orders and both sizes; damage raises ValueError."""

from __future__ import annotations

import struct
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.pictures.formats.tiff_directory import directory_at, first_directory


class RawEntry(NamedTuple):
    tag: int
    kind: int
    count: int
    value_or_offset: bytes
    """Four bytes."""


def classic(order: str, entries: list[RawEntry], following: int = 0) -> bytes:
    """A file of one directory."""
    mark = b"II" if order == "<" else b"MM"
    head = mark + struct.pack(f"{order}HI", 42, 8) + struct.pack(f"{order}H", len(entries))
    return (
        head
        + b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
        + struct.pack(f"{order}I", following)
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_short_values_are_in_the_entry_and_long_ones_elsewhere(order: str) -> None:
    inline = struct.pack(f"{order}HH", 7, 9)
    data = classic(order, [RawEntry(256, 3, 2, inline), RawEntry(273, 4, 3, struct.pack(f"{order}I", 40))])
    data = data.ljust(40, b"\0") + struct.pack(f"{order}3I", 1, 2, 70000)
    directory = first_directory(data)
    assert directory.numbers(256) == (7, 9)
    assert directory.numbers(273) == (1, 2, 70000)
    assert directory.number(256, 0) == 7
    assert (directory.numbers(999), directory.number(999, 5), directory.content(999)) == ((), 5, None)
    assert directory.packed(256, (1, 2)) == struct.pack(f"{order}HH", 1, 2)
    assert data[directory.next_pointer : directory.next_pointer + 4] == bytes(4)


def test_big_files_have_wide_entries() -> None:
    entry = struct.pack("<HHQQ", 273, 16, 1, 2**40)
    data = b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, 1) + entry + struct.pack("<Q", 0)
    assert first_directory(data).numbers(273) == (2**40,)


def test_numbers_that_a_tags_type_cannot_hold_are_refused() -> None:
    directory = first_directory(classic("<", [RawEntry(279, 3, 1, b"\1\0\0\0"), RawEntry(270, 2, 4, b"abc\0")]))
    with pytest.raises(ValueError, match="tag 279"):
        directory.packed(279, (70000,))
    with pytest.raises(ValueError, match="no whole numbers"):
        directory.numbers(270)


def test_a_value_outside_of_the_file_is_an_error_when_it_is_asked_for() -> None:
    directory = first_directory(classic("<", [RawEntry(256, 3, 1, b"\5\0\0\0"), RawEntry(700, 1, 500, b"\x10\0\0\0")]))
    assert directory.number(256, 0) == 5
    with pytest.raises(ValueError, match="truncated"):
        directory.content(700)


@given(st.binary(max_size=80))
def test_any_bytes_are_a_directory_or_a_value_error(data: bytes) -> None:
    for start in (b"", b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0"):
        try:
            directory = first_directory(start + data)
            contents = [directory.content(tag) for tag in directory.entries]
        except ValueError:
            continue
        assert all(isinstance(content, bytes) for content in contents)


def test_a_directory_beyond_the_end_is_truncated() -> None:
    with pytest.raises(ValueError, match="truncated"):
        directory_at(bytes(20), 19, "<")
