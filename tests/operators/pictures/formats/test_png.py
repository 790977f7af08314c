"""A PNG keeps its chunks unchanged and in order; only its pixels are compressed again."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.enlarged_file import encode_enlarged
from operators.pictures.formats.png import assembled, chunks, compressed, pack_rows
from operators.pictures.picture import Edit, Picture
from operators.rows.failure import Failure
from tests.operators.pictures.formats.conftest import png

check = settings(deadline=None, max_examples=60)
HEIGHT, WIDTH = 40, 56
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def file(samples: np.ndarray, depth: int, colour: int, before: bytes = b"", after: bytes = b"", level: int = 6) -> bytes:
    """A PNG of the given samples, scan lines without filters."""
    if depth == 16:
        lines = [row.astype(">u2").tobytes() for row in samples]
    else:
        lines = [np.packbits(np.unpackbits(row.reshape(-1, 1), axis=1)[:, 8 - depth :]).tobytes() for row in samples]
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + line for line in lines), level)
    return SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", pixels) + after + chunk(b"IEND", b"")


def names(data: bytes) -> list[tuple[bytes, bytes]]:
    """All chunks; those of the pixels are joined and empty."""
    parts = [(name, b"" if name == b"IDAT" else content) for name, content in chunks(data)]
    return [part for number, part in enumerate(parts) if part[0] != b"IDAT" or parts[number - 1][0] != b"IDAT"]


def edited(data: bytes, colour: tuple[int, int, int] = (200, 60, 30)) -> tuple[bytes, Picture]:
    edit = Edit(8, 8, np.full((16, 20, 3), colour, np.uint8), np.ones((16, 20), np.float32))
    result = encode(decode(data, Limits()).edited([edit]), data)
    return result, decode(result, Limits())


METADATA = [
    (b"gAMA", struct.pack(">I", 45455)),
    (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
    (b"pHYs", struct.pack(">IIB", 11811, 5906, 1)),
    (b"tIME", struct.pack(">HBBBBB", 2024, 2, 29, 12, 0, 0)),
    (b"tEXt", b"Author\0A. Painter"),
    (b"zTXt", b"Comment\0\0" + zlib.compress(b"hidden " * 40)),
    (b"iTXt", b"Title\0\0\0de\0Titel\0Gr\xc3\xb6\xc3\x9fe"),
    (b"prVt", b"a private chunk of nobody's"),
]


def test_every_chunk_keeps_its_place_and_its_bytes() -> None:
    before = b"".join(chunk(*part) for part in METADATA[:4])
    after = b"".join(chunk(*part) for part in METADATA[4:]) + chunk(b"eXIf", b"MM\0*\0\0\0\x08\0\0\0\0\0\0")
    data = file(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), 8, 2, before, after) + b"after the end"
    result, _ = edited(data)
    assert names(result) == names(data)
    assert result.endswith(b"IEND\xaeB`\x82after the end")


@pytest.mark.parametrize("kind", ["PNG RGB 16 interlaced", "PNG grey 2 interlaced"])
def test_an_interlaced_picture_is_written_without_interlacing(kind: str, kinds: Any) -> None:
    data = kinds[kind].make()
    result, _ = edited(data)
    assert (data[28], result[28]) == (1, 0)
    assert result[24:28] == data[24:28]


@check
@given(
    depth=st.sampled_from([1, 2, 4, 8, 16]),
    samples=arrays(np.uint16, st.tuples(st.integers(1, 9), st.integers(1, 11), st.just(1)), elements=st.integers(0, 65535)),
)
def test_grey_of_any_depth_and_size_comes_back_from_its_scan_lines(depth: int, samples: np.ndarray, png_reader: Any) -> None:
    samples = (samples >> (16 - depth)).astype(np.uint16 if depth == 16 else np.uint8)
    lines = pack_rows(samples, depth)
    header = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, 0, 0, 0, 0)
    data = assembled([(b"IHDR", header), (b"IDAT", compressed(lines, max(1, depth // 8), 6)), (b"IEND", b"")])
    assert np.array_equal(png_reader(data), samples)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_filters_are_undone_by_another_reader(channels: int, photo: np.ndarray, png_reader: Any) -> None:
    samples = np.concatenate([photo[:40, :60], photo[:40, 60:120, :1]], axis=2)[:, :, :channels].astype(np.uint16) * 257
    colour = {2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", 60, 40, 16, colour, 0, 0, 0)
    data = assembled([(b"IHDR", header), (b"IDAT", compressed(pack_rows(samples, 16), 2 * channels, 6)), (b"IEND", b"")])
    lines = zlib.decompress(dict(chunks(data))[b"IDAT"])
    assert len({lines[row * (1 + 120 * channels)] for row in range(40)}) > 1
    assert np.array_equal(png_reader(data), samples)


def test_bands_of_lines_are_filtered_as_one(monkeypatch: pytest.MonkeyPatch, photo: np.ndarray) -> None:
    whole = zlib.decompress(compressed(pack_rows(photo[:64], 8), 3, 6))
    monkeypatch.setattr("operators.pictures.formats.png.BAND_BYTES", 512 * 3 * 5)
    assert zlib.decompress(compressed(pack_rows(photo[:64], 8), 3, 6)) == whole


def test_an_edited_photograph_is_hardly_larger(photo: np.ndarray, saved: Any) -> None:
    data = saved(photo, "PNG")
    assert len(edited(data)[0]) < 1.05 * len(data)


@pytest.mark.parametrize("level", [1, 9])
def test_a_stream_is_packed_as_hard_as_the_source_says(level: int) -> None:
    data = file(np.full((HEIGHT, WIDTH, 3), 90, np.uint8), 8, 2, level=level)
    parts = [dict(chunks(content))[b"IDAT"] for content in (data, edited(data)[0])]
    assert parts[0][1] >> 6 == parts[1][1] >> 6


# --- transparency by one colour


def keyed() -> bytes:
    samples = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    samples[:, ::2] = (250, 5, 10)
    return file(samples, 8, 2, chunk(b"tRNS", struct.pack(">3H", 250, 5, 10)))


def test_an_edit_to_the_transparent_colour_does_not_become_transparent(png_reader: Any) -> None:
    data = keyed()
    result, _ = edited(data, (250, 5, 10))
    transparent = [(png_reader(content) == (250, 5, 10)).all(axis=2) for content in (data, result)]
    assert np.array_equal(*transparent)


def test_transparent_pixels_stay_transparent_under_an_edit(png_reader: Any) -> None:
    data = keyed()
    result, _ = edited(data)
    before, after = png_reader(data), png_reader(result)
    transparent = (before == (250, 5, 10)).all(axis=2)
    assert np.array_equal(after[transparent], before[transparent])
    assert (after[8:24, 8:28][~transparent[8:24, 8:28]] == (200, 60, 30)).all()


# --- palettes


def palette_file(entries: np.ndarray, indices: np.ndarray, depth: int, more: bytes = b"", alphas: bytes = b"") -> bytes:
    table = chunk(b"PLTE", entries.astype(np.uint8).tobytes()) + (chunk(b"tRNS", alphas) if alphas else b"")
    return file(indices[:, :, None].astype(np.uint8), depth, 3, table + more)


def stripes(count: int) -> np.ndarray:
    return np.tile(np.arange(WIDTH) % count, (HEIGHT, 1))


def test_a_palette_with_a_near_colour_stays_as_it_is(png_reader: Any) -> None:
    entries = np.array([[0, 0, 0], [201, 61, 29], [0, 200, 0]])
    data = palette_file(entries, stripes(3), 2)
    result, _ = edited(data)
    assert names(result) == names(data)
    assert (png_reader(result)[8:24, 8:28] == 1).all()


def test_a_palette_with_room_takes_new_colours_and_more_bits_if_it_needs_them(png_reader: Any) -> None:
    entries = np.array([[0, 0, 0], [255, 255, 255]])
    data = palette_file(entries, stripes(2), 1, chunk(b"hIST", struct.pack(">2H", 9, 9)))
    result, after = edited(data)
    assert (result[24], result[25]) == (2, 3)
    assert dict(chunks(result))[b"PLTE"] == entries.astype(np.uint8).tobytes() + bytes([200, 60, 30])
    assert b"hIST" not in dict(chunks(result))
    assert (after.stored[8:24, 8:28] == (200, 60, 30)).all()
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[8:24, 8:28] = False
    assert np.array_equal(png_reader(result)[outside], png_reader(data)[outside])


def test_a_palette_without_room_becomes_rgb_with_its_other_chunks() -> None:
    greys = np.repeat(np.arange(256)[:, None], 3, axis=1)
    indices = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256
    more = chunk(b"bKGD", b"\x07") + chunk(b"pHYs", bytes(8) + b"\1")
    data = palette_file(greys, indices, 8, more)
    result, after = edited(data)
    assert (result[24], result[25], after.mode) == (8, 2, "RGB")
    parts = dict(chunks(result))
    assert parts[b"bKGD"] == struct.pack(">3H", 7, 7, 7)
    assert parts[b"pHYs"] == bytes(8) + b"\1"
    assert b"PLTE" not in parts
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[8:24, 8:28] = False
    assert np.array_equal(after.stored[outside], np.repeat(indices[outside][:, None], 3, axis=1))
    assert (after.stored[~outside] == (200, 60, 30)).all()


def test_transparent_entries_stay_transparent_in_rgba() -> None:
    greys = np.repeat(np.arange(256)[:, None], 3, axis=1)
    indices = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 256
    data = palette_file(greys, indices, 8, chunk(b"sBIT", b"\5\5\5"), bytes([0, 128]))
    result, after = edited(data)
    assert (result[25], after.mode) == (6, "RGBA")
    assert dict(chunks(result))[b"sBIT"] == b"\5\5\5\x08"
    assert np.array_equal(after.stored[:, :, 3], decode(data, Limits()).stored[:, :, 3])


# --- bad inputs


def damaged(data: bytes, place: bytes) -> bytes:
    """The file with one bit of a chunk's content turned over."""
    changed = bytearray(data)
    changed[data.index(place)] ^= 1
    return bytes(changed)


