"""JPEG 2000 (ISO/IEC 15444-1): every box of the source around a newly coded stream.

A stream with the reversible transform is written without loss. Another one is coded again as a
whole, at QUALITY, with its tiles and levels. Pillow, which contains OpenJPEG, reads and writes
the samples.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, Jpeg2KImagePlugin

from operators.pictures.colour import Model, Space, profile_to_apply
from operators.pictures.formats.header import Header, load_pixels
from operators.pictures.picture import Edited, Picture
from operators.rows.failure import Failure
from operators.rows.timing import timed

STREAM = b"\xff\x4f\xff\x51"
"""How a stream starts: its own marker and that of its sizes."""
QUALITY = 50.0
"""Peak signal-to-noise ratio in decibels at which a lossy stream is written."""
CODING_STYLE, START_OF_TILE, END = 0xFF52, 0xFF90, b"\xff\xd9"
GREY_OR_SRGB = (16, 17)
"""Colour spaces by number: sRGB and grey."""


class Coding(NamedTuple):
    """How a stream is coded."""

    reversible: bool
    """Whether the wavelet transform loses nothing."""
    levels: int
    """Decompositions of the wavelet transform."""
    colour_transform: bool
    tile: tuple[int, int]
    """Width and height of a tile; at least the picture's if there is one tile."""


def header(data: memoryview | bytes) -> Header:
    """Read the header of a JPEG 2000 file or bare stream.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels, and why its components or colours are
      unsupported.
    - Kept: Pillow's image, its pixels not decoded yet.
    - Errors: whatever Pillow raises; ValueError for a damaged stream and for a file that ends
      early.
    """
    content = bytes(data)
    try:
        file = Jpeg2KImagePlugin.Jpeg2KImageFile(io.BytesIO(content))
    except (OSError, SyntaxError) as error:
        if ends_early(content):
            raise ValueError(f"truncated: {len(content)} bytes") from error
        raise
    stream = _stream(content)
    width, height, left, top = struct.unpack_from(">4I", stream, 8)
    (components,) = struct.unpack_from(">H", stream, 40)
    kinds = {stream[42 + 3 * number : 45 + 3 * number] for number in range(components)}
    if (left, top) == (0, 0) and file.size != (width, height):
        # The decoder would reserve memory for what the file's own header says.
        raise ValueError(f"{file.size} pixels by its header, {(width, height)} by its stream")
    unsupported = None
    if kinds != {b"\x07\x01\x01"} or (left, top) != (0, 0):
        unsupported = "JPEG 2000, components of other than 8 bits or the picture's size"
    elif file.mode not in ("L", "LA", "RGB", "RGBA") or len(file.mode) != components:
        unsupported = f"JPEG 2000, {components} components of mode {file.mode}"
    elif _colours(content) is not None:
        unsupported = _colours(content)
    return Header(width, height, file, unsupported=unsupported)


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the samples of a JPEG 2000 file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in grey or RGB, with or without alpha.
    - Kept: the ICC profile.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    try:
        file = load_pixels(header.source)
    except Failure as failure:
        if failure.code == "corrupt" and ends_early(bytes(data)):
            raise Failure("truncated", f"{len(data)} bytes") from failure
        raise
    stored = np.asarray(file)
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    model: Model = "grey" if stored.shape[2] < 3 else "rgb"
    profile, note = profile_to_apply(profile_of(bytes(data)), model)
    space = Space(model, profile=profile, alpha=stored.shape[2] in (2, 4))
    return Picture("JPEG2000", file.mode, stored, space, 1, (header.width, header.height), note=note)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a JPEG 2000 file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file, a bare stream if the source is one.
    - Kept: every box but the stream; every unchanged sample if the stream is reversible.
    - Errors: OSError or ValueError for a damaged file.
    """
    content, stored = bytes(source), edited.stored
    coding = coding_of(content)
    image = Image.fromarray(stored[:, :, 0] if stored.shape[2] == 1 else stored)
    buffer = io.BytesIO()
    tiled = coding.tile[0] < image.width or coding.tile[1] < image.height
    options: dict[str, Any] = {} if coding.reversible else {"quality_mode": "dB", "quality_layers": [QUALITY]}
    with timed("codec"):
        image.save(
            buffer,
            "JPEG2000",
            no_jp2=True,
            irreversible=not coding.reversible,
            num_resolutions=levels_of(coding, image.width, image.height) + 1,
            mct=int(coding.colour_transform),
            tile_size=coding.tile if tiled else None,
            **options,
        )
    stream = buffer.getvalue()
    if content.startswith(STREAM):
        return stream
    result = b""
    for name, start, end in boxes(content):
        if name != b"jp2c":
            result += content[start:end]
        else:
            result += struct.pack(">I4s", 8 + len(stream), b"jp2c") + stream
    return result


def coding_of(data: bytes) -> Coding:
    """How a file's stream is coded. Raises ValueError for a damaged stream."""
    stream = _stream(data)
    tile = struct.unpack_from(">2I", stream, 24)
    position = 2
    while position + 4 <= len(stream):
        marker, length = struct.unpack_from(">HH", stream, position)
        if marker == CODING_STYLE and length >= 12:
            mixed, levels, transform = stream[position + 8], stream[position + 9], stream[position + 13]
            return Coding(transform == 1, levels, mixed == 1, tile)
        if marker == START_OF_TILE:
            break
        position += 2 + length
    raise ValueError("a stream without its coding style")


