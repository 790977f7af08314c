"""A TIFF is its source with the touched strips and tiles written again; all else is unchanged."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, TiffImagePlugin

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats.tiff_directory import first_directory
from operators.pictures.formats.tiff_strips import layout_of
from operators.pictures.picture import Edit
from operators.pictures.read_back import check_written
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


PAGES = {
    "plain": {},
    "deflate": {"compression": "zlib", "predictor": True, "rowsperstrip": 9},
    "tiles": {"tile": (32, 32), "compression": "zlib"},
    "JPEG": {"compression": "jpeg", "rowsperstrip": 16},
    "BigTIFF": {"bigtiff": True},
}


def paged(sizes: list[tuple[int, int]], bigtiff: bool = False, **options: Any) -> bytes:
    buffer, generator = io.BytesIO(), np.random.default_rng(0)
    with tifffile.TiffWriter(buffer, bigtiff=bigtiff) as writer:
        for height, width in sizes:
            samples = np.full((height, width, 3), generator.integers(40, 200, 3), np.uint8)
            writer.write(samples, **{"photometric": "rgb", "description": f"{height} rows", **options})
    return buffer.getvalue()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_edited_and_nothing_between_them(name: str) -> None:
    data = paged([(96, 128), (70, 90), (96, 100)], **PAGES[name])
    picture = decode(data, Limits())
    assert [page.top for page in picture.pages] == [0, 128, 256]
    assert picture.size == (128, 352)
    fill, weight = np.full((250, 32, 3), (250, 5, 10), np.uint8), np.ones((250, 32), np.float32)
    done = picture.edited([Edit(80, 80, fill, weight)])
    result = encode(done, data)
    assert check_written(result, done, data) is None
    with tifffile.TiffFile(io.BytesIO(data)) as old, tifffile.TiffFile(io.BytesIO(result)) as new:
        assert [page.description for page in new.pages] == ["96 rows", "70 rows", "96 rows"]
        for number, (rows, columns) in enumerate([(slice(80, 96), 32), (slice(0, 70), 10), (slice(0, 74), 20)]):
            before, after = old.pages[number].asarray(), new.pages[number].asarray()
            inside = np.zeros(before.shape[:2], bool)
            inside[rows, 80 : 80 + columns] = True
            near = cv2.dilate(inside.view(np.uint8), np.ones((37, 37), np.uint8)) > 0 if name == "JPEG" else inside
            assert np.array_equal(before[~near], after[~near])
            assert np.abs(after[inside].astype(int) - (250, 5, 10)).mean() <= (12 if name == "JPEG" else 0)


def test_only_the_edited_page_is_written_again() -> None:
    data = paged([(96, 128), (96, 128)])
    done = decode(data, Limits()).edited([Edit(8, 140, np.full((16, 20, 3), 250, np.uint8), np.ones((16, 20), np.float32))])
    changed = np.flatnonzero(np.frombuffer(data, np.uint8) != np.frombuffer(encode(done, data), np.uint8))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert changed.min() >= file.pages[1].dataoffsets[0]


def mixed() -> bytes:
    """Pages of colour, 16-bit grey, one bit with white as zero, a palette, and one turned."""
    buffer, noise = io.BytesIO(), np.random.default_rng(0).integers(60, 200, (96, 128, 3)).astype(np.uint8)
    table = np.stack([np.arange(256), 255 - np.arange(256), np.full(256, 90)]).astype(np.uint16) * 257
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(noise, photometric="rgb")
        writer.write(noise[:, :, 0].astype(np.uint16) * 257, photometric="minisblack", compression="zlib")
        writer.write(noise[:, :, 0] > 250, photometric="miniswhite")
        writer.write(noise[:, :, 1], photometric="palette", colormap=table)
        writer.write(noise[:, :64], photometric="rgb", extratags=[(274, "H", 1, 6, True)], compression="jpeg", rowsperstrip=96)
    return buffer.getvalue()


def test_pages_of_several_kinds_are_edited_each_in_its_own_colours_and_depth() -> None:
    data = mixed()
    picture = decode(data, Limits())
    assert [(part.mode, part.orientation) for part in picture.parts] == [
        ("RGB", 1),
        ("I;16", 1),
        ("1", 1),
        ("P", 1),
        ("RGB", 6),
    ]
    assert [(page.width, page.height) for page in picture.pages] == [(128, 96)] * 4 + [(96, 64)]
    fill, weight = np.full((16, 24, 3), 0, np.uint8), np.ones((16, 24), np.float32)
    done = picture.edited([Edit(40, page.top + 16, fill, weight) for page in picture.pages])
    result = encode(done, data)
    assert check_written(result, done, data) is None
    with tifffile.TiffFile(io.BytesIO(data)) as old, tifffile.TiffFile(io.BytesIO(result)) as new:
        for number, (before, after) in enumerate(zip(old.pages, new.pages, strict=True)):
            first, second = before.asarray(), after.asarray()
            rows, columns = (slice(16, 32), slice(40, 64)) if number < 4 else (slice(96 - 64, 96 - 40), slice(16, 32))
            inside = np.zeros(first.shape[:2], bool)
            inside[rows, columns] = True
            near = cv2.dilate(inside.view(np.uint8), np.ones((37, 37), np.uint8)) > 0 if number == 4 else inside
            assert first.dtype == second.dtype
            assert np.array_equal(first[~near], second[~near])
            if number in (0, 1, 4):
                assert second[inside].max() <= (40 if number == 4 else 0)
            elif number == 2:
                assert second[inside].all()


def test_a_wrongly_written_page_of_another_kind_is_found() -> None:
    data = mixed()
    picture = decode(data, Limits())
    place = picture.pages[1].top + 16
    done = picture.edited([Edit(40, place, np.full((16, 24, 3), 0, np.uint8), np.ones((16, 24), np.float32))])
    assert str(check_written(data, done, data)).startswith("page 1: ")


def test_only_the_first_page_is_seen_and_edited_if_asked() -> None:
    data, first = mixed(), Limits(pages="first")
    done = decode(data, first).edited([Edit(8, 8, np.full((16, 24, 3), 0, np.uint8), np.ones((16, 24), np.float32))])
    assert done.picture.size == (128, 96)
    result = encode(done, data)
    assert check_written(result, done, data) is None
    with tifffile.TiffFile(io.BytesIO(data)) as old, tifffile.TiffFile(io.BytesIO(result)) as new:
        same = [np.array_equal(one.asarray(), two.asarray()) for one, two in zip(old.pages, new.pages, strict=True)]
    assert same == [False, True, True, True, True]


def test_smaller_copies_and_circles_are_not_edited() -> None:
    copies = io.BytesIO()
    with tifffile.TiffWriter(copies) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8), photometric="rgb")
        writer.write(np.zeros((16, 16, 3), np.uint8), photometric="rgb", subfiletype=1)
    with pytest.raises(Failure, match="multi_page: 2 pictures"):
        decode(copies.getvalue(), Limits())
    circle = bytearray(paged([(32, 32)]))
    directory = first_directory(bytes(circle))
    circle[directory.next_pointer : directory.next_pointer + 4] = circle[4:8]
    with pytest.raises(Failure, match=r"corrupt: .*circle"):
        decode(bytes(circle), Limits())


def raw(writer: tifffile.TiffWriter, **options: Any) -> None:
    writer.write(np.zeros((32, 32), np.uint16), photometric=32803, metadata=None, **options)


def preview(writer: tifffile.TiffWriter, **options: Any) -> None:
    writer.write(np.full((16, 24, 3), 90, np.uint8), photometric="rgb", metadata=None, **options)


DNG = (50706, "B", 4, b"\1\4\0\0", True)
FILTER = (33422, "B", 4, b"\0\1\1\2", True)
RAW: dict[str, tuple[str, Callable[[tifffile.TiffWriter], object]]] = {
    "a DNG whose first picture is a preview": ("DNG", lambda writer: preview(writer, extratags=[DNG])),
    "a preview with the raw samples below it": ("raw photograph", lambda writer: (preview(writer, subifds=1), raw(writer))),
    "a preview with the raw samples after it": ("raw photograph", lambda writer: (preview(writer), raw(writer))),
    "raw samples first": ("raw photograph", raw),
    "a colour filter in its tags": (
        "raw photograph",
        lambda writer: preview(writer, extratags=[FILTER]),
    ),
}


@pytest.mark.parametrize("pages", ["all", "first"])
@pytest.mark.parametrize("name", RAW)
def test_a_raw_photograph_is_named_whatever_previews_it_has(name: str, pages: str) -> None:
    buffer = io.BytesIO()
    kind, write = RAW[name]
    with tifffile.TiffWriter(buffer) as writer:
        write(writer)
    with pytest.raises(Failure, match=f"mode_unsupported: {kind} files are not edited"):
        decode(buffer.getvalue(), Limits(pages=pages))


@pytest.mark.parametrize(("start", "kind"), [(b"CR\2\0", "CR2"), (b"IIII", "IIQ")])
def test_a_raw_photograph_is_known_by_what_follows_its_header(start: bytes, kind: str) -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        preview(writer)
    data = buffer.getvalue()
    offset = len(data) + 8
    moved = data[:4] + struct.pack("<I", offset) + start + data[12:] + bytes(8) + data[8:]
    with pytest.raises(Failure, match=f"mode_unsupported: {kind} files are not edited"):
        decode(moved, Limits())
