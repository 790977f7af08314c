"""Encode an enlarged picture in its source's format and mode, around the source's own metadata.

As for an edit, the file is the source with other pixels: segments, chunks, blocks and tags keep
their bytes. Only what names the size changes, and the resolution if a new one is asked for.
Content credentials (C2PA) hold no more and go. The frame is held once, in the file's sample type,
and never converted to floats; PNG is compressed strip by strip.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, JpegImagePlugin

from operators.pictures.colour import Samples
from operators.pictures.formats import bmp, gif, png, tiff_resized, webp, webp_chunks
from operators.pictures.formats.header import pillow_header
from operators.pictures.formats.jpeg_markers import end_of_image, with_trailer
from operators.pictures.formats.tiff_directory import Directory, directory_at, first_directory
from operators.pictures.picture import Picture
from operators.pictures.previews.files import swept
from operators.pictures.previews.segments import Segment, segments_of, with_segments
from operators.pictures.previews.sweep import KEEP, Sweep
from operators.pictures.previews.table import EXIF_HEADER
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure
from operators.rows.timing import timed

LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383, "GIF": 65_535}
"""The most pixels a side that a format can store; the limit of the others is 2^31 - 1."""
QUALITY = 95
"""Quality of lossy formats: the source's would bring compression artefacts back."""
STRIP = 64
"""Rows of a strip."""
REPLACED_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"hIST", png.RESTART)
"""PNG chunks that describe the old pixels; all others stay."""
RESOLUTION_TAGS, RATIONAL = (0x011A, 0x011B, 0x0128), 5
SIZE_TAGS = (0x0100, 0x0101, 0xA002, 0xA003)
"""EXIF tags of width and height, twice."""
EXIF_POINTER = 0x8769
DOTS_PER_INCH, DOTS_PER_METRE = 2, 1 / 0.0254
"""EXIF's and TIFF's unit of resolution; dots per metre of one dot per inch."""


class Enlarged(NamedTuple):
    """An enlarged picture as a file."""

    data: bytes
    notes: list[str]
    """What was done to the file besides enlarging it, see `operators.rows.schema`."""


@dataclass(frozen=True)
class Enlargement:
    """What the file of an enlarged picture is made of."""

    picture: Picture
    stored: Samples
    source: bytes
    dots: float | None
    """The new resolution in dots per inch; None to leave it as it is."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the stored pixels."""
        return self.stored.shape[1], self.stored.shape[0]


def encode_enlarged(
    picture: Picture, stored: Samples, source: bytes | memoryview, dots_per_inch: float | None = None
) -> Enlarged:
    """Encode enlarged pixels in the format of their source.

    `picture` is the decoded `source`. `stored` are the enlarged samples as the file stores them,
    not turned. `dots_per_inch` replaces the source's resolution if it is given; a source without
    resolution gets none otherwise. Raises Failure pixels_over_limit for a side that the format
    cannot store, and OSError, TypeError or ValueError for what cannot be read or written.
    """
    format = picture.format
    check_sides(format, stored.shape[1], stored.shape[0])
    with timed("codec"):
        # The enlarged picture shows what its previews show, so that only manifests go.
        sweep = Sweep(lambda width, height: np.zeros((height, width, 3), np.uint8), KEEP)
        bare = swept(format, bytes(source), sweep)
        return Enlarged(written(Enlargement(picture, stored, bare, dots_per_inch)), sweep.notes)


def check_sides(format: str, width: int, height: int) -> None:
    """Raise Failure pixels_over_limit for a side that a format cannot store."""
    if max(width, height) > LARGEST_SIDE.get(format, 2**31 - 1):
        raise Failure("pixels_over_limit", f"{format} holds {LARGEST_SIDE[format]} pixels a side, not {max(width, height)}")


def written(work: Enlargement) -> bytes:
    """The source with other pixels, of any size. Raises as `encode_enlarged` does."""
    return WRITERS[work.picture.format](work)


def _pillow_file(work: Enlargement, **options: Any) -> bytes:
    """The pixels as a file by Pillow, without metadata."""
    picture, stored = work.picture, work.stored
    if picture.mode == "CMYK":
        image = Image.frombuffer("CMYK", work.size, np.ascontiguousarray(stored), "raw", "CMYK", 0, 1)
    else:
        image = Image.fromarray(stored[:, :, 0] if stored.shape[2] == 1 else stored)
    if picture.format == "GIF" and image.mode == "RGBA":
        image.putalpha(image.getchannel("A").point(lambda alpha: 255 if alpha > 127 else 0))
    elif picture.indexed is not None:
        image = _reduced(image)
    output = io.BytesIO()
    image.save(output, format=picture.format, **options)
    return output.getvalue()


def _reduced(image: Image.Image) -> Image.Image:
    """A picture in 256 colours."""
    method = Image.Quantize.FASTOCTREE if image.mode == "RGBA" else Image.Quantize.MEDIANCUT
    return image.quantize(256, method, dither=Image.Dither.NONE)


