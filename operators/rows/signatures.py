"""What kind of picture a file is, by its first bytes.

The listing takes every file whose content is a picture, whatever its name is, and a picture of a
kind that is not edited is delivered and named instead of being called no image.
"""

from __future__ import annotations

import re
from collections.abc import Callable

HEAD_BYTES = 64
"""The number of leading bytes that decide."""

_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    **dict.fromkeys((b"mif1", b"msf1", b"mif2", b"miaf"), "HEIF"),
    b"crx ": "CR3",
}
"""Brands of pictures in the box `ftyp` (ISO/IEC 14496-12); films have other brands."""
_BITMAP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
"""The sizes that the second header of a BMP file can have."""
_BITMAP_DEPTHS = frozenset({0, 1, 2, 4, 8, 16, 24, 32})


def _brand(head: bytes) -> str | None:
    """The kind of an ISO media file by its brands: the major one, else the first known other."""
    length = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, length - 3, 4))]
    return next((_BRANDS[brand] for brand in brands if brand in _BRANDS), None)


def _bitmap(head: bytes) -> str | None:
    """BMP, if the headers after the two letters are those of a bitmap."""
    size = int.from_bytes(head[14:18], "little")
    depth_at = 24 if size == 12 else 28
    depth = int.from_bytes(head[depth_at : depth_at + 2], "little")
    return "BMP" if size in _BITMAP_HEADERS and depth in _BITMAP_DEPTHS else None


def _icon(head: bytes) -> str | None:
    """ICO or CUR, if its first entry is one: a reserved byte is 0, and data follow the entries."""
    entries, offset = int.from_bytes(head[4:6], "little"), int.from_bytes(head[18:22], "little")
    kind = "ICO" if head[2] == 1 else "CUR"
    return kind if 0 < entries < 256 and head[9:10] == b"\0" and offset >= 6 + 16 * entries else None


def _portable(head: bytes) -> str | None:
    """PNM (PBM, PGM, PPM, PAM), if a width and perhaps a height follow the two letters."""
    return "PNM" if re.match(rb"(P[1-6](\s+|#[^\n]*\n)+\d+\s|P7\n(#[^\n]*\n)*WIDTH \d+\n)", head) else None


Rule = Callable[[bytes], str | None]
_RULES: tuple[tuple[bytes, str | Rule], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"RIFF", lambda head: "WEBP" if head[8:12] == b"WEBP" else None),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", _bitmap),
    (b"\xff\x0a", lambda head: "JXL" if len(head) > 8 else None),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"8BPS\0", "PSD"),
    (b"\0\0\1\0", _icon),
    (b"\0\0\2\0", _icon),
    (b"icns\0", "ICNS"),
    (b"Xcur\x10\0\0\0", "X cursor"),
    (b"/* XPM */", "XPM"),
    (b"gimp xcf ", "XCF"),
    (b"BPG\xfb", "BPG"),
    (b"II\xbc\1", "JPEG XR"),
    (b"\x59\xa6\x6a\x95", "Sun raster"),
    (b"SIMPLE  =                    T", "FITS"),
    (b"P", _portable),
    (b"qoif", "QOI"),
    (b"v/1\1", "EXR"),
    (b"#?RADIANCE", "HDR"),
    (b"DDS ", "DDS"),
    (b"IIRO", "ORF"),
    (b"IIRS", "ORF"),
    (b"IIU\0", "RW2"),
    (b"FUJIFILMCCD-RAW", "RAF"),
    (b"MMOR", "ORF"),
    (b"II\x1a\0\0\0HEAPCCDR", "CRW"),
    (b"\0MRM", "MRW"),
    (b"FOVb", "X3F"),
)
"""Leading bytes, each with the kind that they mean or a closer look."""


def picture_kind(head: bytes | memoryview) -> str | None:
    """The kind of picture that a file with these first bytes is, such as `HEIC`; None for none.

    `head` holds at least HEAD_BYTES bytes, or the whole of a shorter file.
    """
    head = bytes(head[:HEAD_BYTES])
    if head[4:8] == b"ftyp":
        return _brand(head)
    for signature, meaning in _RULES:
        if head.startswith(signature):
            kind = meaning if isinstance(meaning, str) else meaning(head)
            if kind is not None:
                return kind
    return None
