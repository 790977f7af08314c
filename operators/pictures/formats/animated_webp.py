"""Animated WebP: every chunk of the source, unchanged, but for the frames that must be drawn anew.

A frame that is drawn anew keeps its duration, what becomes of it, and whether it is lossless. A
lossy one is coded as finely as it was, see `operators.pictures.formats.vp8`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from PIL import Image

from operators.pictures.colour import Samples, Space, profile_to_apply
from operators.pictures.formats import animation, vp8
from operators.pictures.formats.animation import CLEAR, KEEP, Frame, Patch
from operators.pictures.formats.header import Header, decoding_failure, load_pixels, open_image, orientation_of
from operators.pictures.formats.webp_chunks import (
    FRAME,
    HEAD,
    LOSSLESS_EFFORT,
    PIXELS,
    assembled,
    chunks,
    coded,
    frames_of,
    sub_chunks,
)
from operators.pictures.pages import stacked
from operators.pictures.picture import Edited, Picture
from operators.rows.arrays import Pixels
from operators.rows.timing import timed

DISPOSE, REPLACE = 1, 2
"""Flags of a frame: its rectangle becomes clear after it, and it is not blended."""
ALPHA = 0x10
"""The flag of a file whose pictures are not opaque."""


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of the canvas. Raises ValueError for a file without them."""
    head = next((content for name, content in chunks(data) if name == b"VP8X"), b"")
    if len(head) < 10:
        raise ValueError("an animation without a canvas")
    return 1 + int.from_bytes(head[4:7], "little"), 1 + int.from_bytes(head[7:10], "little")


def header(data: bytes, frames: list[bytes]) -> Header:
    """The header of a WebP with several frames; see `operators.pictures.formats.webp.header`."""
    width, height = size_of(data)
    upright = orientation_of(open_image(data, "WEBP")) == 1
    beyond = any(left + across > width or top + down > height for left, top, across, down in map(_rectangle, frames))
    reason = "WebP, a frame beyond the canvas" if beyond else None if upright else "WebP, an animation that is not upright"
    pages = stacked([(height, width)] * len(frames))
    first = Header(width, height, frames[:1], unsupported=reason)
    return Header(width, pages[-1].top + height, frames, unsupported=reason, first=first)


def _rectangle(frame: bytes) -> tuple[int, int, int, int]:
    """Left, top, width and height of a frame."""
    left, top, width, height = (int.from_bytes(frame[place : place + 3], "little") for place in (0, 3, 6, 9))
    return 2 * left, 2 * top, 1 + width, 1 + height


def decode(frames: list[bytes], data: bytes) -> Picture:
    """The picture of the frames. Raises Failure truncated or corrupt."""
    profile, note = profile_to_apply(next((content for name, content in chunks(data) if name == b"ICCP"), None), "rgb")
    picture = animation.sheet("WEBP", "RGB", Space("rgb", profile=profile), views_of(data, frames), note)
    return replace(picture, mode="RGBA") if picture.space.alpha else picture


def views_of(data: bytes, frames: list[bytes]) -> Iterator[Pixels]:
    """What a viewer shows of each frame, uint8 RGBA. Raises Failure."""
    width, height = size_of(data)
    with timed("codec"):
        yield from animation.shown(map(_frame, frames), height, width, 255)


def _frame(content: bytes) -> Frame:
    left, top, width, height = _rectangle(content)
    parts = [(name, part) for name, part in sub_chunks(content[HEAD:]) if name in PIXELS]
    if any(name == b"ALPH" for name, _ in parts):
        size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        parts = [(b"VP8X", bytes([ALPHA, 0, 0, 0]) + size), *parts]
    try:
        pixels = np.asarray(load_pixels(open_image(assembled(parts), "WEBP")).convert("RGBA"))
    except Exception as error:
        raise decoding_failure(error) from error
    if pixels.shape[:2] != (height, width):
        raise decoding_failure(ValueError(f"a frame of {pixels.shape[1]} x {pixels.shape[0]} instead of {width} x {height}"))
    disposal = CLEAR if content[15] & DISPOSE else KEEP
    return Frame(left, top, pixels, not content[15] & REPLACE, disposal)


def encode(edited: Edited, source: bytes) -> bytes:
    """The source with the frames drawn anew that must be. Raises OSError or ValueError."""
    contents = frames_of(source)
    views = animation.views_of(edited, list(views_of(source, contents)))
    with timed("codec"):
        patches = list(animation.patches(map(_frame, contents), views, 255, even=True))
        new = [content if patch is None else _redrawn(content, patch) for content, patch in zip(contents, patches, strict=True)]
    waiting, parts = iter(new), []
    for name, content in chunks(source):
        parts.append((name, next(waiting) if name == FRAME and len(content) > HEAD else content))
    if any(patch is not None and (patch.pixels[:, :, 3] < 255).any() for patch in patches):
        parts = [(name, bytes([part[0] | ALPHA]) + part[1:] if name == b"VP8X" else part) for name, part in parts]
    return assembled(parts) + source[8 + int.from_bytes(source[4:8], "little") :]


def _redrawn(content: bytes, patch: Patch) -> bytes:
    """The content of a frame that draws a patch and blends nothing."""
    parts = list(sub_chunks(content[HEAD:]))
    opaque = bool((patch.pixels[:, :, 3] == 255).all())
    image = Image.fromarray(np.ascontiguousarray(patch.pixels[:, :, : 3 if opaque else 4]))

    def code(quality: int) -> tuple[bytes, bytes]:
        file = coded(image, lossless=False, quality=quality)
        return file, next((part for name, part in chunks(file) if name == b"VP8 "), b"")

    old = next((part for name, part in parts if name == b"VP8 "), b"")
    if old:
        _, _, width, height = _rectangle(content)
        size = sum(len(part) for name, part in parts if name in PIXELS)
        growth = vp8.MOST_GROWTH * patch.wrong.size / (width * height)
        file = vp8.coded_as_finely(old, growth * size, code)
    else:
        file = coded(image, lossless=True, quality=LOSSLESS_EFFORT)
    height, width = patch.wrong.shape
    numbers = (patch.left // 2, patch.top // 2, width - 1, height - 1)
    head = b"".join(number.to_bytes(3, "little") for number in numbers) + content[12:15] + bytes([content[15] | REPLACE])
    pixels = [(name, part) for name, part in chunks(file) if name in PIXELS]
    others = [(name, part) for name, part in parts if name not in PIXELS]
    return head + assembled([*pixels, *others])[12:]


def laid(picture: Picture, data: bytes) -> Samples:
    """The frames of a file as the pages of a picture. Raises Failure or ValueError."""
    return animation.laid(picture, list(views_of(data, frames_of(data))))
