"""PNG: every chunk of the source byte for byte and in order, around newly compressed pixels (W3C
PNG, third edition).

Bit depth and colour type stay; interlaced pictures are written without interlacing. A palette
stays as long as its colours are close enough to the edited ones or has room for more, see
`operators.pictures.formats.palette`; else the pixels become RGB or RGBA, and the chunks that
speak of the palette go or follow.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image

from operators.pictures.colour import Samples, Space, followed
from operators.pictures.formats import palette
from operators.pictures.formats.header import Header, loaded, opened, orientation_of
from operators.pictures.formats.thumbnails import exif_redrawn, xmp_redrawn
from operators.pictures.picture import Edited, Indexed, Picture, upright_size
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure
from operators.rows.timing import timed

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
MODES = {(GREY, 1): "1", (GREY, 16): "I;16"}
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
NAMES = {GREY: "L", RGB: "RGB", PALETTE: "P", GREY_ALPHA: "LA", RGBA: "RGBA"}
XMP_KEYWORD = b"XML:com.adobe.xmp\0\0"
LEVELS = {0: 1, 1: 3, 2: 6, 3: 9}
"""Compression level by the two bits in which a stream says how hard its maker tried (RFC 1950).
"""
BAND_BYTES = 4_000_000

Chunk = tuple[bytes, bytes]
"""A chunk's name and data."""


def header(data: memoryview | bytes) -> Header:
    """A file's header. Raises what Pillow raises."""
    return opened(data, "PNG")


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """The whole picture. Raises Failure as `loaded` does, and corrupt for a wrong checksum
    anywhere.
    """
    _check(data)
    file, depth, colour = loaded(header.source), int(data[24]), int(data[25])
    profile, note = followed(file.info.get("icc_profile"), "grey" if colour in (GREY, GREY_ALPHA) else "rgb")
    orientation = orientation_of(file)
    size = upright_size(header.width, header.height, orientation)
    mode = MODES.get((colour, depth)) or NAMES[colour] + ("" if depth == 8 or colour == PALETTE else f";{depth}")
    model = "grey" if colour in (GREY, GREY_ALPHA) else "rgb"
    space = Space(model, 2**depth - 1 if colour != PALETTE else 255, profile)  # type: ignore[arg-type]
    if colour == PALETTE:
        indexed = palette.of(file)
        stored: Samples = palette.looked_up(indexed)
        return Picture("PNG", mode, stored, space, orientation, size, indexed, note)
    stored = _sixteen_bits(data, colour) if depth == 16 else _samples(file, space.peak)
    return Picture("PNG", mode, stored, space, orientation, size, note=note)


def _samples(file: Image.Image, peak: int) -> Pixels:
    """Samples of up to 8 bits, as stored: Pillow scales 2 and 4 bits to 8."""
    pixels = np.asarray(file).astype(np.uint8, copy=False)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return pixels if peak in (1, 255) else pixels // np.uint8(255 // peak)


