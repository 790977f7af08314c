"""What a file holds beside its pixels that files of other formats hold too: EXIF, XMP, a profile.

Whatever else it holds belongs to its format, and is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from operators.pictures.formats import gif, jpeg2000, jpeg_xl, png, webp_chunks
from operators.pictures.formats.header import ORIENTATION_TAG, open_image
from operators.pictures.formats.iso_media import heic_file
from operators.pictures.formats.jpeg_markers import end_of_image, profile_of
from operators.pictures.formats.tiff_directory import first_directory
from operators.pictures.previews.boxes import EXIF_BOXES
from operators.pictures.previews.segments import segments_of
from operators.pictures.previews.table import EXIF_HEADER

EXIF_TAGS = (270, 271, 272, 274, 282, 283, 296, 305, 306, 315, 316, 33432, 34665, 34853, 40091, 40092, 40093, 40094, 40095)
"""The tags of EXIF's first directory that describe no pixels; a TIFF has them among its own."""
DIRECTORIES = (34665, 34853)
"""Those of them that point to directories: EXIF and GPS."""
OF_TIFF = frozenset(
    (
        700,
        34675,
        *range(254, 270),
        273,
        277,
        278,
        279,
        280,
        281,
        284,
        317,
        320,
        *range(322, 326),
        338,
        339,
        347,
        *range(512, 533),
    )
)
"""Tags of a TIFF that describe its pixels, its XMP and its profile."""
COMMENT = 0xFE
"""The marker of a comment in a JPEG."""
XMP_KEYWORD = b"XML:com.adobe.xmp"
OF_JPEG = ("plain", "jumbf", "jfif_thumbnail", "jfxx_thumbnail")
OF_PNG = (
    b"IHDR",
    b"PLTE",
    b"tRNS",
    b"IDAT",
    b"IEND",
    b"eXIf",
    b"iCCP",
    b"sRGB",
    b"bKGD",
    b"hIST",
    b"sBIT",
    b"pHYs",
    b"caBX",
    png.RESTART,
)
OF_WEBP = (b"VP8X", b"ALPH", b"EXIF", b"XMP ", b"ICCP", b"C2PA", *webp_chunks.PIXELS)
OF_JPEG2000 = (b"jP  ", b"ftyp", b"jp2h", b"jp2c")
OF_JPEG_XL = (b"JXL ", b"ftyp", b"jxll", b"Exif", b"xml ", *jpeg_xl.STREAM_BOXES)
"""What a file of each format has beside other metadata."""
END_OF_GIF_XMP = b"\1\xff\xfe"
"""What follows XMP in a GIF, so that readers of blocks find its end (Adobe XMP part 3)."""
NAMES = {"photoshop": "IPTC and Photoshop resources", "extended_xmp": "extended XMP", "flashpix": "FlashPix"}
"""Segments of a JPEG by the names that people know."""
XMP_BOX = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""The UUID of the box in which JPEG 2000 holds XMP (Adobe XMP part 3)."""


@dataclass(frozen=True)
class Carried:
    """Metadata that another format can hold."""

    exif: bytes = b""
    """EXIF without its header."""
    xmp: bytes = b""
    profile: bytes = b""
    """The ICC profile."""
    others: tuple[str, ...] = ()
    """What else the file holds, by the names that its format gives it."""


def carried_by(format: str, source: bytes) -> Carried:
    """The metadata of a file.

    `format` is a key of `operators.pictures.codec.FORMATS`. Raises OSError, ValueError or
    whatever Pillow raises for damaged metadata.
    """
    return READERS[format](source)


def with_orientation(exif: bytes, orientation: int) -> bytes:
    """EXIF, without its header, with an orientation; unreadable EXIF is dropped."""
    parsed = Image.Exif()
    try:
        parsed.load(EXIF_HEADER + exif if exif else b"")
        if parsed.get(ORIENTATION_TAG, 1) == orientation:
            return exif
    except Exception:
        parsed = Image.Exif()
    parsed[ORIENTATION_TAG] = orientation
    return parsed.tobytes().removeprefix(EXIF_HEADER)


def descriptive(exif: Image.Exif) -> Image.Exif:
    """The tags of EXIF, or of a TIFF, that describe no pixels."""
    result = Image.Exif()
    for tag in EXIF_TAGS:
        if tag in exif and tag not in DIRECTORIES:
            result[tag] = exif[tag]
    for tag in DIRECTORIES:
        if tag in exif:
            result.get_ifd(tag).update(exif.get_ifd(tag))
    return result


def _names(names: list[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))


def _of_pillow(file: Image.Image, others: tuple[str, ...] = ()) -> Carried:
    info = file.info
    exif = bytes(info.get("exif") or b"").removeprefix(EXIF_HEADER)
    return Carried(exif, bytes(info.get("xmp") or b""), bytes(info.get("icc_profile") or b""), others)


def _of_jpeg(source: bytes) -> Carried:
    end = end_of_image(source)
    exif, xmp, others = b"", b"", []
    for segment in segments_of(source[:end]):
        if segment.kind == "exif":
            exif = exif or segment.rest
        elif segment.kind == "xmp":
            xmp = xmp or segment.rest
        elif segment.kind not in OF_JPEG:
            unknown = "comment" if segment.marker == COMMENT else f"APP{segment.marker & 15}"
            others.append(NAMES.get(segment.kind, segment.kind) or unknown)
    if source[end:].strip(b"\0"):
        others.append("trailer")
    return Carried(exif, xmp, profile_of(source) or b"", _names(others))


def _of_png(source: bytes) -> Carried:
    file = open_image(source, "PNG")
    parts = list(png.chunks(source))
    exif = next((content for name, content in parts if name == b"eXIf"), b"")
    xmp, others = b"", []
    for name, content in parts:
        if name == b"iTXt" and content.startswith(XMP_KEYWORD + b"\0\0"):
            xmp = xmp or content[len(XMP_KEYWORD) + 3 :].split(b"\0", 2)[-1]
        elif name not in OF_PNG:
            others.append(name.decode("latin-1"))
    return Carried(exif.removeprefix(EXIF_HEADER), xmp, bytes(file.info.get("icc_profile") or b""), _names(others))


def _of_webp(source: bytes) -> Carried:
    names = [name.decode("latin-1").strip() for name, _ in webp_chunks.chunks(source) if name not in OF_WEBP]
    return _of_pillow(open_image(source, "WEBP"), _names(names))


def _of_tiff(source: bytes) -> Carried:
    directory = first_directory(source)
    others = [f"tag {tag}" for tag in directory.entries if tag not in OF_TIFF and tag not in EXIF_TAGS]
    exif = descriptive(open_image(source, "TIFF").getexif())
    content = exif.tobytes().removeprefix(EXIF_HEADER) if len(exif) else b""
    return Carried(content, directory.content(700) or b"", directory.content(34675) or b"", _names(others))


def _of_gif(source: bytes) -> Carried:
    others = ["comment"] if open_image(source, "GIF").info.get("comment") else []
    xmp = b""
    for start, end in gif.blocks(source)[0]:
        name = source[start + 3 : start + 11]
        if source[start : start + 2] == b"!\xff" and name == b"XMP Data":
            xmp = source[start + 14 : end].partition(END_OF_GIF_XMP)[0]
        elif source[start : start + 2] == b"!\xff":
            others.append(name.decode("latin-1"))
    return Carried(xmp=xmp, others=_names(others))


def _of_bmp(source: bytes) -> Carried:
    return Carried()


def _of_avif(source: bytes) -> Carried:
    return _of_pillow(open_image(source, "AVIF"))


def _of_heic(source: bytes) -> Carried:
    return _of_pillow(heic_file(source))


def _of_jpeg_xl(source: bytes) -> Carried:
    if jpeg_xl.is_jpeg(source):
        return _of_jpeg(jpeg_xl.jpeg_of(source))
    boxes = [] if source.startswith(jpeg_xl.STREAM) else list(jpeg_xl.boxes(source))
    found = dict(reversed(boxes))
    exif = found.get(b"Exif", b"")[4:].removeprefix(EXIF_HEADER)
    others = _names([name.decode("latin-1").strip() for name, _ in boxes if name not in OF_JPEG_XL])
    return Carried(exif, found.get(b"xml ", b""), others=others)


def _of_jpeg2000(source: bytes) -> Carried:
    exif, xmp, others = b"", b"", []
    for name, start, end in [] if source.startswith(jpeg2000.STREAM) else jpeg2000.boxes(source):
        content = source[start + 8 : end]
        if name == b"uuid" and content[:16] in EXIF_BOXES:
            exif = content[16:].removeprefix(EXIF_HEADER)
        elif name == b"uuid" and content[:16] == XMP_BOX:
            xmp = content[16:]
        elif name not in OF_JPEG2000:
            others.append(name.decode("latin-1").strip())
    return Carried(exif, xmp, jpeg2000.profile_of(source) or b"", _names(others))


READERS: dict[str, Callable[[bytes], Carried]] = {
    "JPEG": _of_jpeg,
    "PNG": _of_png,
    "WEBP": _of_webp,
    "TIFF": _of_tiff,
    "GIF": _of_gif,
    "BMP": _of_bmp,
    "AVIF": _of_avif,
    "HEIC": _of_heic,
    "JXL": _of_jpeg_xl,
    "JPEG2000": _of_jpeg2000,
}
"""How the metadata of each format is read."""
