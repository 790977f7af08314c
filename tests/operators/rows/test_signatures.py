"""The kind of a picture by its first bytes, on files that other programs write."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, features

from operators.rows.signatures import HEAD_BYTES, picture_kind

WRITTEN_BY_PILLOW = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "GIF": "GIF",
    "WEBP": "WEBP",
    "TIFF": "TIFF",
    "BMP": "BMP",
    "JPEG2000": "JPEG2000",
    "PPM": "PNM",
    "ICO": "ICO",
    "DDS": "DDS",
    "ICNS": "ICNS",
    **({"AVIF": "AVIF"} if features.check("avif") else {}),
}


@pytest.mark.parametrize("format", WRITTEN_BY_PILLOW)
def test_a_picture_is_known_by_its_content(format: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(buffer, format)
    assert picture_kind(buffer.getvalue()[:HEAD_BYTES]) == WRITTEN_BY_PILLOW[format]


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1heicmiaf", "HEIF"),
        (b"\0\0\0\x1cftypisom\0\0\0\0isommp41avc1", None),
        (b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\x14ftypjxl ", "JXL"),
        (b"\xff\x0a\x7a\x43\x04\x08\x88\x90\x03", "JXL"),
        (b"8BPS\0\1\0\0\0\0\0\0\0\3", "PSD"),
        (b"II*\0\x10\0\0\0CR\2\0", "TIFF"),
        (b"II\x1a\0\0\0HEAPCCDR\2\0\1\0", "CRW"),
        (b"\0MRM\0\0\7\x2c\0PRD", "MRW"),
        (b"FOVb\2\0\2\0" + b"0200123456", "X3F"),
        (b"MMOR\0\0\0\x08", "ORF"),
        (b"/* XPM */\nstatic char *arrow[] = {", "XPM"),
        (b"Xcur\x10\0\0\0\0\0\1\0", "X cursor"),
        (b"gimp xcf v011\0", "XCF"),
        (b"BPG\xfb\x20\0\x80\x80", "BPG"),
        (b"II\xbc\1\x20\0\0\0", "JPEG XR"),
        (b"\x59\xa6\x6a\x95\0\0\0\x20", "Sun raster"),
        (b"SIMPLE  =                    T / conforms to FITS", "FITS"),
        (b"SIMPLE  = a title", None),
        (b"\0\0\2\0\1\0\x20\x20\0\0\4\0\7\0\xb0\2\0\0\x16\0\0\0", "CUR"),
        (b"P7\nWIDTH 227\nHEIGHT 149\n", "PNM"),
        (b"P7 of the report", None),
        (b"RIFF\x24\0\0\0WAVEfmt ", None),
        (b"BM is a short word in a text file that is no bitmap at all", None),
        (b"P1 of the report is the first page", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", None),
        (b"%PDF-1.7\n", None),
        (b"PK\3\4\x14\0\0\0", None),
        (b"\0\0\1\0 not an icon at all, but this", None),
        (b"", None),
        (b"\xff", None),
    ],
)
def test_what_only_begins_like_a_picture_is_none(head: bytes, kind: str | None) -> None:
    assert picture_kind(head) == kind
