"""WebP: every chunk of the source, unchanged and in order, around newly coded pixels (RFC 9649).

A lossless file stays lossless, including the colours under full transparency. A lossy one is
coded again as a whole, as finely as it was, see `operators.pictures.formats.vp8`. Animations are
in `operators.pictures.formats.animated_webp`.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from operators.pictures.colour import Space, profile_to_apply
from operators.pictures.formats import animated_webp, vp8
from operators.pictures.formats.header import Header, load_pixels, orientation_of, pillow_header
from operators.pictures.formats.webp_chunks import (
    HEAD,
    LOSSLESS_EFFORT,
    PIXELS,
    assembled,
    chunks,
    coded,
    frames_of,
    sub_chunks,
)
from operators.pictures.picture import Edited, Picture, upright_size
from operators.rows.timing import timed


def header(data: memoryview | bytes) -> Header:
    """Read the header of a WebP file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels; of an animation, of all its frames in one picture.
    - Kept: Pillow's image, its pixels not decoded yet, or the frames of an animation.
    - Errors: whatever Pillow raises; ValueError for a file that ends before its length says.
    """
    frames = frames_of(bytes(data))
    try:
        return animated_webp.header(bytes(data), frames) if len(frames) > 1 else pillow_header(data, "WEBP")
    except OSError as error:
        length = 8 + int.from_bytes(data[4:8], "little")
        if length > len(data):
            raise ValueError(f"truncated: {len(data)} of {length} bytes") from error
        raise


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of a WebP file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in RGB or RGBA.
    - Kept: the ICC profile and the EXIF orientation.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    if isinstance(header.source, list):
        return animated_webp.decode(header.source, bytes(data))
    file = load_pixels(header.source)
    profile, note = profile_to_apply(file.info.get("icc_profile"), "rgb")
    orientation = orientation_of(file)
    size = upright_size(header.width, header.height, orientation)
    space = Space("rgb", profile=profile, alpha=file.mode == "RGBA")
    return Picture("WEBP", file.mode, np.asarray(file), space, orientation, size, note=note)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a WebP file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file, lossless if the source is. The pixels of a lossy one take at most 5%
      more bytes, if any quality can achieve that.
    - Kept: every other chunk, and what follows them; every unchanged sample if the file is
      lossless.
    - Errors: OSError or ValueError if Pillow cannot write the pixels.
    """
    if edited.picture.frames:
        return animated_webp.encode(edited, bytes(source))
    parts = list(chunks(bytes(source)))
    image = Image.fromarray(edited.stored)

    def code(quality: int) -> tuple[bytes, bytes]:
        file = coded(image, lossless=False, quality=quality)
        return file, frame_of(file)

    with timed("codec"):
        if is_lossless(source):
            new = coded(image, lossless=True, quality=LOSSLESS_EFFORT)
        else:
            size = sum(len(data) for name, data in parts if name in PIXELS)
            new = vp8.coded_as_finely(frame_of(source), vp8.MOST_GROWTH * size, code)
    pixels = [chunk for chunk in chunks(new) if chunk[0] in PIXELS]
    result = []
    for name, data in parts:
        if name in PIXELS:
            result += pixels
            pixels = []
        else:
            result.append((name, data))
    return assembled(result) + bytes(source[8 + int.from_bytes(source[4:8], "little") :])


def frame_of(source: memoryview | bytes) -> bytes:
    """The frame of a lossy file; empty for a lossless one."""
    return next((data for name, data in chunks(bytes(source)) if name == b"VP8 "), b"")


def is_lossless(source: memoryview | bytes) -> bool:
    """Whether a file stores its pixels without loss, all frames of an animation.

    All chunks are searched, because the pixels may follow a profile of any length.
    """
    frames = frames_of(bytes(source))
    inner = [name for frame in frames for name, _ in sub_chunks(frame[HEAD:])]
    return b"VP8 " not in inner if inner else any(name == b"VP8L" for name, _ in chunks(bytes(source)))
