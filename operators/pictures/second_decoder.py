"""A second decoder for each format: another library than the one that reads and writes the format.

| format | `decode` and `encode` use | second decoder |
|---|---|---|
| JPEG | Pillow, jpeglib | OpenCV, which converts CMYK to RGB |
| PNG | Pillow, own writer | OpenCV |
| PNG of 16 bits | OpenCV, own writer | Pillow, which keeps the upper 8 bits of all but grey |
| WebP, GIF, BMP, AVIF, JPEG 2000 | Pillow | OpenCV |
| animated GIF, PNG, WebP | own code around single pictures by Pillow | Pillow's player |
| AVIF that Pillow cannot write again | imagecodecs, own boxes | OpenCV |
| HEIC, JPEG XL | pillow-heif, imagecodecs | none |
| BMP with colours of other than 8 bits | own code | Pillow, which reads 5 and 6 bits |
| TIFF | own code, libtiff in Pillow to decompress | tifffile |
| TIFF with LZW, fax, zstd | same | OpenCV if it keeps the samples, else all of Pillow's reader |

Neither reads some rare TIFFs (LZW of grey with alpha, 16-bit planes or inks): for these there is
no second decoder.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import ImageSequence

from operators.pictures.colour import Samples
from operators.pictures.formats.animation import laid
from operators.pictures.formats.header import open_image
from operators.pictures.formats.tiff_directory import first_directory
from operators.pictures.picture import BAND, Picture, turned

JPEG = 7
"""The number of JPEG as a TIFF's compression."""
COMPRESSION, PLANES = 259, 284
"""TIFF tags: how pixels are compressed, and whether their samples are stored together (1)."""
UNKNOWN_TO_OPENCV = (34925, 50000)
"""Compressions of TIFF that OpenCV's libtiff lacks: LZMA and zstd."""
CHANNELS = {(2, 4): slice(0, 4, 3), (1, 2): slice(1), (1, 3): slice(1), (1, 4): slice(1), (3, 4): slice(3)}
"""Which channels are the samples, by the number of samples and of decoded channels."""
OUT_OF_MEMORY = (cv2.Error.StsNoMem, "out_of_memory")
"""Codes by which OpenCV and our own decoder say that memory is short."""
INVERSE = {6: 8, 8: 6}
"""Orientations that another one undoes; every other orientation undoes itself."""


@dataclass(frozen=True)
class SecondDecoder:
    """One library that reads a kind of file."""

    name: str
    decode: Callable[[memoryview | bytes, Picture], Samples]
    """Reads a file like that of the picture, turning nothing; height x width x samples.

    Raises any exception if it cannot.
    """
    view: Callable[[Samples], Samples]
    """Stored samples as this decoder gives them."""
    raw: bool = False
    """Whether it gives stored samples unconverted; what it reads otherwise was misread by us."""

    def read(self, data: memoryview | bytes, picture: Picture) -> Samples | None:
        """The pixels of a file like that of the picture; None if the decoder cannot read it.

        Raises MemoryError.
        """
        try:
            return self.decode(data, picture)
        except Exception as error:
            if isinstance(error, MemoryError) or getattr(error, "code", None) in OUT_OF_MEMORY:
                raise MemoryError(f"while reading back by {self.name}") from error
            return None


def second_decoders(picture: Picture, source: memoryview | bytes) -> list[SecondDecoder]:
    """The second decoders for a picture and its file, best first."""
    if picture.format == "TIFF":
        return _for_tiff(picture, source)
    if picture.frames:
        return [SecondDecoder("Pillow's player", _by_player, _same if picture.space.peak == 255 else _upper_bytes)]
    if picture.format == "PNG" and picture.space.peak == 65535:
        return [SecondDecoder("Pillow", _by_pillow, _same if picture.mode == "I;16" else _upper_bytes)]
    if picture.format == "BMP" and ";" in picture.mode:
        return [SecondDecoder("Pillow", _by_pillow, _same)]
    if picture.format in ("HEIC", "JXL") or (picture.format == "JPEG2000" and picture.mode == "LA"):
        return []
    inks = picture.format == "JPEG" and picture.space.model == "cmyk"
    return [SecondDecoder("OpenCV", _by_opencv, _printed if inks else _same)]


