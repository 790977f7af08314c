"""What is known of a file before any of its pixels is decoded."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from PIL import Image

from operators.pictures.picture import TURNS
from operators.rows.failure import Failure
from operators.rows.timing import timed

ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Header:
    """A file's size in stored pixels and its number of pictures; `source` is what its format's
    module decodes from.
    """

    width: int
    height: int
    source: Any
    frames: int = 1
    unsupported: str | None = None
    """Why a file that is whole cannot be edited."""


def opened(data: memoryview | bytes, format: str) -> Header:
    """A file's header as Pillow reads it. Raises what Pillow raises."""
    file = Image.open(io.BytesIO(data), formats=[format])
    return Header(file.width, file.height, file, int(getattr(file, "n_frames", 1)))


def loaded(file: Image.Image) -> Image.Image:
    """The file with its pixels decoded. Raises Failure: truncated, corrupt, decompression_bomb or
    out_of_memory.
    """
    with timed("codec"):
        try:
            file.load()
        except Exception as error:
            raise decoding_failure(error) from error
    return file


def orientation_of(file: Image.Image) -> int:
    """The EXIF orientation, 1 where it is missing or out of range."""
    try:
        value = file.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if value in TURNS else 1


def decoding_failure(error: Exception) -> Failure:
    """The failure that an exception of a decoder amounts to."""
    if isinstance(error, Failure):
        return error
    text = str(error)
    if "Decompressed data too large" in text or "MAX_TEXT" in text:
        return Failure("decompression_bomb", text)
    if isinstance(error, MemoryError):
        return Failure("out_of_memory", "while decoding")
    if any(word in text.lower() for word in ("truncated", "unexpected end", "premature")):
        return Failure("truncated", text)
    return Failure("corrupt", f"{type(error).__name__}: {text}")
