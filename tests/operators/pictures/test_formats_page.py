"""docs/formats.md says of every format what the code does."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from operators.pictures.codec import FORMATS, Limits, decode, encode_with_notes, format_of
from operators.pictures.formats import jpeg_xl
from operators.pictures.picture import Edit
from operators.pictures.read_back import recoding_note

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><note>seen</note></x:xmpmeta>'
BLOCK = 16


class Line(NamedTuple):
    """One line of the table."""

    name: str
    outside: str
    exif: str
    xmp: str
    profile: str
    several: str
    needs: str


def lines() -> dict[str, Line]:
    rows = [line.strip().strip("|").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    found = [Line(*(cell.strip() for cell in row)) for row in rows[1:]]
    return {line.name: line for line in found}


LINES = lines()


def exif() -> bytes:
    tags = Image.Exif()
    tags[0x013B] = "A. Painter"
    return tags.tobytes()


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def tiff(picture: Image.Image, **options: Any) -> bytes:
    return saved(picture, "TIFF", icc_profile=PROFILE, tiffinfo={315: "A. Painter", 700: XMP}, **options)


def gif(picture: Image.Image) -> bytes:
    """A GIF with XMP as Adobe puts it there (XMP part 3, 1.1.2)."""
    data = saved(picture.quantize(64), "GIF").replace(b"GIF87a", b"GIF89a", 1)
    start = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    packet = b"\x21\xff\x0bXMP DataXMP" + XMP + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    return data[:start] + packet + data[start:]


def heic(picture: Image.Image) -> bytes:
    buffer, file = io.BytesIO(), pillow_heif.from_pillow(picture)
    file.info.update({"exif": exif(), "xmp": XMP, "icc_profile": PROFILE})
    file.save(buffer)
    return buffer.getvalue()


def deep_avif(picture: Image.Image) -> bytes:
    """An AVIF of 10 bits, as OpenCV writes it."""
    content = [np.frombuffer(each, np.uint8) for each in (exif().removeprefix(b"Exif\0\0"), XMP, PROFILE)]
    kinds = [cv2.IMAGE_METADATA_EXIF, cv2.IMAGE_METADATA_XMP, cv2.IMAGE_METADATA_ICCP]
    samples = np.asarray(picture)[:, :, ::-1].astype(np.uint16) * 4
    return bytes(cv2.imencodeWithMetadata(".avif", samples, kinds, content, [cv2.IMWRITE_AVIF_DEPTH, 10])[1])


def box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def jxl(picture: Image.Image, **options: Any) -> bytes:
    stream = bytes(imagecodecs.jpegxl_encode(np.asarray(picture), **options))
    head = jpeg_xl.CONTAINER + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    return head + box(b"Exif", b"\0\0\0\0" + exif().removeprefix(b"Exif\0\0")) + box(b"xml ", XMP) + box(b"jxlc", stream)


def jp2(picture: Image.Image, **options: Any) -> bytes:
    data = saved(picture, "JPEG2000", **options)
    colours = box(b"colr", b"\2\0\0" + PROFILE)
    start = data.index(b"jp2h") - 4
    size = int.from_bytes(data[start : start + 4], "big")
    inner = data[start + 8 : start + size]
    place = inner.index(b"colr") - 4
    inner = inner[:place] + colours + inner[place + int.from_bytes(inner[place : place + 4], "big") :]
    data = data[:start] + box(b"jp2h", inner) + data[start + size :]
    return data + box(b"uuid", b"JpgTiffExif->JP2" + exif().removeprefix(b"Exif\0\0")) + box(b"xml ", XMP)


METADATA: dict[str, Any] = {"exif": exif(), "icc_profile": PROFILE, "xmp": XMP}
FILES: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG": lambda picture: saved(picture, "JPEG", quality=88, **METADATA),
    "PNG": lambda picture: saved(picture, "PNG", exif=exif(), icc_profile=PROFILE, pnginfo=_png_xmp()),
    "WEBP lossless": lambda picture: saved(picture, "WEBP", lossless=True, **METADATA),
    "WEBP lossy": lambda picture: saved(picture, "WEBP", quality=80, **METADATA),
    "TIFF": tiff,
    "TIFF of JPEG": lambda picture: tiff(picture, compression="jpeg", quality=90),
    "GIF": gif,
    "BMP": lambda picture: saved(picture, "BMP"),
    "AVIF": lambda picture: saved(picture, "AVIF", quality=80, **METADATA),
    "AVIF of 10 or 12 bits": deep_avif,
    "HEIC": heic,
    "JXL lossless": lambda picture: jxl(picture, lossless=True),
    "JXL lossy": lambda picture: jxl(picture, distance=1.0),
    "JXL of a JPEG": lambda picture: bytes(imagecodecs.jpegxl_encode_jpeg(FILES["JPEG"](picture))),
    "JPEG2000 lossless": jp2,
    "JPEG2000 lossy": lambda picture: jp2(picture, irreversible=True, quality_mode="dB", quality_layers=[42]),
}
"""A file for each line of the table, with all metadata that its format has."""


def _png_xmp() -> Any:
    from PIL import PngImagePlugin

    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
    return texts


def test_the_table_has_every_format() -> None:
    assert {name.split(" ", maxsplit=1)[0] for name in LINES} == set(FORMATS)
    assert set(LINES) == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_an_edit_does_what_the_table_says(name: str, photo: np.ndarray) -> None:
    line = LINES[name]
    data = FILES[name](Image.fromarray(photo[:128, :192]))
    assert format_of(data) is FORMATS[name.split(" ", maxsplit=1)[0]]
    picture = decode(data, Limits())
    edit = Edit(32, 32, np.full((32, 48, 3), (250, 5, 10), np.uint8), np.ones((32, 48), np.float32))
    edited = picture.edited([edit])
    result, _ = encode_with_notes(edited, data)
    after = decode(result, Limits()).stored
    margin = BLOCK + 2 if line.outside == "touched blocks" else 0
    outside = np.ones(after.shape[:2], bool)
    outside[32 - margin : 64 + margin, 32 - margin : 80 + margin] = False
    same = np.array_equal(after[outside], picture.stored[outside])
    assert same == (line.outside != "coded again")
    assert (recoding_note(result, edited, data) is not None) == (line.outside == "coded again")
    whole = result + (jpeg_xl.jpeg_of(result) if name == "JXL of a JPEG" else b"")
    assert (b"A. Painter" in whole) == (line.exif == "kept")
    assert (b"<note>seen</note>" in whole) == (line.xmp == "kept")
    assert (picture.space.profile is not None or PROFILE[128:] in _unpacked(whole)) == (line.profile == "kept")


def _unpacked(data: bytes) -> bytes:
    """The bytes of a file, with the profile of a PNG unpacked."""
    if data.startswith(b"\x89PNG"):
        return data + (Image.open(io.BytesIO(data)).info.get("icc_profile") or b"")
    return data


@pytest.mark.parametrize("name", FILES)
def test_the_code_for_several_pictures_is_that_of_the_table(name: str) -> None:
    several = LINES[name].several.strip("`")
    if several not in ("one", "edited alike", "pages edited", "frames edited"):
        assert FORMATS[name.split(" ", maxsplit=1)[0]].multiple_code == several


def test_the_extras_are_those_of_the_package() -> None:
    extras = (PAGE.parents[1] / "pyproject.toml").read_text()
    for line in LINES.values():
        if line.needs:
            assert f"\n{line.needs.split('[')[1].rstrip(']`')} = [" in extras
