"""A GIF keeps its blocks unchanged; only its pixels are compressed again."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.picture import Edit

HEIGHT, WIDTH = 40, 56


def gif_file(colours: int = 8, **options: Any) -> bytes:
    entries = np.random.default_rng(2).integers(0, 256, (colours, 3), dtype=np.uint8)
    image = Image.fromarray(np.tile(np.arange(WIDTH, dtype=np.uint8) % (colours - 1), (HEIGHT, 1)), "P")
    image.putpalette(entries.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "GIF", optimize=False, **options)
    return buffer.getvalue()


def edited(data: bytes, colour: tuple[int, int, int] = (250, 5, 10)) -> bytes:
    edit = Edit(8, 8, np.full((16, 20, 3), colour, np.uint8), np.ones((16, 20), np.float32))
    return encode(decode(data, Limits()).edited([edit]), data)


def test_blocks_end_as_the_format_requires() -> None:
    data = gif_file(8, comment=b"by hand")
    for file in (data, edited(data, (0, 255, 0))):
        position = 13 + len(colour_table(file))
        while file[position] != 0x3B:
            assert file[position] in (0x21, 0x2C)
            position += 2 if file[position] == 0x21 else 11
            while file[position]:
                position += 1 + file[position]
            position += 1
        assert position == len(file) - 1


def colour_table(data: bytes) -> bytes:
    return data[13 : 13 + (3 << (data[10] & 7) + 1)]


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("colours", [4, 8, 200, 256])
def test_interlacing_colours_and_comments_are_kept(colours: int, interlace: int) -> None:
    data = gif_file(colours, interlace=interlace, comment=b"by hand")
    entry = tuple(int(value) for value in np.frombuffer(colour_table(data), np.uint8)[3:6])
    result = edited(data, entry)
    assert colour_table(result) == colour_table(data)
    assert result[: data.index(b"by hand")] == data[: data.index(b"by hand")]
    before, after = (Image.open(io.BytesIO(file)) for file in (data, result))
    assert before.info == after.info
    pixels = np.asarray(before).copy()
    pixels[8:24, 8:28] = 1
    assert np.array_equal(np.asarray(after), pixels)


def test_a_colour_that_no_pixel_uses_takes_a_new_one() -> None:
    data = gif_file(8)
    result = edited(data, (0, 255, 0))
    rendered = np.asarray(Image.open(io.BytesIO(result)).convert("RGB"))
    assert (rendered[8:24, 8:28] == (0, 255, 0)).all()
    assert np.array_equal(rendered[24:], np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[24:])


def test_transparency_is_kept() -> None:
    data = gif_file(8, transparency=2)
    rendered = [np.asarray(Image.open(io.BytesIO(file)).convert("RGBA"))[:, :, 3] for file in (data, edited(data))]
    assert np.array_equal(*rendered)
    assert (rendered[0] == 0).any()


def test_a_frame_grows_to_its_screen_if_an_edit_reaches_beyond_it() -> None:
    data = bytearray(gif_file(8))
    data[6:10] = (WIDTH + 10).to_bytes(2, "little") + (HEIGHT + 4).to_bytes(2, "little")
    picture = decode(bytes(data), Limits())
    assert picture.size == (WIDTH + 10, HEIGHT + 4)
    edit = Edit(50, 30, np.full((14, 16, 3), picture.stored[0, 0, :3], np.uint8), np.ones((14, 16), np.float32))
    after = decode(encode(picture.edited([edit]), bytes(data)), Limits())
    assert np.array_equal(after.stored[:30], picture.stored[:30])
    assert after.size == picture.size


def test_a_frame_smaller_than_its_screen_keeps_its_place_and_size() -> None:
    data = bytearray(gif_file(8))
    data[6:10] = (WIDTH + 30).to_bytes(2, "little") + (HEIGHT + 20).to_bytes(2, "little")
    place = data.index(b"\x2c\0\0\0\0") + 1
    data[place : place + 4] = (12).to_bytes(2, "little") + (9).to_bytes(2, "little")
    picture = decode(bytes(data), Limits())
    edit = Edit(20, 15, np.full((14, 16, 3), picture.stored[10, 14, :3], np.uint8), np.ones((14, 16), np.float32))
    edited_picture = picture.edited([edit])
    result = encode(edited_picture, bytes(data))
    assert result[place : place + 8] == data[place : place + 8]
    assert np.array_equal(decode(result, Limits()).stored, edited_picture.stored)


def test_a_frame_whose_place_is_beyond_what_a_gif_can_hold_is_not_written() -> None:
    data = bytearray(gif_file())
    descriptor = data.index(b"\x2c\0\0\0\0")
    data[descriptor + 1 : descriptor + 3] = b"\xff\xff"
    with pytest.raises(ValueError, match="a frame of 65591 x 40 pixels"):
        edited(bytes(data))
