"""New strips and tiles: in place of the old ones, in joined gaps, or at the end of the file."""

from __future__ import annotations

import io
import struct
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats.tiff import directories_of
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


def test_neighbouring_strips_share_the_gap_that_they_leave(pixels: np.ndarray) -> None:
    data = tiff_file(pixels, compression="zlib", rowsperstrip=4)
    result = edited(data, top=38)
    layout = layout_of(first_directory(result))
    spans = sorted(zip(layout.offsets, layout.counts, strict=True))
    assert all(start + size <= following for (start, size), (following, _) in pairwise(spans))
    assert len(result) <= len(data)


def test_a_strip_that_fits_no_gap_goes_to_the_end(pixels: np.ndarray) -> None:
    data = tiff_file(np.full_like(pixels, 90), compression="zlib", rowsperstrip=8) + bytes(10)
    noise = np.random.default_rng(0).integers(0, 256, (8, WIDTH, 3), dtype=np.uint8)
    picture = decode(data, Limits())
    edited = picture.edited([Edit(0, 16, noise, np.ones((8, WIDTH), np.float32))])
    result = encode(edited, data)
    assert first_directory(result).numbers(273)[2] >= len(data)
    assert result[len(data) - 10 : len(data)] == bytes(10)
    assert np.array_equal(tifffile.imread(io.BytesIO(result)), edited.stored)


def test_equal_strips_that_a_file_stores_once_are_separated() -> None:
    pixels = np.full((32, 40, 3), 90, np.uint8)
    data = bytearray(tiff_file(pixels, compression="zlib", rowsperstrip=8))
    directory = first_directory(bytes(data))
    for tag in (273, 279):
        entry = directory.entries[tag]
        data[entry.offset : entry.offset + entry.size] = directory.packed(tag, directory.numbers(tag)[:1] * 4)
    assert np.array_equal(tifffile.imread(io.BytesIO(bytes(data))), pixels)
    picture = decode(bytes(data), Limits())
    edit = picture.edited([Edit(0, 8, np.full((8, 9, 3), 200, np.uint8), np.ones((8, 9), np.float32))])
    result = tifffile.imread(io.BytesIO(encode(edit, bytes(data))))
    assert np.array_equal(result, edit.stored)
    assert (result[:8] == 90).all()


@pytest.mark.parametrize("options", [{"compression": "group3"}, {"compression": "group4"}])
@pytest.mark.parametrize("bit_order", [1, 2])
def test_fax_pages_are_read_and_written_in_either_bit_order(options: dict[str, str], bit_order: int) -> None:
    page = np.random.default_rng(0).random((64, 80)).round() > 0.5
    page[10:50, 10:60] = True
    buffer = io.BytesIO()
    Image.fromarray(page).save(buffer, "TIFF", **options)
    data = with_bit_order(buffer.getvalue()) if bit_order == 2 else buffer.getvalue()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), page)
    picture = decode(data, Limits())
    assert np.array_equal(picture.rgb()[:, :, 0] > 0, page)
    edit = picture.edited([Edit(20, 20, np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32))])
    page[20:28, 20:28] = False
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode(edit, data)))), page)


def with_bit_order(data: bytes) -> bytes:
    """The file with the bits of every strip byte reversed, and the tag that declares it."""
    directory, changed = first_directory(data), bytearray(data)
    for start, count in zip(directory.numbers(273), directory.numbers(279), strict=True):
        changed[start : start + count] = bytes(int(f"{byte:08b}"[::-1], 2) for byte in data[start : start + count])
    return with_entry(bytes(changed), 266, 4, 2)


