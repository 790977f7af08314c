"""JPEG XL (ISO/IEC 18181): three ways to edit it, by what it holds.

- A file made of a JPEG without loss becomes that JPEG again, which is edited as any JPEG is, so
  that only the touched blocks change, and then a JPEG XL again, as small as before.
- A file coded without loss is written without loss.
- Another one is coded again as a whole, at the distance DISTANCE.

The boxes around the stream (EXIF, XMP, private ones) are kept. The package imagecodecs, an extra,
reads and writes the stream.
"""

from __future__ import annotations

import importlib.util
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from operators.pictures.colour import Space
from operators.pictures.formats import jpeg
from operators.pictures.formats.header import Header, decoding_failure
from operators.pictures.picture import Edited, Picture
from operators.rows.timing import timed

STREAM, CONTAINER = b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"
DISTANCE = 0.5
"""Butteraugli distance at which a lossy stream is written; 1 is hardly visible."""
STREAM_BOXES, JPEG_BOX = (b"jxlc", b"jxlp"), b"jbrd"
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
"""Width to height by number (18181-1, table A.3)."""


class Described(NamedTuple):
    """What a stream says of itself."""

    width: int
    height: int
    bits: int
    lossless: bool
    """Whether the samples are those of the picture, not of a space made for lossy coding."""
    frames: int
    unsupported: str | None


class Bits:
    """Bits of a stream from its third byte on, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self.value, self.position = int.from_bytes(data[2:130], "little"), 0

    def take(self, count: int) -> int:
        """The next bits as a number."""
        result = self.value >> self.position & ((1 << count) - 1)
        self.position += count
        return result

    def choose(self, *ways: tuple[int, int]) -> int:
        """A number in one of four ways: a start, and how many bits are added to it."""
        start, count = ways[self.take(2)]
        return start + self.take(count)

    def number_of_kind(self) -> int:
        """The number of a kind (`Enum`)."""
        return self.choose((0, 0), (1, 0), (2, 4), (18, 6))


def described(stream: bytes) -> Described:
    """Read the header of a stream (18181-1, annex A)."""
    bits = Bits(stream)
    width, height = _size(bits)
    if bits.take(1):
        return Described(width, height, 8, False, 1, None)
    frames = 1
    if bits.take(1):
        bits.take(3)
        if bits.take(1):
            _size(bits)
        if bits.take(1):
            return Described(width, height, 8, False, 1, "JPEG XL, a preview frame")
        frames += bits.take(1)
    if frames > 1:
        return Described(width, height, 8, False, frames, None)
    if bits.take(1):
        return Described(width, height, 32, False, frames, "JPEG XL, float samples")
    depth = bits.choose((8, 0), (10, 0), (12, 0), (1, 6))
    bits.take(1)
    extra = bits.choose((0, 0), (1, 0), (2, 4), (1, 12))
    if extra > 1 or (extra == 1 and not bits.take(1)):
        return Described(width, height, depth, False, frames, f"JPEG XL, {extra} extra channels")
    lossless = not bits.take(1)
    return Described(width, height, depth, lossless, frames, _colours(bits) if depth == 8 else f"JPEG XL, {depth} bits")


def _size(bits: Bits) -> tuple[int, int]:
    """Width and height."""
    small = bits.take(1)
    sides = ((1, 9), (1, 13), (1, 18), (1, 30))
    height = 8 * (1 + bits.take(5)) if small else bits.choose(*sides)
    ratio = bits.take(3)
    if ratio:
        across, down = RATIOS[ratio - 1]
        return height * across // down, height
    return (8 * (1 + bits.take(5)) if small else bits.choose(*sides)), height


def _colours(bits: Bits) -> str | None:
    """Why a stream's colours are unsupported; None if they are sRGB or grey like it."""
    if bits.take(1):
        return None
    if bits.take(1):
        return "JPEG XL, a colour profile in the stream"
    space = bits.number_of_kind()
    white = bits.number_of_kind() if space != 2 else 1
    primaries = bits.number_of_kind() if space == 0 and white == 1 else 1
    transfer = 0 if bits.take(1) else bits.number_of_kind()
    if (space, white, primaries, transfer) in ((0, 1, 1, 13), (1, 1, 1, 13)):
        return None
    return f"JPEG XL, colour space {space}, white point {white}, primaries {primaries}, transfer function {transfer}"