def _for_tiff(picture: Picture, source: memoryview | bytes) -> list[SecondDecoder]:
    """The decoders that keep the samples of a TIFF file."""
    space, directory = picture.space, first_directory(source)
    raw = picture.indexed is None and directory.number(COMPRESSION, 1) != JPEG
    decoders = [SecondDecoder("tifffile", _by_tifffile, _same, raw=raw)]
    plain = picture.stored.shape[2] == space.colours and space.model != "cmyk" and not space.inverted
    known = directory.number(PLANES, 1) == 1 and directory.number(COMPRESSION, 1) not in UNKNOWN_TO_OPENCV
    if plain and known and picture.orientation == 1:
        decoders.append(SecondDecoder("OpenCV", _by_opencv, _same))
    if space.peak <= 255 and not space.premultiplied:
        decoders.append(SecondDecoder("Pillow", _by_pillow, _same))
    return decoders


def _same(stored: Samples) -> Samples:
    return stored


def _upper_bytes(stored: Samples) -> Samples:
    """The upper 8 of 16 bits."""
    return (stored >> 8).astype(np.uint8)


def _printed(stored: Samples) -> Samples:
    """Inks as OpenCV converts them to RGB, without a profile."""
    light = 255 - stored.astype(np.uint16)
    return (light[:, :, :3] * light[:, :, 3:] // 255).astype(np.uint8)


def _by_opencv(data: memoryview | bytes, picture: Picture) -> Samples:
    """Pixels by OpenCV, which turns nothing and looks palettes up. Raises ValueError."""
    pixels: Samples | None = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ValueError("unreadable")
    if pixels.ndim == 3 and pixels.shape[2] >= 3:
        for top in range(0, len(pixels), BAND):
            band = pixels[top : top + BAND]
            band[...] = cv2.cvtColor(band, cv2.COLOR_BGR2RGB if band.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
    return _as_stored(pixels, picture)


def _by_pillow(data: memoryview | bytes, picture: Picture) -> Samples:
    """Pixels by Pillow, which turns a TIFF upright and makes zero black. Raises as Pillow does."""
    file = open_image(data, picture.format)
    if picture.indexed is not None:
        file = file.convert("RGB")
    pixels = np.asarray(file)
    if picture.format == "TIFF":
        pixels = turned(pixels, INVERSE.get(picture.orientation, picture.orientation))
        if picture.space.inverted and picture.space.model == "grey":
            pixels = ~pixels
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    return _as_stored(pixels, picture)


def _by_player(data: memoryview | bytes, picture: Picture) -> Samples:
    """The frames of an animation as Pillow shows them, laid out as pages. Raises ValueError."""
    views = [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(open_image(data, picture.format))]
    for view in views:
        view.setflags(write=True)
        view[view[:, :, 3] == 0] = 0
    return laid(picture, views)


def _by_tifffile(data: memoryview | bytes, picture: Picture) -> Samples:
    """Samples by tifffile, a palette looked up. Raises ValueError for unknown compressions."""
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        if picture.pages:
            stored = picture.stored.copy()
            for place, page in zip(picture.pages, file.pages, strict=True):
                pixels = page.asarray(maxworkers=1)
                if page.aspage().planarconfig == 2 and pixels.ndim == 3:
                    pixels = pixels.transpose(1, 2, 0)
                stored[place.area] = pixels.reshape(*pixels.shape[:2], -1)
            return stored
        page = file.pages.first
        pixels = page.asarray(maxworkers=1)
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = pixels.transpose(1, 2, 0)
        if picture.indexed is not None:
            colours = np.asarray(page.colormap).T.astype(np.uint32)
            pixels = (colours if colours.max(initial=0) < 256 else (colours + 128) // 257).astype(np.uint8)[pixels]
    pixels = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _as_stored(pixels: Samples, picture: Picture) -> Samples:
    """Decoded pixels with the channels and, below 8 bits, the scale of the stored samples."""
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    wanted, found = picture.stored.shape[2], pixels.shape[2]
    if (wanted, found) in CHANNELS:
        pixels = pixels[:, :, CHANNELS[wanted, found]]
    peak = picture.space.peak
    return pixels if peak >= 255 else pixels // np.uint8(255 // peak)