@pytest.mark.parametrize("options", [{}, {"compression": "zlib"}, {"planarconfig": "separate"}])
def test_tiles_under_the_tags_of_strips_are_read_and_written_as_tiles(pixels: np.ndarray, options: dict[str, str]) -> None:
    samples = np.ascontiguousarray(pixels.transpose(2, 0, 1)) if "planarconfig" in options else pixels
    data = bytearray(tiff_file(samples, tile=(32, 48), **options))
    directory = first_directory(bytes(data))
    start = struct.unpack("<I", data[4:8])[0] + 2
    entries = [bytes(data[start + 12 * place : start + 12 * place + 12]) for place in range(len(directory.entries))]
    renamed = {324: 273, 325: 279}
    entries = [
        struct.pack("<H", renamed.get(tag, tag)) + entry[2:] for entry in entries for tag in struct.unpack("<H", entry[:2])
    ]
    data[start : start + 12 * len(entries)] = b"".join(sorted(entries, key=lambda entry: struct.unpack("<H", entry[:2])))
    picture = decode(bytes(data), Limits())
    assert np.array_equal(picture.stored, pixels)
    expected = pixels.copy()
    expected[40:48, 16:48] = (250, 5, 10)
    result = decode(edited(bytes(data)), Limits())
    assert np.array_equal(result.stored, expected)
    read = tifffile.imread(io.BytesIO(edited(bytes(data))))
    assert np.array_equal(read.transpose(1, 2, 0) if "planarconfig" in options else read, expected)


def test_planes_without_a_changed_sample_are_not_written(pixels: np.ndarray) -> None:
    rgba = np.concatenate([pixels, pixels[:, :, :1]], axis=2).transpose(2, 0, 1)
    data = tiff_file(
        np.ascontiguousarray(rgba), planarconfig="separate", extrasamples=["unassalpha"], compression="zlib", rowsperstrip=96
    )
    result = edited(data)
    before, after = (layout_of(first_directory(file)) for file in (data, result))
    assert before.offsets[3] == after.offsets[3]
    assert before.counts[3] == after.counts[3]
    assert before.counts[0] != after.counts[0]


def test_of_overlapping_strips_pixels_outside_the_edit_are_kept(pixels: np.ndarray) -> None:
    data = bytearray(tiff_file(pixels, rowsperstrip=8))
    directory = first_directory(bytes(data))
    entry, offsets = directory.entries[273], directory.numbers(273)
    twisted = (*offsets[:5], offsets[5] - 100, *offsets[6:])
    data[entry.offset : entry.offset + entry.size] = directory.packed(273, twisted)
    result = edited(bytes(data))
    before, after = tifffile.imread(io.BytesIO(bytes(data))), tifffile.imread(io.BytesIO(result))
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[40:48, 16:48] = False
    assert np.array_equal(before[outside], after[outside])


def test_a_file_of_far_fewer_strips_than_it_has_rows_is_corrupt(pixels: np.ndarray) -> None:
    data = bytearray(tiff_file(pixels[:, :1]))
    directory = first_directory(bytes(data))
    for tag, value in ((257, 60000), (278, 1)):
        entry = directory.entries[tag]
        data[entry.offset : entry.offset + entry.size] = directory.packed(tag, (value,))
    with pytest.raises(Failure, match="1 offsets and 1 lengths of 60000 parts"):
        decode(bytes(data), Limits())


@pytest.mark.parametrize("compression", ["group4", "tiff_lzw", "raw"])
def test_no_byte_of_a_replaced_strip_stays(compression: str) -> None:
    """A new strip that is longer goes to the end of the file; one that is shorter leaves a rest."""
    rows = np.random.default_rng(1).integers(0, 2, (64, 256), dtype=np.uint8) * 255
    buffer = io.BytesIO()
    Image.fromarray(rows).convert("1" if compression == "group4" else "L").save(buffer, "TIFF", compression=compression)
    source = buffer.getvalue()
    layout = layout_of(first_directory(source))
    old = source[layout.offsets[0] : layout.offsets[0] + layout.counts[0]]
    picture = decode(source, Limits())
    edit = Edit(0, 0, np.full((64, 256, 3), 255, np.uint8), np.ones((64, 256), np.float32))
    result = encode(picture.edited([edit]), source)
    pieces = [old[start : start + 16] for start in range(0, len(old) - 16, 16)]
    assert len({*pieces}) > 8
    assert not any(piece in result for piece in pieces)


