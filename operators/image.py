"""Encoded bytes to pixels and back, in the source's own format, mode and orientation.

A `Picture` keeps the stored pixels as they are in the file; operators see it upright and in 8-bit RGB, and edits come
back as soft replacements of upright rectangles. What no edit weighs keeps its value exactly.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, PngImagePlugin, TiffImagePlugin, UnidentifiedImageError

from operators.clock import spent_in
from operators.failure import Failure
from operators.jpeg import rewritten
from operators.table import Pixels

Image.MAX_IMAGE_PIXELS = None

EDITABLE_MODES = ("L", "LA", "RGB", "RGBA", "P")
ORIENTATION_TAG = 0x0112
TURNED_WHEN_LOADED = ("TIFF",)
"""Formats whose pixels the decoder turns upright itself."""
TIFF_LAYOUT_TAGS = (256, 257, 258, 259, 262, 273, 277, 278, 279, 284, 317, 322, 323, 324, 325, 338, 339)
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"GIF8", b"RIFF", b"II*\0", b"MM\0*", b"BM")
"""First bytes of the formats that are edited: what starts so and cannot be opened is corrupt, not another kind of file."""

TURNS: dict[int, tuple[bool, int, int]] = {
    1: (False, 1, 1),
    2: (False, 1, -1),
    3: (False, -1, -1),
    4: (False, -1, 1),
    5: (True, 1, 1),
    6: (True, 1, -1),
    7: (True, -1, -1),
    8: (True, -1, 1),
}
"""EXIF orientation to (axes swapped, step down, step right): how stored pixels are viewed upright (EXIF 2.32, tag 0x0112)."""


@dataclass(frozen=True)
class Limits:
    """What a source may cost before it is delivered unedited."""

    max_pixels: int = 100_000_000
    max_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True)
class Edit:
    """A soft replacement: `fill` (uint8 sRGB height x width x 3) with `weight` (0..1) at the upright corner (x, y)."""

    x: int
    y: int
    fill: Pixels
    weight: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A decoded source: the opened file for its metadata, and its pixels as stored.

    `stored` is uint8 height x width x channels (grey, grey and alpha, RGB, or RGB and alpha; a palette is looked up).
    """

    file: Image.Image
    stored: Pixels
    orientation: int
    size: tuple[int, int]
    """Upright width and height of the whole picture, also where it was decoded at a reduced scale."""

    @property
    def upright(self) -> Pixels:
        """The stored pixels as a viewer shows them; a view, not a copy."""
        return turned(self.stored, self.orientation)

    def rgb(self, x: int = 0, y: int = 0, width: int | None = None, height: int | None = None) -> Pixels:
        """An upright rectangle as uint8 height x width x 3; alpha is dropped, grey is repeated."""
        part = self.upright[y : None if height is None else y + height, x : None if width is None else x + width]
        if part.shape[2] < 3:
            part = np.repeat(part[:, :, :1], 3, axis=2)
        return np.ascontiguousarray(part[:, :, :3])

    def edited(self, edits: Sequence[Edit]) -> Pixels:
        """The stored pixels with all edits applied; alpha and whatever no edit weighs stay as they are.

        Where edits overlap, each counts by its weight and the strongest weight decides how much of the source remains,
        so their order does not matter. Grey pictures take the Rec. 601 luma of the fill.
        """
        result = self.stored.copy()
        upright = turned(result, self.orientation)
        height, width = upright.shape[:2]
        colours = 1 if upright.shape[2] < 3 else 3
        left, top = min(edit.x for edit in edits), min(edit.y for edit in edits)
        right = min(width, max(edit.x + edit.fill.shape[1] for edit in edits))
        bottom = min(height, max(edit.y + edit.fill.shape[0] for edit in edits))
        total = np.zeros((bottom - top, right - left, 1), np.float32)
        strongest = np.zeros_like(total)
        mixed = np.zeros((bottom - top, right - left, colours), np.float32)
        for edit in sorted(edits, key=lambda edit: (edit.x, edit.y, edit.fill.tobytes(), edit.weight.tobytes())):
            area = np.s_[edit.y - top : edit.y - top + edit.fill.shape[0], edit.x - left : edit.x - left + edit.fill.shape[1]]
            fill = edit.fill.astype(np.float32)
            if colours == 1:
                fill = fill @ np.array([[0.299], [0.587], [0.114]], np.float32)
            weight = edit.weight[:, :, None]
            mixed[area] += weight * fill
            total[area] += weight
            strongest[area] = np.maximum(strongest[area], weight)
        target = upright[top:bottom, left:right, :colours]
        blended = target * (1 - strongest) + strongest * mixed / np.maximum(total, 1e-6)
        np.copyto(target, np.clip(np.rint(blended), 0, 255).astype(np.uint8), where=strongest > 0)
        return result


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Stored pixels (height x width x channels) viewed upright; writing to the view writes to `pixels`."""
    swapped, down, right = TURNS[orientation]
    return (pixels.transpose(1, 0, 2) if swapped else pixels)[::down, ::right]


def _unturned(upright: Pixels, orientation: int) -> Pixels:
    """The inverse of `turned`, as an array of its own."""
    swapped, down, right = TURNS[orientation]
    flipped = upright[::down, ::right]
    return np.ascontiguousarray(flipped.transpose(1, 0, 2) if swapped else flipped)


def open_file(data: memoryview | bytes, limits: Limits) -> Image.Image:
    """The file's header, checked against the limits before any pixel is decoded.

    Raises Failure: file_empty, bytes_over_limit, not_an_image, corrupt, truncated, decompression_bomb,
    pixels_over_limit, animated, multi_page or mode_unsupported.
    """
    if len(data) == 0:
        raise Failure("file_empty", "0 bytes")
    if len(data) > limits.max_bytes:
        raise Failure("bytes_over_limit", f"{len(data)} bytes, limit {limits.max_bytes}")
    try:
        file = Image.open(io.BytesIO(data))
        frames = int(getattr(file, "n_frames", 1))
    except UnidentifiedImageError:
        known = bytes(data[:8]).startswith(SIGNATURES)
        raise Failure("corrupt" if known else "not_an_image", "no reader accepts its header") from None
    except Exception as error:
        raise _decoding_failure(error) from error
    if file.width * file.height > limits.max_pixels:
        raise Failure("pixels_over_limit", f"{file.width} x {file.height} pixels, limit {limits.max_pixels}")
    if frames > 1:
        code = "multi_page" if file.format in {"TIFF", "MPO"} else "animated"
        raise Failure(code, f"{frames} frames")
    if file.mode not in EDITABLE_MODES or _bits_per_sample(file, data) > 8:
        raise Failure("mode_unsupported", f"{file.format} in mode {file.mode}, {_bits_per_sample(file, data)} bits a sample")
    return file


def _bits_per_sample(file: Image.Image, data: memoryview | bytes) -> int:
    if file.format == "PNG":
        return int(data[24])
    if file.format == "TIFF":
        bits = file.tag_v2.get(258, (8,))  # type: ignore[attr-defined]
        return int(max(bits) if isinstance(bits, tuple) else bits)
    return 8


def _decoding_failure(error: Exception) -> Failure:
    text = str(error)
    if "Decompressed data too large" in text or "MAX_TEXT" in text:
        return Failure("decompression_bomb", text)
    if isinstance(error, MemoryError):
        return Failure("out_of_memory", "while decoding")
    if any(word in text.lower() for word in ("truncated", "unexpected end", "premature")):
        return Failure("truncated", text)
    return Failure("corrupt", f"{type(error).__name__}: {text}")


def _check_png(data: memoryview | bytes) -> None:
    """Raise Failure corrupt for a chunk whose checksum is wrong: the decoder itself only looks at its header's."""
    position, view = 8, memoryview(data)
    while position + 12 <= len(view):
        length = int.from_bytes(view[position : position + 4], "big")
        end = position + 8 + length
        if end + 4 > len(view):
            return
        if zlib.crc32(view[position + 4 : end]) != int.from_bytes(view[end : end + 4], "big"):
            raise Failure("corrupt", f"wrong checksum in chunk {bytes(view[position + 4 : position + 8])!r}")
        position = end + 4


