"""An enlarged picture as a file: the source's format, mode and metadata, with a new size and
resolution.

The frame is held once in the file's own type; PNG is compressed strip by strip, and nothing here
makes floats of it.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from operators.pictures.formats.header import opened
from operators.pictures.formats.webp import is_lossless
from operators.pictures.picture import Picture
from operators.rows.failure import Failure
from operators.rows.timing import timed

Stored = npt.NDArray[Any]
"""uint8 or uint16, height x width x channels, as the file stores them."""

LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}
"""Pixels that the format can count; others count to 2^31."""
QUALITY = 95
"""Of lossy formats: the source's own quality would print its blocks on what was just rebuilt."""
STRIP = 64
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""PNG's colour type by number of channels."""
REPLACED_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"pHYs", b"IDAT", b"IEND", b"hIST", b"sBIT", b"bKGD", b"eXIf")
"""PNG chunks that say something of the old pixels; all others are copied as they stand."""
RESOLUTION_TAGS = (0x011A, 0x011B, 0x0128)
SIZE_TAGS = (0x0100, 0x0101, 0xA002, 0xA003)
EXIF_POINTER = 0x8769
TIFF_COPIED = {270: "s", 271: "s", 272: "s", 305: "s", 306: "s", 315: "s", 33432: "s"}
"""TIFF tags of text that are copied: description, make, model, software, date, artist, copyright.
"""
ICC_TAG, ORIENTATION_TAG, XMP_TAG = 34675, 274, 700


def encode_enlarged(picture: Picture, stored: Stored, source: bytes | memoryview, dots_per_inch: float | None = None) -> bytes:
    """The enlarged pixels as a file like the source, its ICC profile, EXIF, text and transparency
    kept, EXIF's sizes corrected.

    `stored` lies as the file stores it (an orientation tag stays); `dots_per_inch` replaces the
    source's resolution if it is given. Raises Failure pixels_over_limit for a side that the
    format cannot count; OSError, TypeError or ValueError for what Pillow cannot read or write.
    """
    height, width = stored.shape[:2]
    kind, indexed = picture.format, picture.indexed is not None
    if max(width, height) > LARGEST_SIDE.get(kind, 2**31 - 1):
        raise Failure("pixels_over_limit", f"{kind} holds {LARGEST_SIDE[kind]} pixels a side, not {max(width, height)}")
    file: Image.Image = opened(source, kind).source
    exif = _exif(file, width, height, dots_per_inch)
    dots = dots_per_inch or _dots(file)
    with timed("codec"):
        if kind == "PNG" and not indexed:
            return b"".join(_png(stored, source, exif, dots))
        if kind == "TIFF" and not indexed:
            return _tiff(file, picture, stored, dots)
        return _by_pillow(file, picture, stored, source, exif, dots)


def _dots(file: Image.Image) -> float | None:
    dots = file.info.get("dpi")
    return float(dots[0]) if dots else None


def _exif(file: Image.Image, width: int, height: int, dots_per_inch: float | None) -> bytes:
    """The source's EXIF with the new size and resolution where it names any; empty if it has
    none.
    """
    try:
        exif = file.getexif()
    except Exception:
        return b""
    if not exif:
        return b""
    for tags in (exif, exif.get_ifd(EXIF_POINTER)):
        for tag, side in zip(SIZE_TAGS, (width, height, width, height), strict=True):
            if tag in tags:
                tags[tag] = side
    if dots_per_inch:
        exif.update(zip(RESOLUTION_TAGS, (dots_per_inch, dots_per_inch, 2), strict=True))
    return exif.tobytes()


def _by_pillow(
    file: Image.Image, picture: Picture, stored: Stored, source: bytes | memoryview, exif: bytes, dots: float | None
) -> bytes:
    if picture.mode == "CMYK":
        image = Image.frombuffer("CMYK", stored.shape[1::-1], np.ascontiguousarray(stored), "raw", "CMYK", 0, 1)
    else:
        image = Image.fromarray(stored[:, :, 0] if stored.shape[2] == 1 else stored)
    options: dict[str, Any] = {"icc_profile": file.info.get("icc_profile"), "exif": exif or None}
    options = {name: value for name, value in options.items() if value}
    if dots:
        options["dpi"] = (dots, dots)
    if picture.format == "GIF" and image.mode == "RGBA":
        image.putalpha(image.getchannel("A").point(lambda alpha: 255 if alpha > 127 else 0))
    elif picture.indexed is not None:
        method = Image.Quantize.FASTOCTREE if image.mode == "RGBA" else Image.Quantize.MEDIANCUT
        image = image.quantize(256, method, dither=Image.Dither.NONE)
    if picture.format == "JPEG":
        sampling = JpegImagePlugin.get_sampling(file)
        options |= {
            "quality": QUALITY,
            "subsampling": sampling if sampling >= 0 else 0,
            "comment": file.info.get("comment", b""),
        }
        options |= {"progressive": True} if file.info.get("progressive") else {}
    elif picture.format == "WEBP":
        lossless = is_lossless(source)
        options |= {"lossless": lossless, "exact": lossless, "quality": 100 if lossless else QUALITY, "method": 4}
    output = io.BytesIO()
    image.save(output, format=picture.format, **options)
    return output.getvalue()


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _kept_chunks(source: bytes | memoryview) -> Iterator[bytes]:
    """The source's own chunks that still hold for other pixels, as they stand."""
    view, position = memoryview(source), 8
    while position + 12 <= len(view):
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")
        if bytes(view[position + 4 : position + 8]) not in REPLACED_CHUNKS:
            yield bytes(view[position:end])
        position = end


