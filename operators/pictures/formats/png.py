"""PNG: every chunk of the source, unchanged and in order, around newly compressed pixels.

Source: W3C PNG, third edition. Bit depth and colour type are kept; interlaced pictures are
written without interlacing. As in every viewer, a wrong checksum matters only in a chunk that the
pixels need: another one is left out, and a text gets its right checksum. A palette stays while
its colours are close enough to the edited ones or it has room for more, see
`operators.pictures.formats.palette`. Otherwise the pixels become RGB or RGBA, and the chunks that
refer to the palette are dropped or adapted. Animations are in
`operators.pictures.formats.animated_png`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from operators.pictures.colour import Model, Samples, Space, profile_to_apply
from operators.pictures.formats import animated_png, palette
from operators.pictures.formats.header import ORIENTATION_TAG, Header, load_pixels, orientation_of, pillow_header
from operators.pictures.picture import Edited, Indexed, Picture, upright_size
from operators.rows.arrays import Pixels
from operators.rows.failure import Failure
from operators.rows.timing import timed

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
COLOUR_TYPES = {1: GREY, 2: GREY_ALPHA, 3: RGB, 4: RGBA}
"""The colour type of pictures without a palette, by their number of channels."""
MODES = {(GREY, 1): "1", (GREY, 16): "I;16"}
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGBA: 4}
NAMES = {GREY: "L", RGB: "RGB", PALETTE: "P", GREY_ALPHA: "LA", RGBA: "RGBA"}
PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"acTL", b"fcTL", b"fdAT", b"IEND")
"""Chunks that hold pixels or say how to read them."""
LEVELS = {0: 1, 1: 3, 2: 6, 3: 9}
"""Compression level by the two bits in which a zlib stream records its level (RFC 1950)."""
PASSES = ((0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1))
"""First row, step down, first column and step to the right of each pass of Adam7 (PNG, 8.1)."""
UNPACKED_BYTES = 1 << 20
"""Bytes that are decompressed at once to be counted."""
BAND_BYTES = 4_000_000
"""Bytes of scan lines that are filtered at once."""
PAETH = 4
"""The number of Paeth's filter."""

CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
"""The chunks without which the pixels cannot be read (PNG, 5.6)."""
TEXTS = (b"tEXt", b"zTXt", b"iTXt")
ANIMATION = b"acTL"
OF_FRAMES = (b"fcTL", b"fdAT")
"""The chunks of an animation's frames beside those of a single picture."""

Chunk = tuple[bytes, bytes]
"""A chunk's name and data."""


RESTART = b"iDOT"
"""A chunk of Apple's that says where in the file the lower half of the pixels starts.

It holds no more when pixels are written again, and Apple's decoders read them by it.
"""


class StoredChunk(NamedTuple):
    """A chunk as a file holds it."""

    name: bytes
    content: memoryview
    sound: bool
    """Whether its checksum is right."""
    end: int
    """Where the next chunk starts."""


def header(data: memoryview | bytes) -> Header:
    """Read the header of a PNG file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels; of an animation, of all its frames in one picture.
    - Kept: Pillow's image, its pixels not decoded yet, or the frames of an animation.
    - Errors: Failure corrupt for a wrong checksum in a chunk of CRITICAL; whatever Pillow raises.
    """
    whole = sound_file(data)
    parts = list(chunks(whole))
    if any(name == ANIMATION for name, _ in parts):
        if not all(chunk.sound for chunk in stored_chunks(data) if chunk.name in OF_FRAMES):
            raise Failure("corrupt", "wrong checksum in a frame")
        width, height = struct.unpack_from(">2I", parts[0][1])
        try:
            frames = animated_png.stored_frames(parts)
        except ValueError as error:  # viewers show such a file as a single picture
            return Header(width, height, None, unsupported=f"PNG, {error}")
        if len(frames) > 1:
            return animated_png.header(frames, width, height, _exif_orientation(parts) == 1)
    return pillow_header(whole, "PNG")


def _exif_orientation(parts: list[Chunk]) -> int:
    """The EXIF orientation, read without decoding any pixel."""
    exif = Image.Exif()
    exif.load(next((content for name, content in parts if name == b"eXIf"), b""))
    return int(exif.get(ORIENTATION_TAG, 1))


