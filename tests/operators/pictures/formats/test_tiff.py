"""A TIFF is its source with the touched strips and tiles written again; all else is unchanged."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats.tiff_directory import first_directory
from operators.pictures.formats.tiff_strips import layout_of
from operators.pictures.picture import Edit
from operators.rows.failure import Failure

HEIGHT, WIDTH = 96, 128


def tiff_file(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **{"photometric": "rgb", **options})
    return buffer.getvalue()


def edited(data: bytes, top: int = 40, colour: tuple[int, int, int] = (250, 5, 10)) -> bytes:
    """The file with 8 rows of one colour."""
    edit = Edit(16, top, np.full((8, 32, 3), colour, np.uint8), np.ones((8, 32), np.float32))
    return encode(decode(data, Limits()).edited([edit]), data)


@pytest.fixture(scope="module")
def pixels(photo: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(photo[100 : 100 + HEIGHT, 180 : 180 + WIDTH])


def test_only_the_touched_strips_and_their_lengths_differ(pixels: np.ndarray) -> None:
    data = tiff_file(pixels.astype(np.uint16) * 257, compression="zlib", predictor=True, rowsperstrip=8)
    result = edited(data)
    before, after = (layout_of(first_directory(file)) for file in (data, result))
    moved = [
        number
        for number in range(12)
        if before.offsets[number] != after.offsets[number] or before.counts[number] != after.counts[number]
    ]
    assert moved == [5]
    for number in set(range(12)) - {5}:
        span = slice(before.offsets[number], before.offsets[number] + before.counts[number])
        assert data[span] == result[span]


def test_every_byte_of_an_uncompressed_file_but_the_edited_pixels_is_kept(pixels: np.ndarray) -> None:
    data = tiff_file(pixels, description="a description", extratags=[(65000, 7, 12, b"private data", True)])
    result = edited(data)
    assert len(result) == len(data)
    differ = np.flatnonzero(np.frombuffer(data, np.uint8) != np.frombuffer(result, np.uint8))
    start = first_directory(data).numbers(273)[0]
    rows, columns = np.divmod(differ - start, WIDTH * 3)
    assert (rows.min(), rows.max()) == (40, 47)
    assert columns.min() >= 16 * 3
    assert columns.max() < 48 * 3


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"])
def test_compression_and_tags_are_kept(pixels: np.ndarray, compression: str | None, exif: Any) -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[270], tags[33432], tags[65001] = "a description", "nobody", "private"
    tags.tagtype[65001] = 2
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", compression=compression, tiffinfo=tags, dpi=(300, 150))
    data = buffer.getvalue()
    before, after = (first_directory(file) for file in (data, edited(data)))
    assert set(before.entries) == set(after.entries)
    for tag in set(before.entries) - {273, 279}:
        assert before.content(tag) == after.content(tag)


def with_entry(data: bytes, tag: int, kind: int, value: int) -> bytes:
    """A little-endian file with one more number in its directory, which moves to the end."""
    start = struct.unpack("<I", data[4:8])[0]
    count = struct.unpack("<H", data[start : start + 2])[0]
    entries = [data[start + 2 + 12 * number : start + 14 + 12 * number] for number in range(count)]
    entries = [entry for entry in entries if struct.unpack("<H", entry[:2])[0] != tag]
    entries.append(struct.pack("<HHII", tag, kind, 1, value))
    entries.sort(key=lambda entry: struct.unpack("<H", entry[:2])[0])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


def test_sub_directories_are_kept(pixels: np.ndarray) -> None:
    data = tiff_file(pixels, compression="zlib", rowsperstrip=8)
    taken = b"2024:02:29 12:00:00\0"
    exif = struct.pack("<HHHII", 1, 0x9003, 2, len(taken), len(data) + 18) + bytes(4) + taken
    data = with_entry(data + exif, 0x8769, 4, len(data))
    for file in (data, edited(data)):
        assert Image.open(io.BytesIO(file)).getexif().get_ifd(0x8769)[0x9003] == "2024:02:29 12:00:00"


def test_a_palette_with_room_takes_new_colours(pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).quantize(32).save(buffer, "TIFF", compression="tiff_lzw")
    data = buffer.getvalue()
    result = edited(data, colour=(0, 255, 0))
    rendered = np.asarray(Image.open(io.BytesIO(result)).convert("RGB"))
    assert (rendered[40:48, 16:48] == (0, 255, 0)).all()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[:40], rendered[:40])


@pytest.mark.parametrize("bits", [1, 8])
def test_files_in_which_zero_is_white_are_seen_and_edited_correctly(pixels: np.ndarray, bits: int) -> None:
    grey = pixels[:, :, 0] > 120 if bits == 1 else pixels[:, :, 0]
    data = tiff_file(grey, photometric="miniswhite")
    white = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    assert np.array_equal(decode(data, Limits()).rgb()[:, :, 0], white)
    assert np.array_equal(white, 255 - grey * np.uint8(255 if bits == 1 else 1))
    assert (np.asarray(Image.open(io.BytesIO(edited(data, colour=(255, 255, 255)))).convert("L"))[40:48, 16:48] == 255).all()


def test_half_a_file_is_truncated(pixels: np.ndarray) -> None:
    data = tiff_file(pixels)
    with pytest.raises(Failure, match="truncated"):
        decode(data[: len(data) // 2], Limits())


def test_jpeg_strips_and_tiles_change_only_in_the_blocks_of_the_edit(tiff_jpeg: Any, edited_file: Any) -> None:
    """The square of 16 x 16 pixels at (16, 16) covers whole blocks of any sampling."""
    data = tiff_jpeg.make()
    result, before, after = edited_file(data)
    outside = np.ones(before.stored.shape[:2], bool)
    outside[14:34, 14:34] = False
    assert before.mode == after.mode == tiff_jpeg.mode
    assert np.array_equal(before.stored, tiff_jpeg.read(data))
    assert np.array_equal(after.stored, tiff_jpeg.read(result))
    assert np.array_equal(before.stored[outside], after.stored[outside])
    assert np.abs(after.colours()[18:30, 18:30].astype(int) - (250, 5, 10)).mean() < 8 or tiff_jpeg.mode == "L"


def test_jpeg_of_inks_and_of_planes_is_named() -> None:
    inks, planes = io.BytesIO(), io.BytesIO()
    samples = np.zeros((32, 32, 4), np.uint8)
    tifffile.imwrite(inks, samples, photometric="separated", compression="jpeg")
    tifffile.imwrite(
        planes, samples[:, :, :3].transpose(2, 0, 1), photometric="rgb", planarconfig="separate", compression="jpeg"
    )
    for buffer in (inks, planes):
        with pytest.raises(Failure, match="mode_unsupported: TIFF, JPEG of photometric interpretation"):
            decode(buffer.getvalue(), Limits())
