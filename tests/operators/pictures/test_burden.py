"""Files made to waste time are refused by a count, in milliseconds, each with its code."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, PngImagePlugin

from operators.pictures.burden import Limits, check_burden
from operators.pictures.codec import decode
from operators.rows.failure import CODES, Failure

RNG = np.random.default_rng(0)
NOISE = Image.fromarray(RNG.integers(0, 255, (64, 96, 3), np.uint8))


def saved(format: str, picture: Image.Image = NOISE, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def frames(format: str, count: int) -> bytes:
    pictures = [Image.fromarray(RNG.integers(0, 255, (16, 16), np.uint8)) for _ in range(count)]
    return saved(format, pictures[0], save_all=True, append_images=pictures[1:])


def many_scans(count: int) -> bytes:
    """A progressive JPEG whose last scan is there `count` times."""
    data = saved("JPEG", progressive=True)
    last, end = data.rindex(b"\xff\xda"), data.rindex(b"\xff\xd9")
    return data[:last] + data[last:end] * count + data[end:]


def scans_of(data: bytes) -> int:
    return data.count(b"\xff\xda")


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunks(*chunks: bytes) -> bytes:
    data = saved("PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def directories(count: int) -> bytes:
    """A TIFF of empty directories, each six bytes long, after each other."""
    starts = [8 + 6 * number for number in range(count)]
    return b"II*\0\x08\0\0\0" + b"".join(struct.pack("<HI", 0, start) for start in [*starts[1:], 0])


def code(data: bytes | memoryview, limits: Limits = Limits()) -> str | None:
    try:
        check_burden(data, limits)
    except Failure as failure:
        return failure.code
    return None


ZEROS = zlib.compress(bytes(40_000_000), 9)
POISON: dict[str, tuple[Callable[[], bytes], str]] = {
    "progressive JPEG of 5,000 scans": (lambda: many_scans(5000), "scans_over_limit"),
    "PNG whose zTXt unpacks to 40 MB": (lambda: with_chunks(chunk(b"zTXt", b"k\0\0" + ZEROS)), "decompression_bomb"),
    "PNG whose iTXt unpacks to 40 MB": (lambda: with_chunks(chunk(b"iTXt", b"k\0\1\0\0\0" + ZEROS)), "decompression_bomb"),
    "PNG whose profile unpacks to 40 MB": (lambda: with_chunks(chunk(b"iCCP", b"k\0\0" + ZEROS)), "decompression_bomb"),
    "PNG of 2,000,000 empty texts": (lambda: with_chunks(chunk(b"tEXt", b"k\0") * 2_000_000), "decompression_bomb"),
    "GIF of 100,000 frames": (
        lambda: b"GIF89a\4\0\4\0\0\0\0" + b",\0\0\0\0\4\0\4\0\0\2\1\0\0" * 100_000 + b";",
        "frames_over_limit",
    ),
    "APNG of 100,000 frames": (lambda: with_chunks(chunk(b"fcTL", bytes(26)) * 100_000), "frames_over_limit"),
    "WebP of 100,000 frames": (
        lambda: b"RIFF\0\0\0\0WEBP" + (b"ANMF" + struct.pack("<I", 16) + bytes(16)) * 100_000,
        "frames_over_limit",
    ),
    "TIFF of 100,000 directories": (lambda: directories(100_000), "directories_over_limit"),
    "BigTIFF that claims a million sub-directories": (
        lambda: b"II+\0\x08\0\0\0" + struct.pack("<QQHHQQQ", 16, 1, 330, 18, 1_000_000, 60, 0),
        "directories_over_limit",
    ),
}


@pytest.mark.parametrize("name", POISON)
def test_a_file_made_to_waste_time_is_refused_at_once(name: str) -> None:
    make, expected = POISON[name]
    data = make()
    start = time.process_time()
    assert code(data) == expected
    assert time.process_time() - start < 3
    assert expected in CODES
    with pytest.raises(Failure) as caught:
        decode(data, Limits())
    assert caught.value.code == expected


def test_each_limit_is_exact() -> None:
    jpeg = many_scans(3)
    assert code(jpeg, Limits(max_scans=scans_of(jpeg))) is None
    assert code(jpeg, Limits(max_scans=scans_of(jpeg) - 1)) == "scans_over_limit"
    for format in ("GIF", "PNG", "WEBP"):
        data = frames(format, 7)
        assert code(data, Limits(max_frames=7)) is None
        assert code(data, Limits(max_frames=6)) == "frames_over_limit"
    pages = frames("TIFF", 5)
    assert code(pages, Limits(max_directories=5)) is None
    assert code(pages, Limits(max_directories=4)) == "directories_over_limit"
    # The keyword of a text counts too, and twelve bytes of every chunk.
    text = with_chunks(chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1000))))
    assert code(text, Limits(max_metadata_bytes=1000 + 1 + 3 * 12)) is None
    assert code(text, Limits(max_metadata_bytes=1000 + 1 + 3 * 12 - 1)) == "decompression_bomb"


def test_a_sequential_jpeg_has_one_scan_whatever_follows_it() -> None:
    data = saved("JPEG")
    assert code(data + b"\xff\xda" * 1000) is None
    assert code(saved("JPEG", progressive=True) + b"\xff\xda" * 1000) is None


def test_a_text_of_two_megabytes_is_kept_and_the_picture_is_worked() -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "word " * 400_000, zip=True)
    data = saved("PNG", pnginfo=texts)
    assert decode(data, Limits()).size == (96, 64)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP"])
def test_a_file_that_is_cut_anywhere_or_damaged_passes_to_its_decoder(format: str) -> None:
    data = frames(format, 3) if format in ("GIF", "WEBP", "TIFF") else saved(format)
    for end in range(0, len(data), max(1, len(data) // 200)):
        assert code(data[:end]) is None
    for place in RNG.integers(12, len(data), 300):
        damaged = bytearray(data)
        damaged[place] = int(RNG.integers(256))
        assert code(bytes(damaged)) in (None, "directories_over_limit", "frames_over_limit")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF"])
def test_the_bytes_of_a_table_count_as_those_of_a_file(format: str) -> None:
    data = many_scans(3) if format == "JPEG" else frames(format, 3)
    signed = memoryview(pa.array([data]).buffers()[2])
    assert signed.format == "b"
    assert code(signed[: len(data)]) is None
    assert code(signed[: len(data)], Limits(max_scans=2, max_frames=2, max_directories=2)) is not None


def test_directories_that_lead_in_a_circle_end() -> None:
    circle = b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 8)
    assert code(circle) is None


def tiff_of_jpeg(strip: bytes, repeats: int = 1) -> bytes:
    """A TIFF whose strips are all the same JPEG."""
    offsets = struct.pack(f"<{repeats}I", *[8] * repeats)
    counts = struct.pack(f"<{repeats}I", *[len(strip)] * repeats)
    place = 8 + len(strip)
    entries = [
        (256, 3, 1, 96),
        (257, 3, 1, 64),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 6),
        (273, 4, repeats, 8 if repeats == 1 else place),
        (277, 3, 1, 3),
        (278, 3, 1, 64),
        (279, 4, repeats, len(strip) if repeats == 1 else place + len(offsets)),
    ]
    body = strip + offsets + counts
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory


def test_the_scans_of_a_jpeg_within_a_tiff_count_too() -> None:
    strip = many_scans(40)
    scans = scans_of(strip)
    assert code(tiff_of_jpeg(strip), Limits(max_scans=scans)) is None
    assert code(tiff_of_jpeg(strip), Limits(max_scans=scans - 1)) == "scans_over_limit"
    started = time.monotonic()
    code(tiff_of_jpeg(strip, 100_000), Limits(max_scans=scans))
    assert time.monotonic() - started < 2


def test_an_offset_beyond_any_file_is_no_error() -> None:
    assert code(b"II+\0\x08\0\0\0" + b"\xff" * 24, Limits()) is None