def _png(stored: Stored, source: bytes | memoryview, exif: bytes, dots: float | None) -> Iterable[bytes]:
    """A PNG of 8 or 16 bits a sample (PNG specification, third edition), filtered by Paeth's
    predictor in every row.
    """
    height, width, channels = stored.shape
    bits = 8 * stored.dtype.itemsize
    yield b"\x89PNG\r\n\x1a\n"
    yield _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, COLOUR_TYPES[channels], 0, 0, 0))
    yield from _kept_chunks(source)
    if dots:
        yield _chunk(b"pHYs", struct.pack(">IIB", round(dots / 0.0254), round(dots / 0.0254), 1))
    if exif:
        yield _chunk(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    packer, pixel = zlib.compressobj(6), channels * stored.dtype.itemsize
    above = np.zeros((1, width * pixel), np.uint8)
    for top in range(0, height, STRIP):
        rows = np.ascontiguousarray(stored[top : top + STRIP]).astype(f">u{stored.dtype.itemsize}", copy=False)
        raw = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), width * pixel)
        data = packer.compress(_paeth(raw, above, pixel).tobytes())
        above = raw[-1:].copy()
        if data:
            yield _chunk(b"IDAT", data)
    yield _chunk(b"IDAT", packer.flush())
    yield _chunk(b"IEND", b"")


def _paeth(raw: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8], pixel: int) -> npt.NDArray[np.uint8]:
    """Filtered rows, each led by its filter's number (4)."""
    up = np.concatenate([above, raw[:-1]]).astype(np.int16)
    left = np.zeros_like(up)
    left[:, pixel:] = raw[:, :-pixel]
    corner = np.zeros_like(up)
    corner[:, pixel:] = up[:, :-pixel]
    to_left, to_up, to_corner = np.abs(up - corner), np.abs(left - corner), np.abs(left + up - 2 * corner)
    nearest = np.where(to_up <= to_corner, up, corner)
    predicted = np.where((to_left <= to_up) & (to_left <= to_corner), left, nearest)
    filtered = np.full((len(raw), raw.shape[1] + 1), 4, np.uint8)
    filtered[:, 1:] = raw - predicted.astype(np.uint8)
    return filtered


def _tiff(file: Image.Image, picture: Picture, stored: Stored, dots: float | None) -> bytes:
    """A TIFF of any depth; what was compressed in whatever way is compressed without loss."""
    import tifffile

    source: Any = vars(file)["tag_v2"]
    channels = stored.shape[2]
    extra: list[tuple[int, str | int, int, Any, bool]] = [
        (tag, kind, 0, str(source[tag]), True) for tag, kind in TIFF_COPIED.items() if tag in source
    ]
    if ORIENTATION_TAG in source:
        extra.append((ORIENTATION_TAG, "H", 1, int(source[ORIENTATION_TAG]), True))
    if XMP_TAG in source:
        extra.append((XMP_TAG, "B", len(source[XMP_TAG]), bytes(source[XMP_TAG]), True))
    output = io.BytesIO()
    tifffile.imwrite(
        output,
        stored[:, :, 0] if channels == 1 else stored,
        photometric={"grey": "minisblack", "rgb": "rgb", "cmyk": "separated"}[picture.space.model],
        planarconfig="contig" if channels > 1 else None,
        extrasamples=["unassalpha"] if channels > picture.space.colours else None,
        compression=None if file.info.get("compression") in (None, "raw") else "zlib",
        rowsperstrip=STRIP,
        resolution=(dots, dots) if dots else None,
        resolutionunit="INCH" if dots else None,
        iccprofile=file.info.get("icc_profile"),
        extratags=extra,
        metadata=None,
        software=False,
    )
    return output.getvalue()
