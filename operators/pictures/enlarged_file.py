"""Encode an enlarged picture in its source's format and mode, with its metadata.

Only size and resolution change in the metadata. The frame is held once, in the file's sample
type, and never converted to floats; PNG is compressed strip by strip.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin

from operators.pictures.colour import Samples
from operators.pictures.formats import png
from operators.pictures.formats.header import pillow_header
from operators.pictures.formats.webp import is_lossless
from operators.pictures.picture import Picture
from operators.rows.failure import Failure
from operators.rows.timing import timed

LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}
"""The most pixels a side that a format can store; the limit of the others is 2^31 - 1."""
QUALITY = 95
"""Quality of lossy formats: the source's would bring compression artefacts back."""
STRIP = 64
"""Rows of a strip."""
REPLACED_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"pHYs", b"IDAT", b"IEND", b"hIST", b"sBIT", b"bKGD", b"eXIf")
"""PNG chunks that describe the old pixels; all others are copied unchanged."""
RESOLUTION_TAGS = (0x011A, 0x011B, 0x0128)
SIZE_TAGS = (0x0100, 0x0101, 0xA002, 0xA003)
"""EXIF tags of width and height, twice."""
EXIF_POINTER = 0x8769
TIFF_COPIED = {270: "s", 271: "s", 272: "s", 305: "s", 306: "s", 315: "s", 33432: "s"}
"""TIFF text tags that are copied: description, make, model, software, date, artist, copyright."""
ORIENTATION_TAG, XMP_TAG = 274, 700


def encode_enlarged(picture: Picture, stored: Samples, source: bytes | memoryview, dots_per_inch: float | None = None) -> bytes:
    """Encode enlarged pixels in the format of their source.

    `picture` is the decoded `source`. `stored` are the enlarged samples as the file stores them,
    not turned. `dots_per_inch` replaces the source's resolution if it is given. ICC profile, EXIF
    with corrected sizes, text and transparency are kept. Raises Failure pixels_over_limit for a
    side that the format cannot store, and OSError, TypeError or ValueError for what Pillow cannot
    read or write.
    """
    height, width = stored.shape[:2]
    format, indexed = picture.format, picture.indexed is not None
    if max(width, height) > LARGEST_SIDE.get(format, 2**31 - 1):
        raise Failure("pixels_over_limit", f"{format} holds {LARGEST_SIDE[format]} pixels a side, not {max(width, height)}")
    file: Image.Image = pillow_header(source, format).source
    exif = _exif(file, width, height, dots_per_inch)
    dots = dots_per_inch or _dots_per_inch(file)
    with timed("codec"):
        if format == "PNG" and not indexed:
            return b"".join(_png(stored, source, exif, dots))
        if format == "TIFF" and not indexed:
            return _tiff(file, picture, stored, dots)
        return _by_pillow(file, picture, stored, source, exif, dots)


def _dots_per_inch(file: Image.Image) -> float | None:
    """The horizontal resolution; None if the file has none."""
    dots = file.info.get("dpi")
    return float(dots[0]) if dots else None


def _exif(file: Image.Image, width: int, height: int, dots_per_inch: float | None) -> bytes:
    """The source's EXIF with the new resolution and, where it names a size, the new size.

    Empty if the source has no readable EXIF.
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
    file: Image.Image, picture: Picture, stored: Samples, source: bytes | memoryview, exif: bytes, dots: float | None
) -> bytes:
    """A JPEG, WebP, GIF, BMP or palette picture, encoded by Pillow."""
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


def _copied_chunks(source: bytes | memoryview) -> Iterator[bytes]:
    """The source's chunks that hold for other pixels too, as the file holds them."""
    view, position = memoryview(source), len(png.SIGNATURE)
    while position + 12 <= len(view):
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")
        if bytes(view[position + 4 : position + 8]) not in REPLACED_CHUNKS:
            yield bytes(view[position:end])
        position = end


def _png(stored: Samples, source: bytes | memoryview, exif: bytes, dots: float | None) -> Iterable[bytes]:
    """The parts of a PNG of 8 or 16 bits a sample, every row filtered by Paeth's predictor."""
    height, width, channels = stored.shape
    depth = 8 * stored.dtype.itemsize
    yield png.SIGNATURE
    yield png.framed(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, png.COLOUR_TYPES[channels], 0, 0, 0))
    yield from _copied_chunks(source)
    if dots:
        dots_per_metre = round(dots / 0.0254)
        yield png.framed(b"pHYs", struct.pack(">IIB", dots_per_metre, dots_per_metre, 1))
    if exif:
        yield png.framed(b"eXIf", exif.removeprefix(b"Exif\0\0"))
    packer, step = zlib.compressobj(6), channels * stored.dtype.itemsize
    above = np.zeros((1, width * step), np.uint8)
    for top in range(0, height, STRIP):
        lines = np.concatenate([above, png.pack_rows(stored[top : top + STRIP], depth)])
        data = packer.compress(png.paeth_filtered(lines, step).tobytes())
        above = lines[-1:].copy()
        if data:
            yield png.framed(b"IDAT", data)
    yield png.framed(b"IDAT", packer.flush())
    yield png.framed(b"IEND", b"")


class ExtraTag(NamedTuple):
    """A tag that `tifffile.imwrite` adds to a file."""

    code: int
    kind: str
    """The field type, as a `struct` letter."""
    length: int
    """Number of values; 0 lets tifffile count a text."""
    value: str | int | bytes
    write_once: bool = True


def _tiff(file: Image.Image, picture: Picture, stored: Samples, dots: float | None) -> bytes:
    """A TIFF of any depth, compressed without loss if the source is compressed in any way."""
    import tifffile

    source: Any = vars(file)["tag_v2"]
    channels = stored.shape[2]
    extra = [ExtraTag(tag, kind, 0, str(source[tag])) for tag, kind in TIFF_COPIED.items() if tag in source]
    if ORIENTATION_TAG in source:
        extra.append(ExtraTag(ORIENTATION_TAG, "H", 1, int(source[ORIENTATION_TAG])))
    if XMP_TAG in source:
        extra.append(ExtraTag(XMP_TAG, "B", len(source[XMP_TAG]), bytes(source[XMP_TAG])))
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
