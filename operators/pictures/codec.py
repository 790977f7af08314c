"""Encoded bytes to a picture and back, in the source's own format: the one door to
`operators.pictures.formats`.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

from operators.pictures.formats import bmp, gif, jpeg, png, tiff, webp
from operators.pictures.formats.header import Header, decoding_failure
from operators.pictures.picture import Edited, Picture
from operators.rows.failure import Failure
from operators.rows.table import Row

Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class Format:
    """How one file format is read and written."""

    signatures: tuple[bytes, ...]
    several: str
    """The failure code of a file of this format that holds more than one picture."""
    header: Callable[[memoryview | bytes], Header]
    decode: Callable[[Header, memoryview | bytes], Picture]
    encode: Callable[[Edited, memoryview | bytes], bytes]


FORMATS = {
    "JPEG": Format((b"\xff\xd8\xff",), "multi_page", jpeg.header, jpeg.decode, jpeg.encode),
    "PNG": Format((b"\x89PNG\r\n",), "animated", png.header, png.decode, png.encode),
    "WEBP": Format((b"RIFF",), "animated", webp.header, webp.decode, webp.encode),
    "TIFF": Format((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "multi_page", tiff.header, tiff.decode, tiff.encode),
    "GIF": Format((b"GIF8",), "animated", gif.header, gif.decode, gif.encode),
    "BMP": Format((b"BM",), "animated", bmp.header, bmp.decode, bmp.encode),
}
"""The formats that are edited: what starts with their signature and cannot be read is corrupt,
not another kind of file.
"""


@dataclass(frozen=True)
class Limits:
    """What a source may cost before it is delivered unedited."""

    max_pixels: int = 100_000_000
    max_bytes: int = 256 * 1024 * 1024


def read_header(data: memoryview | bytes, limits: Limits) -> tuple[Format, Header]:
    """The file's format and header, checked against the limits before any pixel is decoded.

    Raises Failure: file_empty, bytes_over_limit, not_an_image, corrupt, truncated,
    decompression_bomb, pixels_over_limit, animated, multi_page or mode_unsupported.
    """
    if len(data) == 0:
        raise Failure("file_empty", "0 bytes")
    if len(data) > limits.max_bytes:
        raise Failure("bytes_over_limit", f"{len(data)} bytes, limit {limits.max_bytes}")
    start = bytes(data[:8])
    format = next((format for format in FORMATS.values() if start.startswith(format.signatures)), None)
    if format is None:
        raise _unknown(data)
    try:
        header = format.header(data)
    except (UnidentifiedImageError, SyntaxError):
        raise Failure("corrupt", "no reader accepts its header") from None
    except Exception as error:
        raise decoding_failure(error) from error
    if header.width * header.height > limits.max_pixels:
        raise Failure("pixels_over_limit", f"{header.width} x {header.height} pixels, limit {limits.max_pixels}")
    if header.frames > 1:
        raise Failure(format.several, f"{header.frames} pictures")
    if header.unsupported:
        raise Failure("mode_unsupported", header.unsupported)
    return format, header


def _unknown(data: memoryview | bytes) -> Failure:
    """Why a file of none of the formats is not edited: it is no image, or one of another format."""
    try:
        format = Image.open(io.BytesIO(data)).format
    except UnidentifiedImageError:
        return Failure("not_an_image", "no reader accepts its header")
    except Exception as error:
        return decoding_failure(error)
    return Failure("mode_unsupported", f"{format} files are not edited")


def decode(data: memoryview | bytes, limits: Limits) -> Picture:
    """All pixels of a source. Raises Failure as `read_header` does, and truncated or corrupt for
    its pixel data.
    """
    format, header = read_header(data, limits)
    return format.decode(header, data)


def decode_reduced(data: memoryview | bytes, limits: Limits, factor: Callable[[int, int], float]) -> Picture | None:
    """A large JPEG at 1/2, 1/4 or 1/8 scale, no smaller than `factor(width, height)` times its
    size; None for all others.
    """
    format, header = read_header(data, limits)
    return jpeg.reduced(header, factor) if format is FORMATS["JPEG"] else None


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """An edited picture as a file of the source's format, with its metadata and its compression
    settings.

    What no edit changed is as it was: JPEG keeps its coefficients, lossless formats their
    samples, see `operators.pictures.formats`. Where no edit changed anything it is the source
    itself. Raises OSError or ValueError for what cannot be written again.
    """
    if not edited.changed.any():
        return bytes(source)
    return FORMATS[edited.picture.format].encode(edited, source)


class FrameCache:
    """The picture decoded last in this process, so that operators that follow one another decode
    once.
    """

    def __init__(self) -> None:
        self._key: tuple[str, Limits] | None = None
        self._picture: Picture | None = None

    def decode(self, sha256: str, data: memoryview | bytes, limits: Limits) -> Picture:
        """The decoded source with this checksum. Raises Failure as `decode` does."""
        if self._key != (sha256, limits) or self._picture is None:
            self._picture = None
            self._picture = decode(data, limits)
            self._key = (sha256, limits)
        return self._picture

    def picture(self, row: Row, limits: Limits) -> Picture:
        """The decoded source of a row. Raises Failure as `decode` does."""
        return self.decode(row["source_sha256"], row.data("bytes") or b"", limits)

    def at_least(self, sha256: str, data: memoryview | bytes, limits: Limits, factor: Callable[[int, int], float]) -> Picture:
        """The source at `factor` of its size or larger: a reduced decode where that is cheaper.
        Raises Failure.
        """
        return decode_reduced(data, limits, factor) or self.decode(sha256, data, limits)


FRAMES = FrameCache()
