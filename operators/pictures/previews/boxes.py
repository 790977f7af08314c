"""Files of boxes: AVIF, HEIC, JPEG XL and JPEG 2000, whose EXIF and XMP may hold second pictures.

An edit writes AVIF and HEIC again without their other pictures. So only metadata can hold one.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

from PIL import AvifImagePlugin, Image

from operators.pictures.formats import jpeg2000, jpeg_xl
from operators.pictures.formats.iso_media import heic_file, metadata
from operators.pictures.previews.metadata import exif_swept, xmp_swept
from operators.pictures.previews.sweep import Sweep

EXIF_BOXES = (b"JpgTiffExif->JP2", bytes.fromhex("05379d5be2e445e7b2f02e5b0a3c5fb4"))
"""Identifiers of boxes with EXIF in JPEG 2000."""


def avif_swept(data: bytes, sweep: Sweep) -> bytes:
    """An AVIF: its EXIF and XMP, in place."""
    return _in_place(data, AvifImagePlugin.AvifImageFile(io.BytesIO(data)), sweep)


def heic_swept(data: bytes, sweep: Sweep) -> bytes:
    """A HEIC: its EXIF and XMP, in place."""
    return _in_place(data, heic_file(data), sweep)


def _in_place(data: bytes, file: Image.Image, sweep: Sweep) -> bytes:
    """The file with new EXIF and XMP of the same lengths.

    Raises ValueError if it does not hold them as its decoder gives them.
    """
    found = metadata(file)
    for name, read in (("exif", exif_swept), ("xmp", xmp_swept)):
        old = found.get(name, b"").removeprefix(b"Exif\0\0")
        new = read(old, sweep) if old else old
        if new != old:
            if old not in data:
                raise ValueError(f"{name} cannot be found in the file")
            data = data.replace(old, new)
    return data


def jpeg2000_swept(data: bytes, sweep: Sweep) -> bytes:
    """A JPEG 2000: its boxes but the stream."""
    if data.startswith(jpeg2000.STREAM):
        return data
    result = b""
    for name, start, end in jpeg2000.boxes(data):
        content = data[start:end]
        if name == b"uuid" and content[8:24] in EXIF_BOXES:
            content = content[:24] + exif_swept(content[24:], sweep)
        elif name in (b"uuid", b"xml "):
            content = content[:8] + sweep.search(xmp_swept(content[8:], sweep), "box")
        result += content
    return result


def jpeg_xl_swept(data: bytes, sweep: Sweep, jpeg_swept: Callable[[bytes, Sweep], bytes]) -> bytes:
    """A JPEG XL: the JPEG that it was made of, else its boxes, of which it unpacks packed ones."""
    import imagecodecs

    if jpeg_xl.is_jpeg(data):
        old = jpeg_xl.jpeg_of(data)
        new = jpeg_swept(old, sweep)
        return data if new == old else bytes(imagecodecs.jpegxl_encode_jpeg(new))
    if data.startswith(jpeg_xl.STREAM):
        return data
    result = b""
    for name, content in jpeg_xl.boxes(data):
        if name == b"brob":
            name, content = content[:4], bytes(imagecodecs.brotli_decode(content[4:]))
        if name == b"Exif":
            content = content[:4] + exif_swept(content[4:], sweep)
        elif name == b"xml ":
            content = xmp_swept(content, sweep)
        elif name == b"jumb" and b"c2pa" in content:
            sweep.note("c2pa_removed")
            continue
        elif name not in (b"JXL ", b"ftyp", *jpeg_xl.STREAM_BOXES):
            content = sweep.search(content, "box")
        result += struct.pack(">I4s", 8 + len(content), name) + content
    return result