def test_a_text_with_a_wrong_checksum_stays_and_gets_its_right_one() -> None:
    source = file(np.full((HEIGHT, WIDTH, 1), 90, np.uint8), 8, 0, after=chunk(b"tEXt", b"Author\0nobody"))
    source = damaged(source, b"nobody")
    result, picture = edited(source)
    assert picture.losses == ()
    assert chunk(b"tEXt", b"Author\0oobody") in result


def test_another_chunk_with_a_wrong_checksum_is_left_out_because_no_decoder_reads_it() -> None:
    opaque = chunk(b"PLTE", bytes(range(12))) + chunk(b"tRNS", b"\xff\x7e\xff\xff")
    source = damaged(file(np.ones((HEIGHT, WIDTH, 1), np.uint8), 8, 3, before=opaque), b"\x7e")
    result, picture = edited(source)
    assert decode(source, Limits()).stored.shape[2] == 3
    assert decode(source, Limits()).losses == ("wrong checksum in tRNS",)
    assert (picture.stored.shape[2], b"tRNS" in result) == (3, False)


@pytest.mark.parametrize("lost", [4, 12, 16])
def test_a_file_without_its_last_bytes_is_read_if_its_pixels_are_complete(lost: int) -> None:
    samples = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    data = file(samples, 8, 2)
    assert np.array_equal(decode(data[:-lost], Limits()).stored, samples)
    result, picture = edited(data[:-lost])
    assert result.endswith(b"IEND\xaeB`\x82")
    assert np.array_equal(picture.stored[30:], samples[30:])