def header(data: memoryview | bytes) -> Header:
    """Read the header of a JPEG XL file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels, the number of frames, and why its samples or
      colours are unsupported.
    - Kept: the JPEG that the file was made of, with its header.
    - Errors: ValueError for a file without a stream; whatever imagecodecs raises.
    """
    content = bytes(data)
    found = described(_stream(content))
    if importlib.util.find_spec("imagecodecs") is None:
        unsupported = "JPEG XL files need imagecodecs: pip install 'cleanplate[jxl]'"
        return Header(found.width, found.height, None, unsupported=unsupported)
    if is_jpeg(content):
        inner = jpeg.header(jpeg_of(content))
        return replace(inner, source=(inner, jpeg_of(content)))
    return Header(found.width, found.height, None, found.frames, found.unsupported)


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the samples of a JPEG XL file, which its decoder turns upright.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in grey or RGB, with or without alpha, or as the JPEG has it.
    - Kept: what the JPEG keeps.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    if isinstance(header.source, tuple):
        inner, content = header.source
        return replace(jpeg.decode(inner, content), format="JXL")
    import imagecodecs

    try:
        with timed("codec"):
            stored = np.asarray(imagecodecs.jpegxl_decode(bytes(data), numthreads=1))
    except Exception as error:
        raise decoding_failure(error) from error
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    names = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
    space = Space("grey" if stored.shape[2] < 3 else "rgb", alpha=stored.shape[2] in (2, 4))
    return Picture("JXL", names[stored.shape[2]], stored, space, 1, (stored.shape[1], stored.shape[0]))


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a JPEG XL file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file, a bare stream if the source is one.
    - Kept: as the module's docstring says.
    - Errors: OSError, RuntimeError or ValueError if imagecodecs cannot write it.
    """
    import imagecodecs

    content = bytes(source)
    if is_jpeg(content):
        return bytes(imagecodecs.jpegxl_encode_jpeg(jpeg.encode(edited, jpeg_of(content))))
    lossless = described(_stream(content)).lossless
    options: dict[str, Any] = {"lossless": True} if lossless else {"distance": DISTANCE}
    stored = edited.stored
    with timed("codec"):
        stream = _stream(
            bytes(imagecodecs.jpegxl_encode(stored[:, :, 0] if stored.shape[2] == 1 else stored, numthreads=1, **options))
        )
    if content.startswith(STREAM):
        return stream
    parts = [(name, part) for name, part in boxes(content) if name not in STREAM_BOXES]
    place = next((number for number, (name, _) in enumerate(boxes(content)) if name in STREAM_BOXES), len(parts))
    parts.insert(place, (b"jxlc", stream))
    return b"".join(struct.pack(">I4s", 8 + len(part), name) + part for name, part in parts)


def is_lossless(data: memoryview | bytes) -> bool:
    """Whether an edit changes no sample outside of it; a file made of a JPEG is not lossless."""
    content = bytes(data)
    return not is_jpeg(content) and described(_stream(content)).lossless


def is_jpeg(data: bytes) -> bool:
    """Whether a file was made of a JPEG, which can be had again."""
    return data.startswith(CONTAINER) and any(name == JPEG_BOX for name, _ in boxes(data))


def jpeg_of(data: bytes) -> bytes:
    """The JPEG that a file was made of. Raises whatever imagecodecs raises."""
    import imagecodecs

    return bytes(imagecodecs.jpegxl_decode_jpeg(data, numthreads=1))


def _stream(data: bytes) -> bytes:
    """The stream, without its boxes. Raises ValueError if there is none."""
    if data.startswith(STREAM):
        return data
    parts = [part[4:] if name == b"jxlp" else part for name, part in boxes(data) if name in STREAM_BOXES]
    if not parts or not parts[0].startswith(STREAM):
        raise ValueError("truncated: no stream")
    return b"".join(parts)


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of every box; a box that is cut ends with the file."""
    position = 0
    while position + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1 and position + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, position + 8)
            start += 8
        end = len(data) if size == 0 else position + size
        if end < start:
            return
        yield name, data[start:end]
        position = end
