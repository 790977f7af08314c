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
from operators.pictures.previews.metadata import exif_swept, searched, xmp_swept
from operators.pictures.previews.sweep import KEEP, Sweep

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
        head, content = data[start : start + 8], data[start + 8 : end]
        if name == b"uuid" and content[:16] in EXIF_BOXES:
            content = content[:16] + exif_swept(content[16:], sweep)
        elif name in (b"uuid", b"xml "):
            content = searched(content, "box", sweep)
        result += head + content
    return result


def jpeg_xl_swept(data: bytes, sweep: Sweep, jpeg_swept: Callable[[bytes, Sweep], bytes]) -> bytes:
    """A JPEG XL: the JPEG that it was made of, else its boxes, of which it unpacks packed ones."""
    import imagecodecs

    if jpeg_xl.is_jpeg(data):
        old = jpeg_xl.jpeg_of(data)
        new = jpeg_swept(old, sweep)
        return data if new == old else bytes(imagecodecs.jpegxl_encode_jpeg(new))
    if data.startswith(jpeg_xl.STREAM) or sweep.policy == KEEP:
        return data
    result = b""
    for box in jpeg_xl.boxes(data):
        name, content = box
        if name == b"brob":
            name, content = content[:4], bytes(imagecodecs.brotli_decode(content[4:]))
        kept = _jpeg_xl_box_swept(name, content, sweep)
        result += b"" if kept is None else struct.pack(">I4s", 8 + len(kept), name) + kept
    return result


def _jpeg_xl_box_swept(name: bytes, content: bytes, sweep: Sweep) -> bytes | None:
    """The content of a box, which may be as long as it likes; None for one that goes."""
    if name in (b"JXL ", b"ftyp", *jpeg_xl.STREAM_BOXES):
        return content
    if name == b"Exif":
        return content[:4] + exif_swept(content[4:], sweep)
    if name == b"xml ":
        return xmp_swept(content, sweep)
    if name == b"jumb" and b"c2pa" in content:
        sweep.note("c2pa_removed")
        return None
    if name == b"jhgm":
        sweep.dropped("gain map")
        return None
    return searched(content, "box", sweep)