def with_number(data: bytes, page: int, tag: int, value: int) -> bytes:
    """The file with another first number of a page's tag."""
    directory, result = directories_of(data)[page], bytearray(data)
    entry = directory.entries[tag]
    numbers = (value, *directory.numbers(tag)[1:])
    result[entry.offset : entry.offset + entry.size] = directory.packed(tag, numbers)
    return bytes(result)


def tags_of(data: bytes) -> list[dict[int, bytes | None]]:
    """The tags of all pages, without those that say where pixels are."""
    return [{tag: page.content(tag) for tag in page.entries if tag != 273} for page in directories_of(data)]


def pages_file(*pages: np.ndarray) -> bytes:
    """A file of pages without compression, each in one strip."""
    first, *others = map(Image.fromarray, pages)
    buffer = io.BytesIO()
    first.save(buffer, "TIFF", save_all=True, append_images=others)
    return buffer.getvalue()


def first_page_red(data: bytes) -> bytes:
    edit = Edit(0, 0, np.full((8, 8, 3), (250, 5, 10), np.uint8), np.ones((8, 8), np.float32))
    return encode(decode(data, Limits()).edited([edit]), data)


@pytest.mark.parametrize("start", [2, 10, 60, 500])
def test_pixels_that_share_bytes_with_tags_leave_the_tags_as_they_are(pixels: np.ndarray, start: int) -> None:
    """The pixels start in the header, in the first directory, or end in the second."""
    data = pages_file(pixels[:48, :64], pixels[:48, :64, 0])
    twisted = with_number(data, 0, 273, start)
    picture = decode(twisted, Limits())
    result = first_page_red(twisted)
    assert tags_of(result) == tags_of(twisted)
    after = decode(result, Limits())
    assert (after.parts[0].stored[:8, :8] == (250, 5, 10)).all()
    assert np.array_equal(after.parts[0].stored[8:], picture.parts[0].stored[8:])
    assert np.array_equal(after.parts[1].stored, picture.parts[1].stored)


@pytest.mark.parametrize("grey", [False, True])
def test_pixels_that_another_page_shares_stay_there(pixels: np.ndarray, grey: bool) -> None:
    page = np.ascontiguousarray(pixels[:48, :64])
    data = pages_file(page, page[:, :, 0] if grey else page)
    shared = with_number(data, 1, 273, directories_of(data)[0].number(273, 0))
    result = first_page_red(shared)
    before, after = directories_of(shared)[1], directories_of(result)[1]
    start, size = before.number(273, 0), before.number(279, 0)
    assert after.number(273, 0) == start
    assert result[start : start + size] == shared[start : start + size]
    red = page.copy()
    red[:8, :8] = (250, 5, 10)
    assert np.array_equal(tifffile.imread(io.BytesIO(result), key=0), red)


def test_tags_that_share_their_values_are_not_written(pixels: np.ndarray) -> None:
    data = tiff_file(pixels, rowsperstrip=8, compression="zlib")
    twisted = bytearray(with_entry(data, 50000, 4, 0))
    moved = first_directory(bytes(twisted))
    place = moved.start + 2 + 12 * list(moved.entries).index(50000)
    struct.pack_into("<II", twisted, place + 4, HEIGHT // 8, moved.entries[279].offset)
    with pytest.raises(ValueError, match="the file's tags overlap"):
        edited(bytes(twisted))


@pytest.mark.parametrize("tag", [256, 257, 258, 277, 278, 322, 323])
def test_a_size_of_nothing_is_damage(pixels: np.ndarray, tag: int) -> None:
    data = tiff_file(pixels, tile=(32, 48)) if tag in (322, 323) else tiff_file(pixels, rowsperstrip=8)
    with pytest.raises(ValueError, match=r"(pixels|strips) of"):
        layout_of(first_directory(with_number(data, 0, tag, 0)))


def test_a_tile_far_larger_than_its_picture_is_damage(pixels: np.ndarray) -> None:
    data = with_number(tiff_file(pixels, tile=(32, 48), compression="zlib"), 0, 322, 4096 + WIDTH + 1)
    with pytest.raises(ValueError, match="tiles of"):
        layout_of(first_directory(data))