def _sixteen_bits(data: memoryview | bytes, colour: int) -> Samples:
    """Samples of 16 bits: Pillow has no mode for most of them. OpenCV is shown nothing but the
    pixels.
    """
    bare = assembled([chunk for chunk in chunks(data) if chunk[0] in (b"IHDR", b"IDAT", b"IEND")])
    with timed("codec"):
        pixels: Samples | None = cv2.imdecode(np.frombuffer(bare, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        raise Failure("corrupt", "16-bit pixels cannot be decoded")
    if colour == GREY_ALPHA:
        return np.ascontiguousarray(pixels[:, :, [0, 3]])
    if colour == GREY:
        return pixels[:, :, None]
    order = [2, 1, 0] if colour == RGB else [2, 1, 0, 3]
    return np.ascontiguousarray(pixels[:, :, order])


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """The source with the edited pixels in place of its own."""
    depth, colour = int(source[24]), int(source[25])
    parts = list(chunks(source))
    indexed = edited.picture.indexed
    stored = edited.stored
    if indexed is not None:
        found = palette.refitted(indexed, edited, 256)
        if found is None:
            depth, colour = 8, RGB if stored.shape[2] == 3 else RGBA
            parts = _without_palette(parts, indexed, colour)
        else:
            depth = max(depth, palette.depth_of(len(found.entries)))
            parts = _with_entries(parts, found, len(indexed.entries))
            stored = found.indices[:, :, None]
    elif any(name == b"tRNS" for name, _ in parts):
        stored = _without_key(edited, dict(parts)[b"tRNS"])
    level = LEVELS[next((data[1] >> 6 for name, data in parts if name == b"IDAT" and len(data) > 1), 2)]
    with timed("codec"):
        pixels = compressed(pack_rows(stored, depth), max(1, CHANNELS[colour] * depth // 8), level)
    shape = struct.pack(">IIBB", stored.shape[1], stored.shape[0], depth, colour)
    result = []
    for name, data in parts:
        if name == b"IHDR":
            result.append((name, shape + data[10:12] + b"\0"))
        elif name != b"IDAT":
            result.append((name, _with_preview(name, data, edited)))
        elif pixels:
            result.append((name, pixels))
            pixels = b""
    end = 8 + sum(12 + len(data) for _, data in chunks(source))
    return assembled(result) + bytes(source[end:])


def _with_preview(name: bytes, data: bytes, edited: Edited) -> bytes:
    if name == b"eXIf":
        return exif_redrawn(data, edited.preview)
    if name == b"iTXt" and data.startswith(XMP_KEYWORD):
        return xmp_redrawn(data, edited.preview)
    return data


def _without_key(edited: Edited, transparent: bytes) -> Samples:
    """The edited samples where one colour stands for transparency: no pixel became that colour,
    and none ceased to be.
    """
    key = np.frombuffer(transparent, ">u2")[: edited.stored.shape[2]].astype(edited.stored.dtype)
    before, stored, changed = edited.picture.stored, edited.stored.copy(), edited.changed
    hidden = changed & (before == key).all(axis=2)
    stored[hidden] = before[hidden]
    struck = changed & ~hidden & (stored == key).all(axis=2)
    last = stored[struck, -1]
    stored[struck, -1] = np.where(last == edited.picture.space.peak, last - 1, last + 1)
    return stored


def _with_entries(parts: list[Chunk], indexed: Indexed, before: int) -> list[Chunk]:
    """The chunks with the palette's present entries; those that describe another number of
    entries go.
    """
    if len(indexed.entries) < before:
        raise ValueError("a palette cannot lose entries")
    result = []
    for name, data in parts:
        if name != b"hIST" or len(indexed.entries) == before:
            result.append((name, indexed.entries[:, :3].tobytes() if name == b"PLTE" else data))
    return result


def _without_palette(parts: list[Chunk], indexed: Indexed, colour: int) -> list[Chunk]:
    """The chunks of a palette picture that becomes RGB or RGBA."""
    result = []
    for name, data in parts:
        if name == b"bKGD" and data and data[0] < len(indexed.entries):
            result.append((name, struct.pack(">3H", *indexed.entries[data[0], :3].tolist())))
        elif name == b"sBIT" and colour == RGBA:
            result.append((name, data + b"\x08"))
        elif name not in (b"PLTE", b"tRNS", b"hIST"):
            result.append((name, data))
    return result


def chunks(data: memoryview | bytes) -> Iterator[Chunk]:
    """The chunks of a file up to its end chunk; a chunk that is cut short ends them."""
    position, view = 8, memoryview(data)
    while position + 12 <= len(view):
        end = position + 8 + int.from_bytes(view[position : position + 4], "big")
        if end + 4 > len(view):
            return
        name = bytes(view[position + 4 : position + 8])
        yield name, bytes(view[position + 8 : end])
        if name == b"IEND":
            return
        position = end + 4


def assembled(parts: list[Chunk]) -> bytes:
    """A file of the given chunks."""
    framed = [struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def _check(data: memoryview | bytes) -> None:
    """Raise Failure corrupt for a chunk whose checksum is wrong: decoders only look at some."""
    position, view = 8, memoryview(data)
    while position + 12 <= len(view):
        end = position + 8 + int.from_bytes(view[position : position + 4], "big")
        if end + 4 > len(view):
            return
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise Failure("corrupt", f"wrong checksum in chunk {bytes(view[position + 4 : position + 8])!r}")
        position = end + 4


def pack_rows(stored: Samples, depth: int) -> Pixels:
    """Samples (height x width x channels) as the bytes of scan lines, uint8 height x bytes."""
    if depth == 16:
        return np.ascontiguousarray(stored, ">u2").view(np.uint8).reshape(stored.shape[0], -1)
    if depth == 8:
        return np.ascontiguousarray(stored, np.uint8).reshape(stored.shape[0], -1)
    bits = np.unpackbits(np.ascontiguousarray(stored, np.uint8).reshape(*stored.shape[:2], 1), axis=2)[:, :, -depth:]
    return np.packbits(bits.reshape(stored.shape[0], -1), axis=1)


def compressed(lines: Pixels, step: int, level: int) -> bytes:
    """Scan lines as the content of an IDAT chunk, `step` bytes from one pixel to the next.

    Each line takes the filter whose differences are smallest in sum (PNG, 12.7); lines of fewer
    than 8 bits a pixel take none.
    """
    packer = zlib.compressobj(level)
    height, width = lines.shape
    rows = max(1, BAND_BYTES // max(1, width))
    result = []
    for top in range(0, height, rows):
        above = lines[top - 1 : top] if top else np.zeros((1, width), np.uint8)
        result.append(packer.compress(filtered(np.concatenate([above, lines[top : top + rows]]), step).tobytes()))
    return b"".join([*result, packer.flush()])


def filtered(lines: Pixels, step: int) -> Pixels:
    """Scan lines (the first one is only looked back at) filtered, each behind its filter's
    number.
    """
    line, up = lines[1:], lines[:-1]
    left, corner = np.zeros_like(line), np.zeros_like(line)
    left[:, step:], corner[:, step:] = line[:, :-step], up[:, :-step]
    a, b, c = left.astype(np.int16), up.astype(np.int16), corner.astype(np.int16)
    near_a, near_b, near_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    nearest = np.where((near_a <= near_b) & (near_a <= near_c), left, np.where(near_b <= near_c, up, corner))
    average = ((a + b) >> 1).astype(np.uint8)
    candidates = [line, line - left, line - up, line - average, line - nearest]
    costs = [np.abs(candidate.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for candidate in candidates]
    best = np.argmin(costs, axis=0)
    result = np.empty((len(line), line.shape[1] + 1), np.uint8)
    result[:, 0] = best
    for number, candidate in enumerate(candidates):
        result[best == number, 1:] = candidate[best == number]
    return result