def _reader(data: memoryview | bytes) -> animated_png.Reader:
    """What reads single frames of a file."""
    return animated_png.Reader(list(chunks(data)), lambda file: decode(pillow_header(file, "PNG"), file), assembled)


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of a PNG file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in its own bit depth, with a palette looked up.
    - Kept: the palette, the ICC profile and the EXIF orientation.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory; truncated also for
      pixels that end before the last row, of which decoders make empty rows.
    """
    if isinstance(header.source, list):
        return replace(animated_png.decode(header.source, _reader(data)), losses=_losses(data))
    file, depth, colour = load_pixels(header.source), int(data[24]), int(data[25])
    model: Model = "grey" if colour in (GREY, GREY_ALPHA) else "rgb"
    profile, note = profile_to_apply(file.info.get("icc_profile"), model)
    orientation = orientation_of(file)
    size = upright_size(header.width, header.height, orientation)
    mode = MODES.get((colour, depth)) or NAMES[colour] + ("" if depth == 8 or colour == PALETTE else f";{depth}")
    space = Space(model, 2**depth - 1 if colour != PALETTE else 255, profile)
    indexed = None
    stored: Samples
    transparent = next((content for name, content in chunks(data) if name == b"tRNS"), None)
    if colour == PALETTE:
        indexed = palette.indexed_of(file)
        stored = palette.looked_up(indexed)
        space = replace(space, alpha=stored.shape[2] == 4)
    elif depth == 16:
        stored = _sixteen_bits(data, header, colour)
    else:
        stored = _samples(file, space.peak)
    if data[28] or not (stored if indexed is None else indexed.indices)[-1].any():
        _check_rows(data, header.width, header.height, depth * CHANNELS[colour])
    if colour in (GREY_ALPHA, RGBA):
        space = replace(space, alpha=True)
    elif colour != PALETTE and transparent is not None and len(transparent) >= 2 * CHANNELS[colour]:
        key = struct.unpack_from(f">{CHANNELS[colour]}H", transparent)
        space = replace(space, key=tuple(sample & space.peak for sample in key))
    return Picture("PNG", mode, stored, space, orientation, size, indexed=indexed, note=note, losses=_losses(data))


def _losses(data: memoryview | bytes) -> tuple[str, ...]:
    """What the file holds that is not written again."""
    return tuple(
        f"wrong checksum in {chunk.name.decode('latin-1')}"
        for chunk in stored_chunks(data)
        if not chunk.sound and chunk.name not in TEXTS
    )


def _samples(file: Image.Image, peak: int) -> Pixels:
    """Samples of up to 8 bits, as stored: Pillow scales those of 2 and 4 bits to 8."""
    pixels = np.asarray(file).astype(np.uint8, copy=False)
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return pixels if peak in (1, 255) else pixels // np.uint8(255 // peak)


def _sixteen_bits(data: memoryview | bytes, header: Header, colour: int) -> Samples:
    """Samples of 16 bits, for most of which Pillow has no mode.

    OpenCV decodes them from a file without metadata. Raises Failure truncated or corrupt.
    """
    bare = assembled([chunk for chunk in chunks(data) if chunk[0] in (b"IHDR", b"IDAT", b"IEND")])
    with timed("codec"):
        pixels: Samples | None = cv2.imdecode(np.frombuffer(bare, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16:
        _check_rows(data, header.width, header.height, 16 * CHANNELS[colour])
        raise Failure("corrupt", "16-bit pixels cannot be decoded")
    if colour == GREY_ALPHA:
        return np.ascontiguousarray(pixels[:, :, [0, 3]])
    if colour == GREY:
        return pixels[:, :, None]
    order = [2, 1, 0] if colour == RGB else [2, 1, 0, 3]
    return np.ascontiguousarray(pixels[:, :, order])


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a PNG file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file, its pixels compressed at the level of the source.
    - Kept: every unchanged sample, bit depth, colour type, transparency, every other chunk but
      RESTART, and what follows the end chunk; a palette only as the module's docstring says.
    - Errors: ValueError if the palette cannot be written again.
    """
    if edited.picture.frames:
        return _animation(edited, source)
    depth, colour = int(source[24]), int(source[25])
    parts = list(chunks(source))
    indexed = edited.picture.indexed
    stored = edited.stored
    if indexed is not None:
        refitted = palette.refitted(indexed, edited, 256, palette.not_opaque(indexed.entries))
        if refitted is None:
            depth, colour = 8, RGB if stored.shape[2] == 3 else RGBA
            parts = _without_palette(parts, indexed, colour)
        else:
            depth = max(depth, palette.depth_of(len(refitted.entries)))
            parts = _with_entries(parts, refitted, len(indexed.entries))
            stored = refitted.indices[:, :, None]
    with timed("codec"):
        pixels = compressed(pack_rows(stored, depth), max(1, CHANNELS[colour] * depth // 8), _level(parts))
    shape = struct.pack(">IIBB", stored.shape[1], stored.shape[0], depth, colour)
    result = []
    for name, data in parts:
        if name == b"IHDR":
            result.append((name, shape + data[10:12] + b"\0"))
        elif name == b"IDAT" and pixels:
            result.append((name, pixels))
            pixels = b""
        elif name not in (b"IDAT", RESTART):
            result.append((name, data))
    return _ended(result, source)


def _level(parts: list[Chunk]) -> int:
    """The compression level of the pixels."""
    return LEVELS[next((data[1] >> 6 for name, data in parts if name == b"IDAT" and len(data) > 1), 2)]


def _ended(parts: list[Chunk], source: memoryview | bytes) -> bytes:
    """A file of the chunks with an end, and what follows the end of the source."""
    if parts[-1][0] != b"IEND":
        return assembled([*parts, (b"IEND", b"")])
    return assembled(parts) + bytes(source[max(chunk.end for chunk in stored_chunks(source)) :])


def _animation(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write edited frames. Frames keep their bytes only if all can keep the file's pixel format."""
    depth, colour, parts, reader = int(source[24]), int(source[25]), list(chunks(source)), _reader(source)
    frames = animated_png.stored_frames(parts)
    with timed("codec"):
        drawn, indexed = animated_png.redrawn(edited, frames, reader)
        before = reader.picture(frames[0]).indexed
        again = bool(source[28])
        if indexed is not None and before is not None:
            again = again or palette.depth_of(len(indexed.entries)) > depth
            depth = max(depth, palette.depth_of(len(indexed.entries)))
            parts = _with_entries(parts, indexed, len(before.entries))
        elif before is not None:
            depth, colour = 8, RGB if (before.entries[:, 3] == 255).all() else RGBA
            parts = _without_palette(parts, before, colour)
        if again:
            drawn = [new or animated_png.as_stored(old, reader) for new, old in zip(drawn, frames, strict=True)]
        step, level = max(1, CHANNELS[colour] * depth // 8), _level(parts)
        parts = animated_png.rebuilt(parts, frames, drawn, lambda samples: compressed(pack_rows(samples, depth), step, level))
    head = parts[0][1][:8] + bytes([depth, colour]) + parts[0][1][10:12] + b"\0"
    return _ended([(b"IHDR", head), *(chunk for chunk in parts[1:] if chunk[0] != RESTART)], source)


def laid(picture: Picture, data: bytes) -> Samples:
    """The frames of an animation as the pages of a picture. Raises Failure or ValueError."""
    whole = bytes(sound_file(data))
    return animated_png.laid(picture, animated_png.stored_frames(list(chunks(whole))), _reader(whole))


def _with_entries(parts: list[Chunk], indexed: Indexed, before: int) -> list[Chunk]:
    """The chunks with new palette entries; `before` is how many the source has.

    A histogram is dropped if their number changes. Raises ValueError for fewer entries.
    """
    if len(indexed.entries) < before:
        raise ValueError("a palette cannot lose entries")
    result = []
    for name, data in parts:
        if name != b"hIST" or len(indexed.entries) == before:
            result.append((name, indexed.entries[:, :3].tobytes() if name == b"PLTE" else data))
    return result


def _without_palette(parts: list[Chunk], indexed: Indexed, colour: int) -> list[Chunk]:
    """The chunks of a palette picture that becomes RGB or RGBA (`colour`)."""
    result = []
    for name, data in parts:
        if name == b"bKGD" and data and data[0] < len(indexed.entries):
            result.append((name, struct.pack(">3H", *indexed.entries[data[0], :3].tolist())))
        elif name == b"sBIT" and colour == RGBA:
            result.append((name, data + b"\x08"))
        elif name not in (b"PLTE", b"tRNS", b"hIST"):
            result.append((name, data))
    return result


def stored_chunks(data: memoryview | bytes) -> Iterator[StoredChunk]:
    """The chunks of a file up to its end chunk or the first cut one, damaged ones too.

    Pixels that are cut count, because they may be complete without the end of their chunk.
    """
    position, view = len(SIGNATURE), memoryview(data)
    while position + 8 <= len(view):
        end = position + 12 + int.from_bytes(view[position : position + 4], "big")
        if end > len(view):
            if bytes(view[position + 4 : position + 8]) == b"IDAT":
                yield StoredChunk(b"IDAT", view[position + 8 : end - 4], True, len(view))
            return
        name, checksum = bytes(view[position + 4 : position + 8]), int.from_bytes(view[end - 4 : end], "big")
        yield StoredChunk(name, view[position + 8 : end - 4], zlib.crc32(view[position + 4 : end - 4]) == checksum, end)
        if name == b"IEND":
            return
        position = end


def chunks(data: memoryview | bytes) -> Iterator[Chunk]:
    """The chunks of a file up to its end chunk or the first truncated one.

    Those with a wrong checksum are left out, as decoders do, unless they are texts or CRITICAL.
    """
    for chunk in stored_chunks(data):
        if chunk.sound or chunk.name in (*CRITICAL, *TEXTS):
            yield chunk.name, bytes(chunk.content)


def sound_file(data: memoryview | bytes) -> memoryview | bytes:
    """The file as `chunks` gives it with an end chunk, for decoders that refuse what viewers show.

    It is the same object if nothing is wrong. Raises Failure corrupt for a wrong checksum in a
    chunk of CRITICAL.
    """
    stored = list(stored_chunks(data))
    critical = next((chunk.name for chunk in stored if not chunk.sound and chunk.name in CRITICAL), None)
    if critical is not None:
        raise Failure("corrupt", f"wrong checksum in chunk {critical.decode()}")
    ended = bool(stored) and stored[-1].name == b"IEND"
    if ended and all(chunk.sound for chunk in stored):
        return data
    return assembled([*chunks(data), *([] if ended else [(b"IEND", b"")])])


def _check_rows(data: memoryview | bytes, width: int, height: int, bits: int) -> None:
    """Raise Failure truncated if pixels of `bits` bits each end before the last row."""
    passes = PASSES if data[28] else ((0, 1, 0, 1),)
    sizes = [(-(-(height - top) // down), -(-(width - left) // right)) for top, down, left, right in passes]
    wanted = sum(rows * ((columns * bits + 7) // 8 + 1) for rows, columns in sizes if rows > 0 and columns > 0)
    unpacker, found = zlib.decompressobj(), 0
    try:
        for name, content in chunks(data):
            pending = content if name == b"IDAT" else b""
            while pending and found < wanted:
                found += len(unpacker.decompress(pending, UNPACKED_BYTES))
                pending = unpacker.unconsumed_tail
        found += len(unpacker.flush()) if found < wanted else 0
    except zlib.error as error:
        raise Failure("corrupt", f"pixels: {error}") from None
    if found < wanted:
        raise Failure("truncated", f"the pixels have {found} of {wanted} bytes")


def framed(name: bytes, data: bytes) -> bytes:
    """A chunk as a file holds it, with its length and checksum."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def assembled(parts: list[Chunk]) -> bytes:
    """A file that consists of the chunks."""
    return SIGNATURE + b"".join(framed(name, data) for name, data in parts)


def pack_rows(stored: Samples, depth: int) -> Pixels:
    """Samples (height x width x channels) as the bytes of scan lines, uint8, height x bytes."""
    if depth == 16:
        return np.ascontiguousarray(stored, ">u2").view(np.uint8).reshape(stored.shape[0], -1)
    if depth == 8:
        return np.ascontiguousarray(stored, np.uint8).reshape(stored.shape[0], -1)
    bits = np.unpackbits(np.ascontiguousarray(stored, np.uint8).reshape(*stored.shape[:2], 1), axis=2)[:, :, -depth:]
    return np.packbits(bits.reshape(stored.shape[0], -1), axis=1)


def compressed(lines: Pixels, step: int, level: int) -> bytes:
    """Scan lines as the content of an IDAT chunk; a pixel takes `step` bytes, at least 1.

    Each line takes the filter with the smallest sum of absolute differences (PNG, 12.7).
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
    """Scan lines filtered, each with the best filter and preceded by the filter's number.

    The first line is only the one above the others and is left out of the result.
    """
    line, up = lines[1:], lines[:-1]
    left, corner = _shifted(line, step), _shifted(up, step)
    average = ((left.astype(np.int16) + up) >> 1).astype(np.uint8)
    candidates = [line, line - left, line - up, line - average, line - _paeth_predictor(left, up, corner)]
    costs = [np.abs(candidate.view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64) for candidate in candidates]
    best = np.argmin(costs, axis=0)
    result = np.empty((len(line), line.shape[1] + 1), np.uint8)
    result[:, 0] = best
    for number, candidate in enumerate(candidates):
        result[best == number, 1:] = candidate[best == number]
    return result


def paeth_filtered(lines: Pixels, step: int) -> Pixels:
    """Scan lines filtered as by `filtered`, but all by Paeth's filter, which is faster."""
    line, up = lines[1:], lines[:-1]
    result = np.full((len(line), line.shape[1] + 1), PAETH, np.uint8)
    result[:, 1:] = line - _paeth_predictor(_shifted(line, step), up, _shifted(up, step))
    return result


def _shifted(lines: Pixels, step: int) -> Pixels:
    """For every byte the one `step` bytes to its left; 0 at the left edge."""
    result = np.zeros_like(lines)
    result[:, step:] = lines[:, :-step]
    return result


def _paeth_predictor(left: Pixels, up: Pixels, corner: Pixels) -> Pixels:
    """The neighbour nearest to left + up - corner; ties go to left, then to up (PNG, 9.4)."""
    a, b, c = left.astype(np.int16), up.astype(np.int16), corner.astype(np.int16)
    to_left, to_up, to_corner = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    up_or_corner = np.where(to_up <= to_corner, up, corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, up_or_corner)