def _resized_exif(exif: bytes, size: tuple[int, int], dots: float | None) -> bytes:
    """EXIF, with or without its header, in which every named size and, if given, resolution is new.

    Values are replaced in place. Only a resolution that EXIF does not have yet is added, which
    writes the structure again. Unreadable EXIF is returned as it is.
    """
    start = len(EXIF_HEADER) if exif.startswith(EXIF_HEADER) else 0
    result = bytearray(exif[start:])
    try:
        main = first_directory(bytes(result))
        pointer = main.number(EXIF_POINTER, 0)
        directories = [main, *([directory_at(bytes(result), pointer, main.order)] if pointer else [])]
        for directory in directories:
            for tag, side in zip(SIZE_TAGS, (*size, *size), strict=True):
                _write(result, directory, tag, side)
        if dots is not None:
            entries = [main.entries.get(tag) for tag in RESOLUTION_TAGS]
            if any(entry is None or (entry.kind != RATIONAL and number < 2) for number, entry in enumerate(entries)):
                return exif[:start] + _with_resolution(bytes(result), dots)
            for entry in entries[:2]:
                assert entry is not None
                struct.pack_into(f"{main.order}2I", result, entry.offset, round(dots * 100), 100)
            _write(result, main, RESOLUTION_TAGS[2], DOTS_PER_INCH)
    except (ValueError, struct.error):
        return exif
    return exif[:start] + bytes(result)


def _write(result: bytearray, directory: Directory, tag: int, number: int) -> None:
    """Replace the only number of a tag, in place; nothing for a missing tag."""
    entry = directory.entries.get(tag)
    if entry is not None and entry.count == 1:
        result[entry.offset : entry.offset + entry.size] = directory.packed(tag, (number,))


def _with_resolution(exif: bytes, dots: float) -> bytes:
    """EXIF, without its header, with a resolution that it did not have."""
    parsed = Image.Exif()
    parsed.load(EXIF_HEADER + exif)
    parsed.update(zip(RESOLUTION_TAGS, (dots, dots, DOTS_PER_INCH), strict=True))
    return parsed.tobytes().removeprefix(EXIF_HEADER)


def _jpeg(work: Enlargement) -> bytes:
    """A JPEG with the source's segments and what follows its picture.

    Adobe's segment says how colours are coded and is that of the new pixels.
    """
    file: Image.Image = pillow_header(work.source, "JPEG").source
    sampling = JpegImagePlugin.get_sampling(file)
    options = {"quality": QUALITY, "subsampling": sampling if sampling >= 0 else 0}
    new = _pillow_file(work, **options, **({"progressive": True} if file.info.get("progressive") else {}))
    adobe = [segment for segment in segments_of(new) if segment.header == b"Adobe"]
    end = end_of_image(work.source)
    kept = [_resized_segment(segment, work) for segment in segments_of(work.source[:end]) if segment.header != b"Adobe"]
    place = 1 if kept and kept[0].marker == 0xE0 else 0
    return with_trailer(with_segments(new, [*kept[:place], *adobe, *kept[place:]]), work.source, end)


def _resized_segment(segment: Segment, work: Enlargement) -> Segment:
    """A segment with the new size, and with the new resolution if there is one."""
    if segment.kind == "exif":
        return replace(segment, content=_resized_exif(segment.content, work.size, work.dots))
    if segment.header == b"JFIF\0" and work.dots is not None:
        dots = min(65_535, round(work.dots))
        return replace(segment, content=segment.content[:7] + struct.pack(">BHH", 1, dots, dots) + segment.content[12:])
    return segment


def _webp(work: Enlargement) -> bytes:
    """A WebP with the source's other chunks."""
    lossless = webp.is_lossless(work.source)
    new = _pillow_file(work, lossless=lossless, exact=lossless, quality=100 if lossless else QUALITY, method=4)
    source = list(webp_chunks.chunks(work.source))
    if not any(name == b"VP8X" for name, _ in source):
        return new
    pixels = [chunk for chunk in webp_chunks.chunks(new) if chunk[0] in webp_chunks.PIXELS]
    result = []
    for name, data in source:
        if name in webp_chunks.PIXELS:
            result += pixels
            pixels = []
        elif name == b"VP8X":
            sides = b"".join((side - 1).to_bytes(3, "little") for side in work.size)
            result.append((name, data[:4] + sides + data[10:]))
        else:
            result.append((name, _resized_exif(data, work.size, work.dots) if name == b"EXIF" else data))
    return webp_chunks.assembled(result) + work.source[8 + int.from_bytes(work.source[4:8], "little") :]


