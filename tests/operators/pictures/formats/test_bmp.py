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
from operators.pictures.read_back import check_written
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


MASKS = {
    "5.5.5": (16, 0, (0x7C00, 0x3E0, 0x1F)),
    "5.6.5": (16, 3, (0xF800, 0x7E0, 0x1F)),
    "4.4.4": (16, 3, (0xF00, 0xF0, 0xF)),
    "4.4.4.4": (16, 3, (0xF00, 0xF0, 0xF, 0xF000)),
    "5.5.5.1": (16, 3, (0x7C00, 0x3E0, 0x1F, 0x8000)),
    "10.10.10": (32, 3, (0x3FF00000, 0xFFC00, 0x3FF)),
    "8.8.8": (32, 3, (0x1FE, 0x1FE00, 0x1FE0000)),
}


def packed(bits: int, compression: int, masks: tuple[int, ...]) -> bytes:
    """A BMP of random pixels, all bits used, those of no mask too."""
    rows = np.random.default_rng(0).integers(0, 256, 40 * 56 * bits // 8, dtype=np.uint8).tobytes()
    size = 108 if len(masks) == 4 else 40
    info = struct.pack("<IiiHHIIiiII", size, 56, 40, 1, bits, compression, len(rows), 2835, 2835, 0, 0)
    info += struct.pack(f"<{len(masks)}I", *masks) if compression else b""
    info = info.ljust(size, b"\0")
    return struct.pack("<2sIHHI", b"BM", 14 + len(info) + len(rows), 0, 0, 14 + len(info)) + info + rows


@pytest.mark.parametrize("name", MASKS)
def test_colours_of_any_bits_are_edited_and_no_other_bit_changes(name: str) -> None:
    bits, _, masks = MASKS[name]
    data = packed(*MASKS[name])
    picture = decode(data, Limits())
    fill = (250, 5, 10)
    done = picture.edited([Edit(8, 8, np.full((16, 20, 3), fill, np.uint8), np.ones((16, 20), np.float32))])
    result = encode(done, data)
    assert picture.mode == ("RGBA;" if len(masks) == 4 else "RGB;") + name
    assert check_written(result, done, data) is None
    before, after = (
        np.frombuffer(file[-40 * 56 * bits // 8 :], f"<u{bits // 8}").reshape(40, 56)[::-1] for file in (data, result)
    )
    inside = np.zeros((40, 56), bool)
    inside[8:24, 8:28] = True
    assert np.array_equal(before[~inside], after[~inside])
    assert result[: -before.nbytes] == data[: -before.nbytes]
    for mask, value in zip(masks[:3], fill, strict=True):
        lowest = mask & -mask
        assert (
            np.abs((after[inside] & mask) // lowest / (mask // lowest) * 255 - value).max() <= 255 / (mask // lowest) / 2 + 1e-6
        )
    unused = ~np.bitwise_or.reduce(masks[:3]) & (2**bits - 1)
    assert np.array_equal(before[inside] & unused, after[inside] & unused)


@pytest.mark.parametrize("name", ["5.5.5", "5.6.5"])
def test_five_and_six_bits_are_read_as_by_another_program(name: str) -> None:
    data = packed(*MASKS[name])
    theirs = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decode(data, Limits()).stored - theirs).max() <= 1


def test_masks_that_overlap_are_unsupported_and_pixels_outside_of_the_file_truncated() -> None:
    with pytest.raises(Failure, match=r"mode_unsupported: BMP, colour masks of \[4, 8, 4\] bits"):
        decode(packed(16, 3, (0xF00, 0xFF, 0xF)), Limits())
    with pytest.raises(Failure, match="truncated"):
        decode(packed(*MASKS["4.4.4"])[:-100], Limits())


@pytest.mark.parametrize("start", [0, 54])
def test_pixels_that_start_within_the_palette_are_not_edited(start: int) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((30, 30), np.uint8)).convert("P").save(buffer, "BMP")
    data = bytearray(buffer.getvalue())
    struct.pack_into("<I", data, 46, 252)
    struct.pack_into("<I", data, 10, start)
    with pytest.raises(Failure, match="mode_unsupported: BMP, pixels that start within the palette"):
        decode(bytes(data), Limits())


def with_header(compression: int, bits: int, masks: bytes = b"", size: int = 40) -> bytes:
    """A BMP of 20 x 30 pixels of 32 bits under a header of any kind."""
    pixels = np.random.default_rng(0).integers(0, 255, (30, 20, 4)).astype(np.uint8).tobytes()
    info = struct.pack("<IiiHHIIiiII", size, 20, 30, 1, bits, compression, len(pixels), 2835, 2835, 0, 0)[:size] + masks
    return struct.pack("<2sIHHI", b"BM", 14 + len(info) + len(pixels), 0, 0, 14 + len(info)) + info + pixels


def test_masks_with_alpha_after_the_oldest_windows_header_are_read() -> None:
    data = with_header(6, 32, struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000))
    picture = decode(data, Limits())
    raw = np.frombuffer(data[-20 * 30 * 4 :], np.uint8).reshape(30, 20, 4)[::-1]
    assert np.array_equal(picture.stored, raw[:, :, [2, 1, 0, 3]])
    done = picture.edited([Edit(4, 4, np.full((8, 8, 3), 90, np.uint8), np.ones((8, 8), np.float32))])
    assert check_written(encode(done, data), done, data) is None


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (with_header(4, 0), "JPEG within it"),
        (with_header(5, 0), "PNG within it"),
        (with_header(0, 2), "2 bits a pixel"),
        (with_header(0, 32, size=16), "the short header of OS/2"),
    ],
)
def test_rare_kinds_are_named_and_not_called_corrupt(data: bytes, kind: str) -> None:
    with pytest.raises(Failure, match=f"mode_unsupported: BMP, {kind}"):
        decode(data, Limits())