def levels_of(coding: Coding, width: int, height: int) -> int:
    """How often the tiles of a width x height picture can be halved.

    OpenJPEG ends the process if an irreversible transform halves fewer than two samples, as in a
    narrow last tile.
    """
    if coding.reversible:
        return coding.levels
    sides = ((width, coding.tile[0]), (height, coding.tile[1]))
    spans = [(start, min(start + tile, side)) for side, tile in sides for start in range(0, side, tile)]
    levels = 0
    while levels < coding.levels and all(-(-end >> levels) - -(-start >> levels) > 1 for start, end in spans):
        levels += 1
    return levels


def _stream(data: bytes) -> bytes:
    """The first stream of a file. Raises ValueError if it is missing or cut in its sizes."""
    if not data.startswith(STREAM):
        spans = [(start, end) for name, start, end in boxes(data) if name == b"jp2c"]
        data = data[spans[0][0] : spans[0][1]] if spans else b""
        data = data[max(0, data.find(STREAM)) :]
    if len(data) < 42 or not data.startswith(STREAM):
        raise ValueError("truncated: no stream")
    return data


def ends_early(data: bytes) -> bool:
    """Whether a file ends before its boxes, or the parts of its tiles, say that it does."""
    if not data.startswith(STREAM):
        position, streams = 0, list[int]()
        while position + 8 <= len(data):
            size, name = struct.unpack_from(">I4s", data, position)
            if size == 1 and position + 16 <= len(data):
                (size,) = struct.unpack_from(">Q", data, position + 8)
            if name == b"jp2c":
                streams.append(position + 8)
            if size < 8:
                break
            position += size
        if position > len(data) or not streams:
            return position >= len(data)
        data = data[max(0, data.find(STREAM, streams[0])) :]
    return data.startswith(STREAM) and _stream_ends_early(data)


def _stream_ends_early(stream: bytes) -> bool:
    """Whether a stream ends in a segment, in a part of a tile, or without its end marker."""
    position = len(STREAM) - 2
    while position + 4 <= len(stream):
        marker, length = struct.unpack_from(">HH", stream, position)
        if marker == START_OF_TILE and position + 12 <= len(stream):
            (length,) = struct.unpack_from(">I", stream, position + 6)
            if length == 0:  # up to the end of the stream
                return not stream.endswith(END)
            position += length
        elif stream[position : position + 2] == END or marker < 0xFF00 or length < 2:
            return False
        else:
            position += 2 + length
    rest = stream[position:]
    return rest[:2] != END and rest[:1] in (b"", b"\xff")


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and end of every box between two places."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        size, name = struct.unpack_from(">I4s", data, start)
        if size == 1 and start + 16 <= end:
            (size,) = struct.unpack_from(">Q", data, start + 8)
        last = end if size == 0 else min(end, start + size)
        if last < start + 8:
            return
        yield name, start, last
        start = last


def _header_boxes(data: bytes, name: bytes) -> list[bytes]:
    """The contents of the boxes of a name inside the header box."""
    parents = [(start + 8, end) for box, start, end in boxes(data) if box == b"jp2h"]
    return [data[start + 8 : end] for parent in parents for box, start, end in boxes(data, *parent) if box == name]


def _colours(data: bytes) -> str | None:
    """Why a file's colours are unsupported; None if they are grey, sRGB or by an ICC profile."""
    if _header_boxes(data, b"pclr"):
        return "JPEG 2000, a palette"
    boxes = _header_boxes(data, b"colr")
    spaces = [int.from_bytes(box[3:7], "big") for box in boxes[:1] if box[:1] == b"\1"]
    foreign = [space for space in spaces if space not in GREY_OR_SRGB]
    return f"JPEG 2000, colour space {foreign[0]}" if foreign else None


def profile_of(data: bytes) -> bytes | None:
    """The ICC profile; None without one."""
    return next((box[3:] for box in _header_boxes(data, b"colr") if box[:1] in (b"\2", b"\3")), None)
