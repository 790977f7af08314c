"""Animations: every frame is a page, and only the frames that must change are drawn anew."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageSequence

from operators.pictures.codec import Limits, decode, encode_with_notes
from operators.pictures.formats import animated_gif, animated_png, png, webp_chunks
from operators.pictures.picture import Edit, Edited
from operators.pictures.read_back import check_written
from operators.rows.failure import Failure

WIDTH, HEIGHT, COUNT = 96, 64, 5
DELAYS = [100, 250, 40, 100, 700]
BOX = (slice(8, 24), slice(10, 50))
"""Where the edit is: rows and columns of a frame."""


def drawn(number: int, mode: str = "RGB") -> Image.Image:
    """A frame with a slope that stands still, and a square that moves below it."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH]
    picture = Image.fromarray(np.stack([across * 2, down * 3, (across + down)], axis=2).astype(np.uint8) // 16 * 16)
    ImageDraw.Draw(picture).rectangle((8 + 12 * number, 40, 18 + 12 * number, 50), fill=(250, 0, 0))
    ImageDraw.Draw(picture).rectangle((12, 10, 46, 20), fill=(240, 240, 240))
    return picture.convert(mode)


def animation(kind: str, mode: str = "RGB", frames: list[Image.Image] | None = None, **options: Any) -> bytes:
    frames = frames or [drawn(number, mode) for number in range(COUNT)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **{"duration": DELAYS, "loop": 3, **options})
    return buffer.getvalue()


def sticker(kind: str, **options: Any) -> bytes:
    """An animation with transparent ground."""
    frames = []
    for number in range(COUNT):
        picture = Image.new("RGBA", (WIDTH, HEIGHT))
        ImageDraw.Draw(picture).ellipse((10 + 8 * number, 30, 40 + 8 * number, 60), fill=(200, 160, 20, 255))
        ImageDraw.Draw(picture).rectangle((12, 10, 46, 20), fill=(20, 40, 200, 255))
        frames.append(picture)
    return animation(kind, frames=frames, **options)


def with_palette(number: int) -> Image.Image:
    return drawn(number).quantize(palette=drawn(0).quantize(32), dither=Image.Dither.NONE)


SOURCES: dict[str, Callable[[], bytes]] = {
    "GIF": lambda: animation("GIF"),
    "GIF of few colours": lambda: animation("GIF", frames=[with_palette(number) for number in range(COUNT)]),
    "GIF, cleared after each frame": lambda: animation("GIF", disposal=2),
    "GIF, restored after each frame": lambda: animation("GIF", disposal=[1, 3, 3, 3, 3]),
    "GIF, transparent": lambda: sticker("GIF", disposal=2),
    "PNG": lambda: animation("PNG"),
    "PNG, grey": lambda: animation("PNG", "L"),
    "PNG, palette": lambda: animation("PNG", frames=[with_palette(number) for number in range(COUNT)]),
    "PNG, transparent and blended": lambda: sticker("PNG", blend=1, disposal=1),
    "WEBP, lossless": lambda: animation("WEBP", lossless=True),
    "WEBP, lossy": lambda: animation("WEBP", quality=80),
    "WEBP, transparent": lambda: sticker("WEBP", lossless=True),
}


def shown(data: bytes) -> list[np.ndarray]:
    """The frames as Pillow shows them, RGBA, clear pixels without a colour."""
    views = [np.asarray(frame.convert("RGBA")).copy() for frame in ImageSequence.Iterator(Image.open(io.BytesIO(data)))]
    for view in views:
        view[view[:, :, 3] == 0] = 0
    return views


def timing(data: bytes) -> tuple[Any, list[Any]]:
    file = Image.open(io.BytesIO(data))
    return file.info.get("loop"), [frame.info.get("duration") for frame in ImageSequence.Iterator(file)]


def plain_edit(data: bytes, colour: tuple[int, int, int], limits: Limits = Limits()) -> Edited:
    """The first frame's box in one colour."""
    fill = np.full((16, 40, 3), colour, np.uint8)
    alpha = np.full((16, 40), 255, np.uint8) if decode(data, limits).space.alpha else None
    return decode(data, limits).edited([Edit(10, 8, fill, np.ones((16, 40), np.float32), alpha)])


@pytest.mark.parametrize("name", SOURCES)
def test_an_edit_of_what_stands_still_is_on_every_frame_and_nothing_else_changes(name: str) -> None:
    data = SOURCES[name]()
    colour = tuple(int(value) for value in shown(data)[0][60, 90][:3]) if "transparent" not in name else (200, 160, 20)
    edited = plain_edit(data, colour)
    result, _ = encode_with_notes(edited, data)
    assert check_written(result, edited, data) is None
    assert timing(result) == timing(data)
    before, after = shown(data), shown(result)
    assert len(before) == len(after)
    inside = np.zeros((HEIGHT, WIDTH), bool)
    inside[BOX] = True
    for old, new in zip(before, after, strict=True):
        off = np.abs(old.astype(int) - new).max(axis=2)
        assert off[~inside].max() <= (40 if name == "WEBP, lossy" else 0)
        assert np.abs(new[BOX].astype(int) - after[0][BOX]).mean() <= (3 if name == "WEBP, lossy" else 0)
    wanted = (np.array(colour) @ [0.299, 0.587, 0.114]).repeat(3) if name == "PNG, grey" else np.array(colour)
    assert np.abs(after[0][BOX][:, :, :3] - wanted).mean() <= (3 if name == "WEBP, lossy" else 0)


def test_only_frames_that_draw_there_are_drawn_anew() -> None:
    for kind, frames_of in (
        ("GIF", lambda data: [data[block.descriptor : block.end] for block in animated_gif.blocks_of(data)]),
        ("PNG", lambda data: [frame.data for frame in animated_png.stored_frames(list(png.chunks(data)))]),
        ("WEBP", webp_chunks.frames_of),
    ):
        data = animation(kind, **({"lossless": True} if kind == "WEBP" else {}))
        result, _ = encode_with_notes(plain_edit(data, (16, 32, 48)), data)
        kept = [old == new for old, new in zip(frames_of(data), frames_of(result), strict=True)]
        assert kept[0] is False
        assert sum(kept) >= 3, kind


def test_a_frame_that_shows_something_else_keeps_it() -> None:
    frames = [drawn(number) for number in range(COUNT)]
    ImageDraw.Draw(frames[3]).rectangle((5, 2, 60, 30), fill=(0, 0, 0))
    data = animation("PNG", frames=frames)
    edited = plain_edit(data, (16, 32, 48))
    result, _ = encode_with_notes(edited, data)
    assert check_written(result, edited, data) is None
    before, after = shown(data), shown(result)
    assert [np.array_equal(old, new) for old, new in zip(before, after, strict=True)] == [False, False, False, True, False]


def test_a_letter_over_clear_ground_can_be_cleared() -> None:
    for kind, options in (("GIF", {"disposal": 2}), ("PNG", {"disposal": 1}), ("WEBP", {"lossless": True})):
        data = sticker(kind, **options)
        fill, weight = np.zeros((16, 40, 3), np.uint8), np.ones((16, 40), np.float32)
        edited = decode(data, Limits()).edited([Edit(10, 8, fill, weight, np.zeros((16, 40), np.uint8))])
        result, _ = encode_with_notes(edited, data)
        assert check_written(result, edited, data) is None
        for old, new in zip(shown(data), shown(result), strict=True):
            assert not new[BOX].any()
            assert np.array_equal(old[30:], new[30:])


def test_the_picture_that_only_viewers_without_animations_show_is_edited_too() -> None:
    data = animation("PNG", frames=[drawn(0), *(drawn(number) for number in range(COUNT))], default_image=True)
    assert len(decode(data, Limits()).frames) == COUNT + 1
    edited = plain_edit(data, (16, 32, 48))
    result, _ = encode_with_notes(edited, data)
    assert check_written(result, edited, data) is None
    still = Image.open(io.BytesIO(b"".join([result[:8], *_chunks_without_frames(result)])))
    assert np.array_equal(np.asarray(still.convert("RGB"))[BOX], np.full((16, 40, 3), (16, 32, 48)))


def _chunks_without_frames(data: bytes) -> list[bytes]:
    return [png.framed(name, content) for name, content in png.chunks(data) if name not in (b"acTL", b"fcTL", b"fdAT")]


def test_metadata_and_unknown_chunks_stay() -> None:
    comment = animation("GIF", comment=b"made by hand")
    result, _ = encode_with_notes(plain_edit(comment, (16, 32, 48)), comment)
    assert b"made by hand" in result
    exif = Image.Exif()
    exif[0x013B] = "A. Painter"
    for kind in ("PNG", "WEBP"):
        data = animation(kind, exif=exif.tobytes(), **({"lossless": True} if kind == "WEBP" else {}))
        result, _ = encode_with_notes(plain_edit(data, (16, 32, 48)), data)
        assert b"A. Painter" in result


def test_only_the_first_frame_is_seen_and_edited_if_asked() -> None:
    first = Limits(pages="first")
    for kind in ("GIF", "PNG", "WEBP"):
        data = animation(kind, **({"lossless": True} if kind == "WEBP" else {}))
        edited = plain_edit(data, (16, 32, 48), first)
        assert edited.picture.size == (WIDTH, HEIGHT)
        result, _ = encode_with_notes(edited, data)
        assert check_written(result, edited, data) is None
        before, after = shown(data), shown(result)
        same = [np.array_equal(old, new) for old, new in zip(before, after, strict=True)]
        assert same == [False, True, True, True, True], kind


def test_frames_that_repeat_are_one_page() -> None:
    data = animation("PNG", frames=[drawn(0), drawn(1), drawn(0), drawn(1), drawn(2)])
    picture = decode(data, Limits())
    assert picture.frames == (0, 1, 0, 1, 2)
    assert len(picture.pages) == 3


def test_all_frames_count_against_the_limit_of_pixels() -> None:
    for kind in ("GIF", "PNG", "WEBP"):
        with pytest.raises(Failure, match="pixels_over_limit: 96 x 576 pixels, all pages or frames in one picture"):
            decode(animation(kind), Limits(max_pixels=4 * WIDTH * HEIGHT))


def test_what_cannot_be_shown_as_it_is_meant_is_named() -> None:
    beyond = bytearray(animation("GIF"))
    beyond[6:10] = struct.pack("<2H", 40, 40)
    with pytest.raises(Failure, match="mode_unsupported: GIF, frame 0 does not lie on the screen"):
        decode(bytes(beyond), Limits())
    damaged = animation("PNG")
    place = damaged.index(b"fdAT") + 20
    with pytest.raises(Failure, match="corrupt: wrong checksum in a frame"):
        decode(damaged[:place] + bytes([damaged[place] ^ 255]) + damaged[place + 1 :], Limits())


def test_a_changed_delay_or_a_lost_frame_is_seen_when_the_file_is_read_back() -> None:
    data = animation("GIF")
    edited = plain_edit(data, (16, 32, 48))
    result, _ = encode_with_notes(edited, data)
    last = animated_gif.blocks_of(result)[-1]
    assert last.control is not None
    assert "another height" in str(check_written(result[: last.control] + result[last.end :], edited, data))


def local_tables(used: int) -> bytes:
    """A GIF whose second frame has `used` colours of its own and covers nothing of the edit."""
    first = Image.new("P", (WIDTH, HEIGHT))
    first.putpalette([value for level in range(256) for value in (level, 255 - level, 77)])
    first.putdata([(x * 2 + y) % 256 for y in range(HEIGHT) for x in range(WIDTH)])
    second = first.copy()
    second.putpalette([value for level in range(256) for value in (level, level, min(255, level % used))])
    buffers = []
    for picture in (first, second):
        buffer = io.BytesIO()
        picture.save(buffer, "GIF")
        buffers.append(buffer.getvalue())
    block = animated_gif.blocks_of(buffers[1])[0]
    small = (np.arange(256) % used).reshape(16, 16)
    pixels = Image.fromarray(small.astype(np.uint8)).tobytes("gif", "L", 8, 0)
    table = buffers[1][slice(*block.table)]
    frame = b"\x2c" + struct.pack("<4HB", 10, 40, 16, 16, 0x87) + table + b"\x08" + pixels + b"\0"
    return buffers[0][:-1] + frame + b"\x3b"


def test_colours_that_stay_are_exact_where_a_frame_must_draw_what_the_frame_before_lost() -> None:
    data = local_tables(16)
    picture = decode(data, Limits())
    stored, changed = picture.stored.copy(), np.zeros(picture.stored.shape[:2], bool)
    stored[BOX], changed[BOX] = (250, 5, 10), True
    edited = Edited(picture, stored, changed)
    result, _ = encode_with_notes(edited, data)
    assert check_written(result, edited, data) is None
    assert np.array_equal(shown(result)[1], shown(data)[1])


def test_a_frame_without_room_for_the_colours_that_stay_is_refused() -> None:
    data = local_tables(256)
    picture = decode(data, Limits())
    stored, changed = picture.stored.copy(), np.zeros(picture.stored.shape[:2], bool)
    stored[BOX], changed[BOX] = (250, 5, 10), True
    with pytest.raises(ValueError, match="no room for the colours that stay"):
        encode_with_notes(Edited(picture, stored, changed), data)


def test_a_png_whose_frames_are_not_whole_is_delivered_as_it_is() -> None:
    parts = list(png.chunks(animation("PNG")))
    controls = [number for number, (name, _) in enumerate(parts) if name == b"fcTL"]
    swapped = list(parts)
    swapped[controls[1]], swapped[controls[2]] = parts[controls[2]], parts[controls[1]]
    renumbered = [part for part in parts if part[0] != b"fdAT"]
    for number, place in enumerate(place for place, (name, _) in enumerate(renumbered) if name == b"fcTL"):
        renumbered[place] = (b"fcTL", struct.pack(">I", number) + renumbered[place][1][4:])
    for damaged, reason in ((swapped, "frames out of order"), (renumbered, "a frame without pixels")):
        with pytest.raises(Failure, match=f"mode_unsupported: PNG, {reason}"):
            decode(png.assembled(damaged), Limits())