def _load(file: Image.Image) -> None:
    with spent_in("codec"):
        try:
            file.load()
        except Exception as error:
            raise _decoding_failure(error) from error


def decode(data: memoryview | bytes, limits: Limits) -> Picture:
    """All pixels of a source. Raises Failure as `open_file` does, and truncated or corrupt for its pixel data."""
    file = open_file(data, limits)
    if file.format == "PNG":
        _check_png(data)
    stored_as = orientation_of(file) if file.format in TURNED_WHEN_LOADED else None
    _load(file)
    plain = file
    if file.mode == "P":
        plain = file.convert("RGBA" if "transparency" in file.info else "RGB")
    stored = np.asarray(plain)
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    if stored_as is not None:
        return Picture(file, _unturned(stored, stored_as), stored_as, (stored.shape[1], stored.shape[0]))
    orientation = orientation_of(file)
    height, width = turned(stored, orientation).shape[:2]
    return Picture(file, stored, orientation, (width, height))


def decode_reduced(data: memoryview | bytes, limits: Limits, factor: Callable[[int, int], float]) -> Picture | None:
    """A large JPEG at 1/2, 1/4 or 1/8 scale, no smaller than `factor(width, height)` times its size; None for all others."""
    file = open_file(data, limits)
    width, height = file.size
    if file.format != "JPEG" or factor(width, height) > 0.5:
        return None
    file.draft(None, (max(1, round(width * factor(width, height))), max(1, round(height * factor(width, height)))))
    _load(file)
    stored, orientation = np.asarray(file), orientation_of(file)
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    return Picture(file, stored, orientation, (height, width) if TURNS[orientation][0] else (width, height))


def orientation_of(file: Image.Image) -> int:
    """The EXIF orientation, 1 where it is missing or out of range; formats turned when loaded must be asked before that."""
    try:
        value = file.getexif().get(ORIENTATION_TAG, 1)
    except Exception:
        return 1
    return value if value in TURNS else 1


