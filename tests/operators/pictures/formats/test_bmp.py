"""A BMP is its source with the bytes of the changed pixels replaced."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.picture import Edit
from operators.rows.failure import Failure


def edited(data: bytes, colour: tuple[int, int, int] = (250, 5, 10)) -> bytes:
    edit = Edit(8, 8, np.full((16, 20, 3), colour, np.uint8), np.ones((16, 20), np.float32))
    return encode(decode(data, Limits()).edited([edit]), data)


@pytest.mark.parametrize("kind", ["BMP RGB", "BMP 32", "BMP RGBA by masks", "BMP upside down", "BMP L", "BMP 1"])
def test_every_byte_but_the_edited_pixels_is_kept(kinds: dict[str, Any], kind: str) -> None:
    data = kinds[kind].make()
    result = edited(data)
    start = struct.unpack_from("<I", data, 10)[0]
    assert len(result) == len(data)
    assert result[:start] == data[:start]
    assert np.count_nonzero(np.frombuffer(data, np.uint8) != np.frombuffer(result, np.uint8)) <= 16 * 20 * 3


def run_lengths(bits: int) -> bytes:
    """A run-length coded BMP of three stripes of ten rows."""
    width, height = 30, 30
    entries = bytes([0, 0, 0, 0, 10, 200, 30, 0, 60, 20, 250, 0]).ljust(4 << bits, b"\0")
    run = {8: lambda index: bytes([width, index]), 4: lambda index: bytes([width, index * 17])}[bits]
    rows = b"".join(run(row // 10) + b"\0\0" for row in range(height)) + b"\0\1"
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 1 if bits == 8 else 2, len(rows), 2835, 2835, 0, 0)
    start = 54 + len(entries)
    return struct.pack("<2sIHHI", b"BM", start + len(rows), 0, 0, start) + info + entries + rows


@pytest.mark.parametrize("bits", [8, 4])
def test_run_lengths_are_written_uncompressed(bits: int) -> None:
    data = run_lengths(bits)
    before = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    result = edited(data, tuple(before[15, 0].tolist()))
    expected = before.copy()
    expected[8:24, 8:28] = before[15, 0]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(result)).convert("RGB")), expected)
    assert struct.unpack_from("<I", result, 2)[0] == len(result)


def test_sixteen_bits_a_pixel_are_unsupported() -> None:
    info = struct.pack("<IiiHHIIiiII", 40, 8, 8, 1, 16, 0, 128, 0, 0, 0, 0)
    data = struct.pack("<2sIHHI", b"BM", 54 + 128, 0, 0, 54) + info + bytes(128)
    with pytest.raises(Failure, match="mode_unsupported"):
        decode(data, Limits())
