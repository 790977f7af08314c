"""Every place in a file where a second picture may be, as data.

A place is a key inside a structure, and the way in which its content is read. Structures nest: a
PNG text holds EXIF, EXIF holds XMP, XMP holds a thumbnail. Content without a row is searched for
pictures by their first bytes, except for what is listed as PLAIN. An ICC profile holds none.
"""

from __future__ import annotations

from typing import NamedTuple

Key = int | bytes | tuple[int, bytes] | tuple[int, int]


class Place(NamedTuple):
    """One place where a second picture may be."""

    structure: str
    """What contains it: a file format, or a kind of metadata that is the content of another row."""
    key: Key
    """Where: a tag, a resource, a chunk, a marker with its first bytes, a record and dataset."""
    content: str
    """How it is read: a key of `operators.pictures.previews.metadata.READERS`."""


XMP_HEADER = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_HEADER = b"http://ns.adobe.com/xmp/extension/\0"
EXIF_HEADER = b"Exif\0\0"
PHOTOSHOP_HEADER = b"Photoshop 3.0\0"
INDEX_HEADER = b"MPF\0"

PLACES: tuple[Place, ...] = (
    # JPEG: marker and first bytes (JFIF 1.02, CIPA DC-008, Adobe XMP part 3, CIPA DC-007, C2PA 2).
    Place("JPEG", (0xE0, b"JFIF\0"), "jfif_thumbnail"),
    Place("JPEG", (0xE0, b"JFXX\0"), "jfxx_thumbnail"),
    Place("JPEG", (0xE1, EXIF_HEADER), "exif"),
    Place("JPEG", (0xE1, XMP_HEADER), "xmp"),
    Place("JPEG", (0xE1, EXTENDED_HEADER), "extended_xmp"),
    Place("JPEG", (0xE2, b"ICC_PROFILE\0"), "plain"),
    Place("JPEG", (0xE2, INDEX_HEADER), "plain"),
    Place("JPEG", (0xE2, b"FPXR\0"), "flashpix"),
    Place("JPEG", (0xEB, b"JP"), "jumbf"),
    Place("JPEG", (0xEB, b"HDR_RI"), "ratio_image"),
    Place("JPEG", (0xED, PHOTOSHOP_HEADER), "photoshop"),
    Place("JPEG", (0xEE, b"Adobe"), "plain"),
    # PNG: chunk (W3C PNG, third edition; private chunks of Fireworks; C2PA 2).
    Place("PNG", b"eXIf", "exif"),
    Place("PNG", b"zxIf", "exif"),
    Place("PNG", b"tEXt", "png_text"),
    Place("PNG", b"zTXt", "png_text"),
    Place("PNG", b"iTXt", "png_text"),
    Place("PNG", b"iCCP", "plain"),
    Place("PNG", b"caBX", "manifest"),
    Place("PNG", b"prVW", "layers"),
    Place("PNG", b"mkBF", "layers"),
    Place("PNG", b"mkTS", "layers"),
    Place("PNG", b"mkBS", "layers"),
    Place("PNG", b"mkBT", "layers"),
    # Texts of PNG: the word after "Raw profile type ", as ImageMagick writes it, and XMP's keyword.
    Place("PNG text", b"exif", "exif"),
    Place("PNG text", b"app1", "app1"),
    Place("PNG text", b"xmp", "xmp"),
    Place("PNG text", b"iptc", "photoshop"),
    Place("PNG text", b"8bim", "photoshop"),
    # WebP: chunk (RFC 9649, C2PA 2).
    Place("WEBP", b"EXIF", "exif"),
    Place("WEBP", b"XMP ", "xmp"),
    Place("WEBP", b"ICCP", "plain"),
    Place("WEBP", b"C2PA", "manifest"),
    # GIF: application of an extension (Adobe XMP part 3, ImageMagick, C2PA 2).
    Place("GIF", b"XMP Data", "xmp"),
    Place("GIF", b"MGK8BIM0", "photoshop"),
    Place("GIF", b"MGKIPTC0", "photoshop"),
    Place("GIF", b"ICCRGBG1", "plain"),
    Place("GIF", b"C2PA_GIF", "manifest"),
    # TIFF and EXIF: tag (TIFF 6.0, CIPA DC-008, Adobe, C2PA 2).
    Place("TIFF", 700, "xmp"),
    Place("TIFF", 33723, "iptc"),
    Place("TIFF", 34377, "photoshop"),
    Place("TIFF", 34675, "plain"),
    Place("TIFF", 37500, "maker_note"),
    Place("TIFF", 37724, "layers"),
    Place("TIFF", 50341, "plain"),
    Place("TIFF", 52545, "manifest"),
    # Photoshop: resource (Adobe, Photoshop File Formats).
    Place("Photoshop", 1028, "iptc"),
    Place("Photoshop", 1033, "photoshop_thumbnail"),
    Place("Photoshop", 1036, "photoshop_thumbnail"),
    Place("Photoshop", 1039, "plain"),
    Place("Photoshop", 1058, "exif"),
    Place("Photoshop", 1059, "exif"),
    Place("Photoshop", 1060, "xmp"),
    # IPTC: record and dataset (IIM 4.2): the preview, and the object itself.
    Place("IPTC", (2, 202), "iptc_preview"),
    Place("IPTC", (8, 10), "iptc_preview"),
)
"""All known places."""

SIGNATURES: dict[str, bytes] = {
    "jpeg": rb"[\0-\x0f\xff]\xd8\xff[\xc0-\xc3\xc4\xdb\xdd\xe0-\xef\xfe]",  # cameras of Minolta spoil the first byte
    "png": rb"\x89PNG\r\n\x1a\n",
    "gif": rb"GIF8[79]a",
    "webp": rb"RIFF....WEBPVP8",
    "film": rb"\0\0..ftyp[a-zA-Z0-9]{3}|\x1aE\xdf\xa3",
    "tiff": rb"II\*\0|MM\0\*",
    "bmp": rb"BM....\0\0\0\0..\0\0[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "archive": rb"PK\x03\x04|%PDF-1|8BPS\0[\1\2]\0",
}
"""First bytes of pictures, films and archives in content without a row: regular expressions."""

MAP_MARKS = (b"hdr-gain-map", b"dynamicrange", b"AuxiliaryImageType", b"hdrgainmap", b"urn:iso:std:iso:ts:21496:-1")
"""What an appended JPEG says in its own metadata if it holds a map of the first, not a picture."""
MAP_SEMANTICS = ("GainMap", "Depth", "DepthMap", "Confidence", "SegmentationMask")
"""What a directory in XMP (Ultra HDR, Dynamic Depth) calls an appended map."""


def rows_of(structure: str) -> dict[Key, str]:
    """The ways in which the places of one structure are read, by key."""
    return {place.key: place.content for place in PLACES if place.structure == structure}
