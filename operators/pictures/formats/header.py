"""What is known of a file before any of its pixels is decoded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image, PngImagePlugin

from operators.pictures.picture import TURNS
from operators.rows.failure import Failure
from operators.rows.timing import timed

ORIENTATION_TAG = 0x0112
LARGEST_TEXT = 2**31 - 1
"""The largest number that zlib takes as the limit of a result."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself before any pixel is decoded."""

    width: int
    """Width in stored pixels, before the orientation turns them."""
    height: int
    source: Any
    """Whatever the `decode` of the same format module needs; its type is the module's affair."""
    frames: int = 1
    """How many pictures the file holds."""
    unsupported: str | None = None
    """Why an intact file cannot be edited; None if it can."""
    first: Header | None = None
    """The header of the first page or frame alone, for a file of several that are edited alike."""


def lift_pillow_limit() -> None:
    """Let Pillow open pictures of any size, with texts of any length, in this process.

    Pillow warns above `Image.MAX_IMAGE_PIXELS` (89 megapixels unless changed) and refuses
    pictures of twice that. A run sets its own limit, `Limits.max_pixels`, which may be higher and
    which `read_header` checks before any pixel is decoded; so Pillow's limit would only reject
    pictures that the run allows. Pillow has one setting for the whole process and all its
    threads. Therefore decoding lifts the limit when it opens a file, importing a module leaves it
    alone, and it is never set back, because another thread may be decoding. The same holds for
    its limits of a PNG's texts, in whose place stands `Limits.max_metadata_bytes`.
    """
    Image.MAX_IMAGE_PIXELS = None
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = LARGEST_TEXT


def open_image(data: memoryview | bytes, *formats: str) -> Image.Image:
    """Open a file in Pillow, whatever its size, without decoding it.

    With `formats`, only these are tried. Raises what Pillow raises.
    """
    lift_pillow_limit()
    return Image.open(io.BytesIO(data), formats=formats or None)


def pillow_header(data: memoryview | bytes, format: str) -> Header:
    """A file's header as Pillow reads it. Raises what Pillow raises."""
    file = open_image(data, format)
    return Header(file.width, file.height, file, int(getattr(file, "n_frames", 1)))


def load_pixels(file: Image.Image) -> Image.Image:
    """Decode the pixels of an opened file and return the same file.

    Raises Failure: truncated, corrupt, decompression_bomb or out_of_memory.
    """
    with timed("codec"):
        try:
            file.load()
        except Exception as error:
            raise decoding_failure(error) from error
    return file


def orientation_of(file: Image.Image) -> int:
    """The EXIF orientation (1..8); 1 if it is missing, unreadable or out of range."""
    try:
        value = file.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if value in TURNS else 1


def decoding_failure(error: Exception) -> Failure:
    """The Failure that corresponds to an exception of a decoder.

    Its code is decompression_bomb, out_of_memory, truncated or corrupt; a Failure is returned
    unchanged.
    """
    if isinstance(error, Failure):
        return error
    text = str(error)
    if "Decompressed data too large" in text or "MAX_TEXT" in text:
        return Failure("decompression_bomb", text)
    if isinstance(error, MemoryError):
        return Failure("out_of_memory", "while decoding")
    if any(word in text.lower() for word in ("truncated", "unexpected end", "premature", "need_more_input")):
        return Failure("truncated", text)
    return Failure("corrupt", f"{type(error).__name__}: {text}")
