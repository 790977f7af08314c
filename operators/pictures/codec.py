"""Decode encoded bytes to a picture and encode it again in the format of its source.

This module is the only entrance to `operators.pictures.formats`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from PIL import UnidentifiedImageError

from operators.pictures.burden import FIRST_PAGE, Limits, check_burden
from operators.pictures.formats import bmp, gif, iso_media, jpeg, jpeg2000, jpeg_xl, png, tiff, webp
from operators.pictures.formats.header import Header, decoding_failure, lift_pillow_limit, open_image
from operators.pictures.picture import Edited, Picture
from operators.pictures.previews.files import swept
from operators.pictures.previews.sweep import REDRAW, Sweep
from operators.rows.deadline import decoding_deadline
from operators.rows.failure import Failure
from operators.rows.signatures import picture_kind
from operators.rows.table import Row
from operators.rows.timing import timed

__all__ = ["FORMATS", "FRAME_CACHE", "Format", "FrameCache", "Limits", "decode", "decode_reduced", "encode", "read_header"]


@dataclass(frozen=True)
class Format:
    """How one file format is read and written.

    A format is a module of `operators.pictures.formats` with the functions `header`, `decode` and
    `encode`, and an entry in FORMATS under the name that its pictures have as `Picture.format`.
    """

    extension: str
    """Ending of a file name that has none yet, such as `.jpg`."""
    signatures: tuple[bytes, ...]
    """Leading bytes that identify the format, at most 12 each; one of them is enough.

    Those that start with `ftyp` follow the first four bytes, which are a length.
    """
    multiple_code: str
    """Failure code for a file that holds more than one picture: animated or multi_page."""
    header: Callable[[memoryview | bytes], Header]
    """`header(data)` reads a file's header without decoding any pixel.

    - Arguments: `data`, the whole file, which starts with one of the signatures; its size in
      bytes is within the limits, its size in pixels is not known yet.
    - Result: width and height in stored pixels, the number of pictures, and the reason why an
      intact file cannot be edited without loss, if there is one. `read_header` compares them with
      the limits and refuses what is too large, has several pictures or is unsupported.
    - Kept: in `source`, whatever `decode` needs to go on.
    - Errors: any Exception for a file that cannot be read. `read_header` turns
      UnidentifiedImageError and SyntaxError into Failure corrupt, and every other one into the
      Failure that `decoding_failure` chooses.
    """
    decode: Callable[[Header, memoryview | bytes], Picture]
    """`decode(header, data)` decodes the whole picture.

    - Arguments: the result of `header(data)`, which `read_header` has accepted and which serves
      one call only, and the same `data`.
    - Result: the picture with its samples as stored: not turned, not converted to another colour
      space or depth, a palette looked up. `format` is the key in FORMATS, and `size` is upright.
    - Kept: everything that `encode` cannot read from the file again, such as the palette in
      `indexed`; a colour profile that cannot be applied is left out of `space` and named in
      `note`.
    - Errors: Failure, with the code truncated, corrupt, decompression_bomb or out_of_memory.
    """
    encode: Callable[[Edited, memoryview | bytes], bytes]
    """`encode(edited, source)` writes an edited picture as a file of the same format.

    - Arguments: the edited picture, at least one of whose pixels changed, and the whole file from
      which `decode` made the picture. Neither is modified.
    - Result: the new file. The same arguments give the same bytes.
    - Kept: metadata, colour profile, orientation and compression settings; a lossless format
      keeps every unchanged sample, a lossy one as much as its coding allows. Previews are not the
      format's affair: `encode_with_notes` sweeps the whole file, see FILES in
      `operators.pictures.previews.files`.
    - Errors: OSError or ValueError for a file that cannot be written again.
    """


FORMATS = {
    "JPEG": Format(".jpg", (b"\xff\xd8\xff",), "multi_page", jpeg.header, jpeg.decode, jpeg.encode),
    "PNG": Format(".png", (b"\x89PNG\r\n",), "animated", png.header, png.decode, png.encode),
    "WEBP": Format(".webp", (b"RIFF",), "animated", webp.header, webp.decode, webp.encode),
    "TIFF": Format(".tif", (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), "multi_page", tiff.header, tiff.decode, tiff.encode),
    "GIF": Format(".gif", (b"GIF8",), "animated", gif.header, gif.decode, gif.encode),
    "BMP": Format(".bmp", (b"BM",), "animated", bmp.header, bmp.decode, bmp.encode),
    "AVIF": Format(
        ".avif",
        (b"ftypavif", b"ftypavis"),
        "animated",
        iso_media.avif_header,
        iso_media.decode_avif,
        iso_media.encode_avif,
    ),
    "HEIC": Format(
        ".heic",
        (b"ftypheic", b"ftypheix", b"ftypheim", b"ftypheis", b"ftyphevc", b"ftyphevx", b"ftypmif1", b"ftypmsf1"),
        "multi_page",
        iso_media.heic_header,
        iso_media.decode_heic,
        iso_media.encode_heic,
    ),
    "JXL": Format(".jxl", (jpeg_xl.STREAM, jpeg_xl.CONTAINER), "animated", jpeg_xl.header, jpeg_xl.decode, jpeg_xl.encode),
    "JPEG2000": Format(
        ".jp2", (b"\0\0\0\x0cjP  \r\n\x87\n", jpeg2000.STREAM), "multi_page", jpeg2000.header, jpeg2000.decode, jpeg2000.encode
    ),
}
"""The formats that are edited, by Pillow's names where it has one.