@pytest.mark.parametrize(("depth", "colour", "channels"), [(1, 0, 1), (8, 3, 1), (8, 2, 3), (16, 6, 4)])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("lost", [2, HEIGHT // 2])
def test_pixels_that_end_before_the_last_row_are_truncated(
    depth: int, colour: int, channels: int, interlaced: bool, lost: int
) -> None:
    """The stream is whole and its checksums are right: only a count of its bytes tells."""
    peak = min(2**depth, 4) - 1
    samples = np.full((HEIGHT, WIDTH, channels), peak, np.uint16 if depth == 16 else np.uint8)
    before = chunk(b"PLTE", bytes(range(12))) if colour == 3 else b""
    whole = png(samples, depth, colour, before, interlaced=interlaced)
    rows = zlib.decompress(b"".join(content for name, content in chunks(whole) if name == b"IDAT"))
    row = (WIDTH * channels * depth + 7) // 8 // (2 if interlaced else 1)
    short = [(name, zlib.compress(rows[: -lost * row]) if name == b"IDAT" else content) for name, content in chunks(whole)]
    parts = [part for number, part in enumerate(short) if part[0] != b"IDAT" or short[number - 1][0] != b"IDAT"]
    assert np.array_equal(decode(whole, Limits()).stored.shape, (HEIGHT, WIDTH, 3 if colour == 3 else channels))
    with pytest.raises(Failure, match=r"^truncated: "):
        decode(assembled(parts), Limits())


def test_sixteen_bits_cut_short_are_truncated() -> None:
    data = file(np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 3), dtype=np.uint16), 16, 2)
    with pytest.raises(Failure, match="truncated"):
        decode(data[: len(data) // 2], Limits())


def test_an_index_into_the_old_pixels_is_left_out() -> None:
    samples = np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    index = chunk(b"iDOT", struct.pack(">7I", 2, 0, HEIGHT // 2, 40, HEIGHT // 2, HEIGHT // 2, 999))
    data = file(samples, 8, 2, chunk(b"pHYs", struct.pack(">IIB", 11811, 5906, 1)) + index)
    result, _ = edited(data)
    assert [name for name, _ in names(result)] == [b"IHDR", b"pHYs", b"IDAT", b"IEND"]
    larger = encode_enlarged(decode(data, Limits()), np.repeat(samples, 2, axis=0), data).data
    assert [name for name, _ in names(larger)] == [b"IHDR", b"pHYs", b"IDAT", b"IEND"]
