"""EXIF, Photoshop and XMP thumbnails show the edited picture, and no byte of metadata moves."""

from __future__ import annotations

import base64
import io
import struct
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats.tiff_directory import directory_at, first_directory
from operators.pictures.picture import Edit
from operators.pictures.previews import metadata
from operators.pictures.previews.pictures import Draw, redrawn
from operators.pictures.previews.sweep import Sweep

GREEN = (20, 180, 40)


def exif_redrawn(exif: bytes, draw: Draw) -> bytes:
    return metadata.exif_swept(exif, Sweep(draw))


def photoshop_redrawn(resources: bytes, draw: Draw) -> bytes:
    return metadata.photoshop_swept(resources, Sweep(draw))


def xmp_redrawn(xmp: bytes, draw: Draw) -> bytes:
    return metadata.xmp_swept(xmp, Sweep(draw))


def draw(width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), GREEN, np.uint8)


def noise_draw(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def jpeg(colour: tuple[int, int, int] = (200, 30, 30), size: tuple[int, int] = (160, 120), **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def exif(thumbnail: bytes, order: str = "<", compression: int = 6) -> bytes:
    """An EXIF structure: a maker's name, an orientation, and a thumbnail at its end."""
    mark = b"II" if order == "<" else b"MM"
    pack = lambda *entry: struct.pack(f"{order}HHII", *entry)  # noqa: E731
    short = lambda tag, value: struct.pack(f"{order}HHIHH", tag, 3, 1, value, 0)  # noqa: E731
    first = 8
    second = first + 2 + 2 * 12 + 4 + 8
    start = second + 2 + 3 * 12 + 4
    main = struct.pack(f"{order}H", 2) + pack(0x010F, 2, 8, first + 30) + short(0x0112, 6) + struct.pack(f"{order}I", second)
    where, length = (0x0201, 0x0202) if compression == 6 else (0x0111, 0x0117)
    small = (
        struct.pack(f"{order}H", 3) + short(0x0103, compression) + pack(where, 4, 1, start) + pack(length, 4, 1, len(thumbnail))
    )
    return mark + struct.pack(f"{order}HI", 42, first) + main + b"A maker\0" + small + bytes(4) + thumbnail


def rendered(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_a_new_thumbnail_has_the_size_of_the_old_one_and_shows_the_drawing() -> None:
    new = redrawn(jpeg(size=(90, 60)), draw)
    assert new is not None
    assert rendered(new).shape == (60, 90, 3)
    assert np.abs(rendered(new) - GREEN).max() <= 4


def test_a_new_thumbnail_is_never_longer_than_the_old_one() -> None:
    old = jpeg(quality=40)
    buffer = io.BytesIO()
    Image.fromarray(noise_draw(160, 120)).save(buffer, "JPEG", quality=60)
    new = redrawn(buffer.getvalue(), noise_draw)
    assert new is not None
    assert len(new) <= len(buffer.getvalue())
    assert len(redrawn(old, draw) or b"") <= len(old)


@pytest.mark.parametrize("old", [b"", b"no picture", jpeg()[:300]])
def test_a_damaged_thumbnail_may_not_be_drawn_but_never_raises(old: bytes) -> None:
    assert redrawn(old, draw) is None or rendered(redrawn(old, draw) or b"").size


@pytest.mark.parametrize("order", ["<", ">"])
def test_an_exif_thumbnail_is_drawn_again_in_place(order: str) -> None:
    old = exif(jpeg(), order)
    new = exif_redrawn(old, draw)
    main = first_directory(new)
    thumbnail = directory_at(new, main.next_offset, order)
    start, length = thumbnail.number(0x0201, 0), thumbnail.number(0x0202, 0)
    length_offset = thumbnail.entries[0x0202].offset
    assert len(new) == len(old)
    assert new[:start][:length_offset] == old[:length_offset]
    assert new[length_offset + 4 : start] == old[length_offset + 4 : start]
    assert np.abs(rendered(new[start : start + length]) - GREEN).max() <= 4
    assert not any(new[start + length :])


@pytest.mark.parametrize("old", [exif(bytes(range(256)) * 3, compression=1), exif(b"not a JPEG at all")])
def test_a_thumbnail_that_cannot_be_drawn_is_blanked_and_unlinked(old: bytes) -> None:
    new = exif_redrawn(old, draw)
    assert len(new) == len(old)
    assert first_directory(new).next_offset == 0
    assert not any(new[-17:])
    assert new[: first_directory(old).next_pointer] == old[: first_directory(old).next_pointer]


def test_exif_without_a_thumbnail_stays_as_it_is() -> None:
    plain = b"MM\0*\0\0\0\x08\0\0\0\0\0\0"
    assert exif_redrawn(plain, draw) == plain
    assert exif_redrawn(b"nonsense", draw) == b"nonsense"


@settings(deadline=None)
@given(st.integers(0, 300), st.integers(0, 255))
def test_damaged_exif_keeps_its_length_and_raises_nothing(place: int, value: int) -> None:
    damaged = bytearray(exif(jpeg(size=(16, 16))))
    damaged[place % len(damaged)] = value
    assert len(exif_redrawn(bytes(damaged), draw)) == len(damaged)


def test_a_thumbnail_that_declares_a_huge_size_is_not_drawn() -> None:
    old = jpeg()
    size = old.index(b"\xff\xc0") + 5
    assert redrawn(old[:size] + struct.pack(">HH", 65_500, 65_500) + old[size + 4 :], draw) is None


def resources(thumbnail: bytes) -> bytes:
    """Photoshop's resources: a caption, the thumbnail, and the resolution."""
    header = struct.pack(">IIIIIIHH", 1, 160, 120, 480, 57600, len(thumbnail), 24, 1)
    content = header + thumbnail
    return b"".join(
        b"8BIM" + struct.pack(">H", number) + b"\0\0" + struct.pack(">I", len(data)) + data + bytes(len(data) % 2)
        for number, data in ((1028, b"\x1c\x02\x78\0\5hello"), (1036, content), (1005, bytes(16)))
    )


def test_photoshops_thumbnail_is_drawn_again_in_place() -> None:
    old = resources(jpeg())
    new = photoshop_redrawn(old, draw)
    start = old.index(b"\xff\xd8\xff")
    length = struct.unpack(">I", new[start - 8 : start - 4])[0]
    assert len(new) == len(old)
    assert new[: start - 8] == old[: start - 8]
    assert new[-28:] == old[-28:]
    assert np.abs(rendered(new[start : start + length]) - GREEN).max() <= 4


@pytest.mark.parametrize("breaks", ["", "&#xA;"])
def test_xmp_thumbnails_are_drawn_again_in_place(breaks: str) -> None:
    text = base64.b64encode(jpeg()).decode()
    text = breaks.join(text[start : start + 76] for start in range(0, len(text), 76))
    old = f"<x:xmpmeta><xmpGImg:width>160</xmpGImg:width><xmpGImg:image>{text}</xmpGImg:image></x:xmpmeta>".encode()
    new = xmp_redrawn(old, draw)
    assert len(new) == len(old)
    start = old.index(b"image>") + 6
    assert new[:start] == old[:start]
    assert new.endswith(b"</xmpGImg:image></x:xmpmeta>")
    content = base64.b64decode(new[start : new.index(b"</xmpGImg:image>")].strip())
    assert np.abs(rendered(content) - GREEN).max() <= 4


def test_xmp_without_a_thumbnail_stays_as_it_is() -> None:
    plain = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>text</x:xmpmeta>"
    assert xmp_redrawn(plain, draw) == plain


def xmp(thumbnail: bytes) -> bytes:
    return b"<x:xmpmeta><xmpGImg:image>" + base64.b64encode(thumbnail) + b"</xmpGImg:image></x:xmpmeta>"


def saved(kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(*tag: Any) -> bytes:
    buffer = io.BytesIO()
    pixels = np.full((48, 64, 3), (200, 30, 30), np.uint8)
    tifffile.imwrite(buffer, pixels, photometric="rgb", extratags=[(*tag, True)])
    return buffer.getvalue()


def png_with_xmp(thumbnail: bytes) -> bytes:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp(thumbnail).decode())
    return saved("PNG", pnginfo=info)


def jpeg_with_photoshop(thumbnail: bytes, pieces: int) -> bytes:
    """Photoshop's resources in one or several segments."""
    data, content = saved("JPEG"), resources(thumbnail)
    size = -(-len(content) // pieces)
    parts = [b"Photoshop 3.0\0" + content[start : start + size] for start in range(0, len(content), size)]
    return data[:2] + b"".join(b"\xff\xed" + struct.pack(">H", 2 + len(part)) + part for part in parts) + data[2:]


THUMBNAIL = jpeg(size=(32, 24), quality=90)
CARRIERS = {
    "EXIF in JPEG": saved("JPEG", exif=b"Exif\0\0" + exif(THUMBNAIL)),
    "EXIF in PNG": saved("PNG", exif=b"Exif\0\0" + exif(THUMBNAIL)),
    "EXIF in WebP": saved("WEBP", lossless=True, exif=exif(THUMBNAIL)),
    "XMP in JPEG": saved("JPEG", xmp=xmp(THUMBNAIL)),
    "XMP in PNG": png_with_xmp(THUMBNAIL),
    "XMP in WebP": saved("WEBP", lossless=True, xmp=xmp(THUMBNAIL)),
    "XMP in TIFF": tiff(700, 1, len(xmp(THUMBNAIL)), xmp(THUMBNAIL)),
    "Photoshop in TIFF": tiff(34377, 7, len(resources(THUMBNAIL)), resources(THUMBNAIL)),
    "Photoshop in JPEG": jpeg_with_photoshop(THUMBNAIL, 1),
    "Photoshop in two segments": jpeg_with_photoshop(THUMBNAIL, 2),
}


def thumbnail_in(data: bytes, carrier: str) -> np.ndarray:
    """The pixels of the thumbnail that a file carries."""
    if carrier.startswith("XMP"):
        content = base64.b64decode(data[data.index(b"<xmpGImg:image>") + 15 : data.index(b"</xmpGImg:image>")])
    elif carrier.endswith("segments"):
        start = data.index(b"Photoshop 3.0\0") + 14
        size = struct.unpack(">H", data[start - 16 : start - 14])[0] - 16
        second = start + size + 4 + 14
        content = data[start : start + size] + data[second:]
        content = content[content.index(b"\xff\xd8\xff") :]
    else:
        content = data[data.index(b"\xff\xd8\xff", 4) :]
    return rendered(content)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_thumbnail_shows_the_edit_wherever_a_file_carries_it(carrier: str) -> None:
    data = CARRIERS[carrier]
    assert np.abs(thumbnail_in(data, carrier) - (200, 30, 30)).max() <= 4
    picture = decode(data, Limits())
    width, height = picture.size
    edit = Edit(0, 0, np.full((height, width, 3), GREEN, np.uint8), np.ones((height, width), np.float32))
    result = encode(picture.edited([edit]), data)
    assert np.abs(thumbnail_in(result, carrier) - GREEN).max() <= 6


def test_resources_that_span_segments_stay_whole() -> None:
    data = CARRIERS["Photoshop in two segments"]
    edit = Edit(0, 0, np.full((48, 64, 3), GREEN, np.uint8), np.ones((48, 64), np.float32))
    edited = decode(data, Limits()).edited([edit])
    result = encode(edited, data)
    parts = [part[: len(data)] for part in result.split(b"Photoshop 3.0\0")[1:]]
    size = -(-len(resources(THUMBNAIL)) // 2)
    joined = parts[0][:size] + parts[1][: len(resources(THUMBNAIL)) - size]
    assert joined == photoshop_redrawn(resources(THUMBNAIL), edited.preview)