def _gif(work: Enlargement) -> bytes:
    """A GIF with the source's comments and other extensions."""
    new = _pillow_file(work)
    blocks, end = gif.blocks(work.source)
    first = gif.blocks(new)[0][0][0]
    frame = next(number for number, (start, _) in enumerate(blocks) if work.source[start] == gif.DESCRIPTOR)
    copied = [
        b"".join(work.source[start:stop] for start, stop in part if _is_of_file(work.source[start : start + 2]))
        for part in (blocks[:frame], blocks[frame:])
    ]
    body = new[first:-1] if new.endswith(b";") else new[first:]
    return b"GIF89a" + new[6:first] + copied[0] + body + copied[1] + b";" + work.source[end:]


def _is_of_file(start: bytes) -> bool:
    """Whether a block of a GIF that starts so is an extension that belongs to no frame."""
    return start[0] == gif.EXTENSION and start not in gif.OF_FRAMES


def _bmp(work: Enlargement) -> bytes:
    """A BMP with the source's header, colour masks and profile."""
    whole = bmp.resized(work.source, work.stored) if work.picture.indexed is None else None
    result = bytearray(_pillow_file(work) if whole is None else whole)
    if whole is None and not bmp.has_core_header(work.source):
        result[bmp.RESOLUTION] = work.source[bmp.RESOLUTION]
    if work.dots is not None and not bmp.has_core_header(result):
        result[bmp.RESOLUTION] = struct.pack("<2i", *[round(work.dots * DOTS_PER_METRE)] * 2)
    return bytes(result)


def _png(work: Enlargement) -> bytes:
    """A PNG with the source's other chunks, in their order around the pixels."""
    parts = list(png.chunks(work.source))
    pixels = list(_palette_pixels(work) if work.picture.indexed is not None else _pixels(work))
    end = 8 + sum(12 + len(content) for _, content in parts)
    before = [name for name, _ in parts].index(b"IDAT")
    palette = next((place for place, (name, _) in enumerate(parts) if name == b"PLTE"), before)
    result = [png.SIGNATURE, pixels[0]]
    for place, (name, content) in enumerate(parts):
        if place == palette:
            result += [part for part in pixels[1:] if part[4:8] != b"IDAT"]
        if place == before:
            result += [part for part in pixels[1:] if part[4:8] == b"IDAT"]
        if name not in REPLACED_CHUNKS and not (name == b"pHYs" and work.dots is not None):
            if name == b"bKGD" and work.picture.indexed is not None:
                continue
            new = _resized_exif(content, work.size, work.dots) if name == b"eXIf" else content
            result.append(png.framed(name, new))
    return b"".join([*result, png.framed(b"IEND", b""), work.source[end:]])


def _pixels(work: Enlargement) -> Iterator[bytes]:
    """The header, the resolution and the pixels of a PNG of 8 or 16 bits a sample.

    Every row is filtered by Paeth's predictor.
    """
    width, height = work.size
    channels, size = work.stored.shape[2], work.stored.dtype.itemsize
    yield png.framed(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * size, png.COLOUR_TYPES[channels], 0, 0, 0))
    yield from _physical(work)
    packer, step = zlib.compressobj(6), channels * size
    above: Pixels = np.zeros((1, width * step), np.uint8)
    for top in range(0, height, STRIP):
        lines = np.concatenate([above, png.pack_rows(work.stored[top : top + STRIP], 8 * size)])
        data = packer.compress(png.paeth_filtered(lines, step).tobytes())
        above = lines[-1:].copy()
        if data:
            yield png.framed(b"IDAT", data)
    yield png.framed(b"IDAT", packer.flush())


def _palette_pixels(work: Enlargement) -> Iterator[bytes]:
    """The header, the palette and the pixels of a PNG with a palette."""
    parts = list(png.chunks(_pillow_file(work)))
    yield from (png.framed(name, content) for name, content in parts if name == b"IHDR")
    yield from (png.framed(name, content) for name, content in parts if name in (b"PLTE", b"tRNS"))
    yield from _physical(work)
    yield from (png.framed(name, content) for name, content in parts if name == b"IDAT")


def _physical(work: Enlargement) -> Iterator[bytes]:
    """The chunk of a new resolution."""
    if work.dots is not None:
        dots = round(work.dots * DOTS_PER_METRE)
        yield png.framed(b"pHYs", struct.pack(">IIB", dots, dots, 1))


def _tiff(work: Enlargement) -> bytes:
    """A TIFF with the source's other tags and sub-directories."""
    stored, colours = work.stored, None
    if work.picture.indexed is not None:
        image = _reduced(Image.fromarray(stored))
        palette = np.zeros((256, 3), np.uint8)
        table = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
        palette[: len(table)] = table
        stored, colours = np.asarray(image)[:, :, None], palette
    return tiff_resized.resized(work.source, stored, work.picture.space.inverted, colours, work.dots)


WRITERS: dict[str, Callable[[Enlargement], bytes]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": _webp,
    "GIF": _gif,
    "BMP": _bmp,
    "TIFF": _tiff,
}
"""How the file of each format is written."""