A file that starts with one of their signatures and cannot be read is corrupt, not another kind of
file.
"""


def read_header(data: memoryview | bytes, limits: Limits) -> tuple[Format, Header]:
    """Read a file's format and header and check them before any pixel is decoded.

    Raises Failure: file_empty, bytes_over_limit, not_an_image, corrupt, truncated,
    decompression_bomb, out_of_memory, pixels_over_limit, scans_over_limit, frames_over_limit,
    directories_over_limit, animated, multi_page or mode_unsupported.
    """
    if len(data) == 0:
        raise Failure("file_empty", "0 bytes")
    if len(data) > limits.max_bytes:
        raise Failure("bytes_over_limit", f"{len(data)} bytes, limit {limits.max_bytes}")
    check_burden(data, limits)
    with decoding_deadline(limits.max_decode_seconds):
        return _read_header(data, limits)


def _read_header(data: memoryview | bytes, limits: Limits) -> tuple[Format, Header]:
    lift_pillow_limit()
    format = format_of(data)
    if format is None:
        raise _unknown_format(data)
    try:
        header = format.header(data)
    except (UnidentifiedImageError, SyntaxError):
        raise Failure("corrupt", "no reader accepts its header") from None
    except Exception as error:
        raise decoding_failure(error) from error
    if limits.pages == FIRST_PAGE and header.first is not None:
        header = header.first
    if header.width * header.height > limits.max_pixels:
        several = "" if header.first is None else ", all pages or frames in one picture"
        raise Failure("pixels_over_limit", f"{header.width} x {header.height} pixels{several}, limit {limits.max_pixels}")
    if header.frames > 1:
        raise Failure(format.multiple_code, f"{header.frames} pictures")
    if header.unsupported:
        raise Failure("mode_unsupported", header.unsupported)
    return format, header


def format_of(data: memoryview | bytes) -> Format | None:
    """The format whose signature the data starts with; None for another one."""
    start = bytes(data[:12])
    start = start[4:] if start[4:8] == b"ftyp" else start
    return next((format for format in FORMATS.values() if start.startswith(format.signatures)), None)


def _unknown_format(data: memoryview | bytes) -> Failure:
    """The failure of a file without a known signature.

    The code is not_an_image, mode_unsupported for a format that is not edited, or that of
    `decoding_failure`.
    """
    kind = picture_kind(data)
    if kind is not None and kind not in FORMATS:
        return Failure("mode_unsupported", f"{kind} files are not edited")
    try:
        format = open_image(data).format
    except UnidentifiedImageError:
        return Failure("not_an_image", "no reader accepts its header")
    except Exception as error:
        return decoding_failure(error)
    return Failure("mode_unsupported", f"{format} files are not edited")


def decode(data: memoryview | bytes, limits: Limits) -> Picture:
    """Decode all pixels of a source.

    Raises Failure as `read_header` does, and truncated or corrupt for its pixel data.
    """
    format, header = read_header(data, limits)
    with decoding_deadline(limits.max_decode_seconds):
        return format.decode(header, data)


def decode_reduced(data: memoryview | bytes, limits: Limits, factor: Callable[[int, int], float]) -> Picture | None:
    """Decode a large JPEG at 1/2, 1/4 or 1/8 scale; None for every other source.

    The result is at least `factor(width, height)` times the stored size. Raises Failure as
    `decode` does.
    """
    format, header = read_header(data, limits)
    with decoding_deadline(limits.max_decode_seconds):
        return jpeg.decode_reduced(header, data, factor) if format is FORMATS["JPEG"] else None


class Encoded(NamedTuple):
    """An edited picture as a file."""

    data: bytes
    notes: list[str]
    """What was done to the file besides the edit, one line each, see `operators.rows.schema`."""


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """The file of `encode_with_notes`, with previews drawn again where they can be."""
    return encode_with_notes(edited, source).data


def encode_with_notes(edited: Edited, source: memoryview | bytes, previews: str = REDRAW) -> Encoded:
    """Encode an edited picture in its source's format, metadata and compression settings.

    Unedited content is preserved: JPEG keeps its coefficients, lossless formats their samples,
    see `operators.pictures.formats`. Second pictures in the file are swept by the policy
    `previews`, see `operators.pictures.previews`. If no pixel changed, the result is the source
    itself. Raises OSError or ValueError for a file that cannot be written again.
    """
    if not edited.changed.any():
        return Encoded(bytes(source), [])
    try:
        data = FORMATS[edited.picture.format].encode(edited, source)
        with timed("codec"):
            sweep = Sweep(edited.preview, previews, edited=edited)
            if edited.picture.format in ("AVIF", "HEIC") and iso_media.has_manifest(bytes(source)):
                sweep.note("c2pa_removed")
            notes = [f"not_kept: {loss}" for loss in edited.picture.losses]
            return Encoded(swept(edited.picture.format, data, sweep), [*notes, *sweep.notes])
    except RuntimeError as error:  # what pillow-heif and imagecodecs raise
        raise ValueError(str(error)) from error


class FrameCache:
    """A cache of one decoded picture, so that consecutive operators decode it once.

    It is not safe for use by several threads.
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

    def decode_at_least(
        self, sha256: str, data: memoryview | bytes, limits: Limits, factor: Callable[[int, int], float]
    ) -> Picture:
        """The source at `factor(width, height)` times its size or larger.

        A large JPEG is decoded at reduced scale, which is cheaper and is not cached. Raises
        Failure as `decode` does.
        """
        return decode_reduced(data, limits, factor) or self.decode(sha256, data, limits)


FRAME_CACHE = FrameCache()
"""The cache that all operators of a process share."""