def encode(picture: Picture, stored: Pixels, source: memoryview | bytes) -> bytes:
    """Edited stored pixels as a file of the source's format, with its metadata and its compression settings.

    JPEG keeps every coefficient that the edit does not touch, see `operators.jpeg`; PNG, TIFF and BMP are lossless; WebP
    stays lossless if the source was; a palette is kept, edited pixels taking its nearest entry.
    """
    file = picture.file
    if file.format == "JPEG":
        with spent_in("codec"):
            return rewritten(source, stored, (stored != picture.stored).any(axis=2))
    image = (
        _with_palette(picture, stored)
        if file.mode == "P"
        else Image.fromarray(stored[:, :, 0] if stored.shape[2] == 1 else stored)
    )
    options: dict[str, Any] = {name: file.info[name] for name in ("icc_profile", "exif", "dpi") if file.info.get(name)}
    if file.format == "PNG":
        options["pnginfo"] = _png_text(file)
        if "transparency" in file.info:
            options["transparency"] = file.info["transparency"]
            if file.mode != "P":
                image = _without_colour_key(picture, stored)
    elif file.format == "WEBP":
        lossless = b"VP8L" in bytes(source[:64])
        options |= {"lossless": lossless, "exact": lossless, "quality": 100 if lossless else 92, "method": 4}
    elif file.format == "TIFF":
        options |= {"compression": file.info.get("compression"), "tiffinfo": _tiff_tags(picture)}
    elif file.format == "GIF" and "transparency" in file.info:
        options["transparency"] = file.info["transparency"]
    with spent_in("codec"):
        output = io.BytesIO()
        image.save(output, format=file.format, **options)
        return output.getvalue()


def _tiff_tags(picture: Picture) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The source's tags without those that say how its pixels lie in the file, which the new file has of its own."""
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    source: TiffImagePlugin.ImageFileDirectory_v2 = vars(picture.file)["tag_v2"]
    for tag in source:
        if tag not in TIFF_LAYOUT_TAGS:
            tags.tagtype[tag] = source.tagtype[tag]
            tags[tag] = source[tag]
    if picture.orientation != 1:
        tags[ORIENTATION_TAG] = picture.orientation
    return tags


def _png_text(file: Image.Image) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in getattr(file, "text", {}).items():
        if isinstance(value, PngImagePlugin.iTXt):
            info.add_itxt(key, value, value.lang or "", value.tkey or "")
        else:
            info.add_text(key, value)
    return info


def _without_colour_key(picture: Picture, stored: Pixels) -> Image.Image:
    """The edited pixels, none of which became transparent by taking the one colour that stands for transparency."""
    key = np.atleast_1d(np.asarray(picture.file.info["transparency"]))
    changed = (stored != picture.stored).any(axis=2)
    struck = changed & (stored == key[: stored.shape[2]]).all(axis=2)
    moved = stored.copy()
    moved[struck, -1] = np.where(moved[struck, -1] == 255, 254, moved[struck, -1] + 1)
    return Image.fromarray(moved[:, :, 0] if moved.shape[2] == 1 else moved)


def _with_palette(picture: Picture, stored: Pixels) -> Image.Image:
    """The edited pixels as indices into the source's palette; unchanged pixels keep their index."""
    file = picture.file
    indices = np.array(file)
    changed = (stored != picture.stored).any(axis=2)
    used = np.unique(indices)
    channels = stored.shape[2]
    lookup = Image.fromarray(used[None]).convert("P")
    lookup.putpalette(file.getpalette() or [])
    lookup.info["transparency"] = file.info.get("transparency")
    mode = "RGBA" if channels == 4 else "RGB"
    entries = np.asarray(lookup.convert(mode))[0].astype(np.int32)
    wanted, inverse = np.unique(stored[changed].astype(np.int32), axis=0, return_inverse=True)
    nearest = [used[np.argmin(((entries - colour) ** 2).sum(axis=1))] for colour in wanted]
    indices[changed] = np.array(nearest, indices.dtype)[inverse.ravel()] if len(wanted) else 0
    image = file.copy()
    image.paste(Image.fromarray(indices).convert("P"))
    return image


class FrameCache:
    """The picture decoded last in this process, so that operators that follow one another decode once."""

    def __init__(self) -> None:
        self._key: tuple[str, Limits] | None = None
        self._picture: Picture | None = None

    def decoded(self, sha256: str, data: memoryview | bytes, limits: Limits) -> Picture:
        """The decoded source with this checksum. Raises Failure as `decode` does."""
        if self._key != (sha256, limits) or self._picture is None:
            self._picture = None
            self._picture = decode(data, limits)
            self._key = (sha256, limits)
        return self._picture

    def at_least(self, sha256: str, data: memoryview | bytes, limits: Limits, factor: Callable[[int, int], float]) -> Picture:
        """The source at `factor` of its size or larger: a reduced decode where that is cheaper. Raises Failure."""
        return decode_reduced(data, limits, factor) or self.decoded(sha256, data, limits)


FRAMES = FrameCache()
