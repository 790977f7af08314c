"""The encoded file of an edited picture, read again by a second decoder and compared.

Outside of the edit the file must show what the source shows, exactly: by pixels, or in a JPEG by
the blocks that no changed pixel touches. Inside it must show the edited samples: exactly in a
lossless file, at least as near as the source in one with a palette, and within what its coding
explains in a lossy one. So the check finds shifted rows, exchanged channels, parts in the wrong
place and lost orientation, whichever of decoder and encoder made the error.

Pictures are compared in bands; besides the arguments, one more decoded picture is in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from operators.pictures.burden import ALL_PAGES, FIRST_PAGE
from operators.pictures.codec import FORMATS, Limits, decode
from operators.pictures.colour import Samples
from operators.pictures.formats import (
    animated_gif,
    animated_webp,
    bmp,
    jpeg2000,
    jpeg_markers,
    jpeg_xl,
    png,
    tiff,
    tiff_strips,
    vp8,
    webp,
    webp_chunks,
)
from operators.pictures.formats.header import ORIENTATION_TAG, orientation_of
from operators.pictures.formats.tiff_directory import first_directory
from operators.pictures.picture import Edited, Picture
from operators.pictures.second_decoder import SecondDecoder, second_decoders
from operators.rows.arrays import LUMA_WEIGHTS
from operators.rows.timing import timed

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
BAND = 64
"""Rows that are compared at once, or the next multiple of a block's height."""
WEBP_BLOCK = 16
"""Side of a WebP macroblock in pixels."""
NEAREST_SLACK = 4.0
"""CIELAB distance by which a palette's colour may be farther from the edit than the source is."""
MOST_MEAN_ERROR, MOST_BLOCK_ERROR = 8.0, 40.0
"""Error of the mean colour of lossy blocks, 0..255, on average and at most, beside quantisation."""
JPEG_LOSS, WEBP_LOSS = (1.5, 36.0), (0.03, 20.0)
"""Squared error of luma, 0..255, that coding explains in a band of blocks.

It is a share of the variance of luma within the blocks, and a constant. A JPEG's size is kept by
dropping and rounding coefficients, each by no more than itself; so the error cannot exceed the
variance, while pixels in a wrong order are off by twice as much. In a WebP, which is coded as
finely as its source, the square of a quarter of the coarsest step is allowed beside them.
"""
LOSSLESS_BY: dict[str, Callable[[memoryview | bytes], bool]] = {
    "WEBP": webp.is_lossless,
    "JXL": jpeg_xl.is_lossless,
    "JPEG2000": lambda data: jpeg2000.coding_of(bytes(data)).reversible,
    "AVIF": lambda data: False,
    "HEIC": lambda data: False,
}
"""Formats that code a picture as a whole, and whether a file of theirs does it without loss."""
ANIMATED: dict[str, Callable[[Picture, bytes], Samples]] = {
    "GIF": animated_gif.laid,
    "PNG": png.laid,
    "WEBP": animated_webp.laid,
}
"""How the frames of an animation are read as the pages of a picture."""
AGREEING = 3.0
"""Mean difference, 0..255, up to which two decoders read a source alike."""


class Description(NamedTuple):
    """What a file says of itself beside its pixels."""

    width: int
    height: int
    pictures: int
    orientation: int
    profile: bytes | None


@dataclass(frozen=True)
class Coding:
    """How a file's pixels may differ from those that were meant."""

    block: tuple[int, int] | None
    """Height and width in pixels of the blocks of a lossy file; None for a lossless one."""
    loss: tuple[float, float] = (0.0, 0.0)
    """JPEG_LOSS or WEBP_LOSS."""
    quantisation: float = 0.0
    """The error of a block's mean, 0..255, that rounding its coefficients explains."""
    margin: int = 0
    """Pixels beside a changed block that its colour reaches when a decoder smooths chroma."""
    whole: bool = False
    """Whether an edit codes the whole picture again."""
    keyed: bool = False
    """Whether a colour means transparency, so that pixels keep it, and others avoid it by 1."""
    rounding: int = 0
    """By how much samples of a lossless file may be off, because it stores them in fewer bits."""


def check_written(encoded: bytes, edited: Edited, source: memoryview | bytes) -> str | None:
    """What an encoded file shows other than was meant, in one sentence; None if nothing.

    `edited` is what was meant, and `source` the file from which its picture was decoded. Without
    a second decoder for the kind of file, our own decoder reads it.
    """
    picture = edited.picture
    if edited.parts:
        pages = ((number, part) for number, part in enumerate(edited.parts) if part.changed.any())
        found = ((n, check_written(tiff.alone(encoded, n), part, tiff.alone(source, n))) for n, part in pages)
        return next((f"page {number}: {difference}" for number, difference in found if difference is not None), None)
    with timed("codec"):
        try:
            after = _description(picture.format, encoded)
        except Exception as error:
            return f"the written header cannot be read: {error}"
        before = _description(picture.format, source)
        for name, old, new in zip(Description._fields, before, after, strict=True):
            if old != new:
                values = "" if name == "profile" else f": {new!r} instead of {old!r}"
                return f"the written file has another {name}{values}"
        coding = _coding(picture, source, encoded)
        touched = _touched(edited.changed, coding)
        own = SecondDecoder("our own decoder", _by_ourselves, lambda stored: stored, raw=True)
        for decoder in (*second_decoders(picture, source), own):
            comparison = _Comparison(decoder, edited, coding, touched)
            if comparison.is_possible(encoded, source):
                return comparison.difference
    return None


def is_coded_again(picture: Picture, source: memoryview | bytes, encoded: bytes) -> bool:
    """Whether an edited file was coded again as a whole, as lossy WebP and AVIF are."""
    return _coding(picture, source, encoded).whole


def recoding_note(encoded: bytes, edited: Edited, source: memoryview | bytes, size: int | None = None) -> str | None:
    """How far a file that was coded again as a whole is from its source, outside of the edit.

    None for a file whose other pixels kept their coding. `size` is that of the original file if
    `source` was converted from it. Raises Failure for a file that cannot be decoded.
    """
    with timed("codec"):
        if not is_coded_again(edited.picture, source, encoded):
            return None
        written = _by_ourselves(encoded, edited.picture)
        figures = distance(written, edited.picture.stored, ~edited.changed, edited.picture.space.peak)
    return f"recoded: {figures}, {len(encoded) / (size or len(source)):.2f} times the bytes"


def distance(written: Samples, meant: Samples, counted: Mask, peak: int) -> str:
    """The mean and the largest difference of the counted pixels' samples, in words."""
    total, most = 0.0, 0
    for top in range(0, len(written), BAND):
        rows = np.s_[top : top + BAND]
        off = np.abs(written[rows].astype(np.int32) - meant[rows])[counted[rows]]
        total, most = total + float(off.sum()), max(most, int(off.max(initial=0)))
    samples = int(counted.sum()) * written.shape[2]
    return f"mean difference {total / max(1, samples):.2f}, largest {most} of {peak}"


def _by_ourselves(data: memoryview | bytes, picture: Picture) -> Samples:
    """Pixels as `decode` reads them. Raises Failure, or ValueError for other frames."""
    if picture.frames:
        return ANIMATED[picture.format](picture, bytes(data))
    width, height = picture.size
    pages = ALL_PAGES if picture.pages else FIRST_PAGE
    limits = Limits(width * height, len(data), max_scans=len(data), max_metadata_bytes=2**31, max_frames=2**31, pages=pages)
    return decode(data, limits).stored


class _Comparison:
    """The comparison of one file with what was meant, by one decoder."""

    def __init__(self, decoder: SecondDecoder, edited: Edited, coding: Coding, touched: Mask) -> None:
        self.decoder, self.edited, self.coding, self.touched = decoder, edited, coding, touched
        self.difference: str | None = None

    def is_possible(self, encoded: bytes, source: memoryview | bytes) -> bool:
        """Whether the decoder can judge; `difference` is then what it found.

        The source is decoded only if the file is not at once as it was meant.
        """
        picture = self.edited.picture
        written = self.decoder.read(encoded, picture)
        expected = self._meant(slice(0, 1)).shape[2]
        inside, checksums = None, None
        if written is not None and written.shape == (*picture.stored.shape[:2], expected):
            inside = self._difference_inside(written)
            checksums = None if self._is_outside_as_meant(written) else self._checksums(written)
            if inside is None and checksums is None:
                return True
        readable = written is not None
        shape = written.shape if written is not None else None
        del written
        original = self.decoder.read(source, picture)
        if original is None or original.shape != (*picture.stored.shape[:2], expected):
            return False
        if shape != original.shape:
            what = f"reads {shape} samples" if readable else "cannot read the written file"
            self.difference = f"{self.decoder.name} {what}"
            return True
        if checksums is not None:
            rows = np.flatnonzero(np.array(checksums) != np.array(self._checksums(original)))
            if len(rows):
                self.difference = f"{self.decoder.name} sees {len(rows)} rows changed outside of the edit, from row {rows[0]}"
                return True
        if inside is not None and not (self.decoder.raw or self._agrees(original)):
            return False
        self.difference = inside
        return True

    def _meant(self, rows: slice) -> Samples:
        return self.decoder.view(self.edited.stored[rows])

    def _bands(self) -> Iterator[slice]:
        """Bands of rows that end with a block."""
        height = self.touched.shape[0]
        step = BAND if self.coding.block is None else -(-BAND // self.coding.block[0]) * self.coding.block[0]
        for top in range(0, height, step):
            yield slice(top, min(top + step, height))

    def _is_outside_as_meant(self, written: Samples) -> bool:
        """Whether all samples outside of the edit are those of our own decoder."""
        for rows in self._bands():
            outside = ~self.touched[rows]
            if not outside.any():
                continue
            read, meant = written[rows], self._meant(rows)
            if not np.array_equal(read, meant) and (read != meant).any(axis=2)[outside].any():
                return False
        return True

    def _checksums(self, reading: Samples) -> list[int]:
        """A checksum of every row outside of the edit."""
        zero = reading.dtype.type(0)
        rows = zip(reading, self.touched, strict=True)
        return [zlib.crc32(np.where(touched[:, None], zero, samples).tobytes()) for samples, touched in rows]

    def _agrees(self, original: Samples) -> bool:
        """Whether the decoder reads the source as our own does, except for rounding."""
        peak = self.edited.picture.space.peak
        total, peak = 0.0, peak if original.dtype == np.uint16 else min(255, peak)
        for rows in self._bands():
            ours = self.decoder.view(self.edited.picture.stored[rows])
            total += float(np.abs(original[rows].astype(np.int32) - ours).sum(dtype=np.float64))
        return bool(total / original.size * 255 / peak <= AGREEING)

    def _difference_inside(self, written: Samples) -> str | None:
        if self.edited.picture.indexed is not None or self.edited.picture.mode == "P":
            return self._difference_of_palette(written)
        return self._difference_of_samples(written) if self.coding.block is None else self._difference_of_blocks(written)

    def _difference_of_samples(self, written: Samples) -> str | None:
        """The difference inside the edit of a lossless file."""
        wrong = 0
        for rows in self._bands():
            changed = self.edited.changed[rows]
            if not changed.any():
                continue
            read, meant = written[rows][changed], self._meant(rows)[changed]
            off = np.abs(read.astype(np.int32) - meant) > self.coding.keyed + self.coding.rounding
            if self.coding.keyed:
                off &= (read != self.decoder.view(self.edited.picture.stored[rows])[changed]).any(axis=1, keepdims=True)
            wrong += int(off.any(axis=1).sum())
        return f"{self.decoder.name} sees {wrong} pixels that are not as edited" if wrong else None

    def _difference_of_palette(self, written: Samples) -> str | None:
        """The difference inside the edit of a file with a palette, by its nearest colours."""
        wrong = 0
        for rows in self._bands():
            visible, meant = self.edited.changed[rows], self.edited.stored[rows]
            if meant.shape[2] == 4:
                visible = visible & (meant[:, :, 3] > 0)
            if not visible.any():
                continue
            colours = (written[rows], meant, self.edited.picture.stored[rows])
            lab = [_lab(part[visible][:, :3]) for part in colours]
            far, allowed = (np.linalg.norm(part - lab[1], axis=1) for part in (lab[0], lab[2]))
            wrong += int((far > allowed + NEAREST_SLACK).sum())
        return f"{self.decoder.name} sees {wrong} pixels farther from the edit than the source is" if wrong else None

    def _difference_of_blocks(self, written: Samples) -> str | None:
        """The difference of the complete blocks that the edit of a lossy file touches.

        Alpha is coded without loss, and colours under full transparency do not count.
        """
        assert self.coding.block is not None
        down, across = self.coding.block
        share, noise = self.coding.loss
        rounding, means = self.coding.quantisation, []
        scale = np.float32(255 / self.edited.picture.space.peak)
        for rows in self._bands():
            changed = np.ones_like(self.edited.changed[rows]) if self.coding.whole else self.edited.changed[rows]
            height, width = changed.shape[0] // down * down, changed.shape[1] // across * across
            grid = (height // down, down, width // across, across)
            chosen = changed[:height, :width].reshape(grid).any(axis=(1, 3))
            if not chosen.any():
                continue
            pair = [part[:height, :width] for part in (written[rows], self._meant(rows))]
            if pair[0].shape[2] == 4:
                if not np.array_equal(pair[0][:, :, 3], pair[1][:, :, 3]):
                    return f"{self.decoder.name} sees another transparency"
                pair = [part[:, :, :3] * (part[:, :, 3:] > 0) for part in pair]
            blocks = [part.reshape(*grid, -1).swapaxes(1, 2)[chosen].astype(np.float32) * scale for part in pair]
            errors = blocks[0] - blocks[1]
            means.append(np.abs(errors.mean(axis=(1, 2))).reshape(-1, 1))
            meant, off = _luma(blocks[1]), float((_luma(errors) ** 2).mean())
            variance = float(meant.var(axis=(1, 2)).mean())
            if off > share * variance + noise + rounding**2:
                return f"{self.decoder.name} sees pixels off by {off**0.5:.0f} of 255 near row {rows.start}"
        if not means:
            return None
        every = np.concatenate(means)
        mean, most = float(every.mean()), float(every.max())
        if mean > MOST_MEAN_ERROR + rounding or most > MOST_BLOCK_ERROR + 2 * rounding:
            return f"{self.decoder.name} sees blocks whose mean is off by {mean:.0f}, at most {most:.0f} of 255"
        return None


def _luma(colours: Floats) -> Floats:
    """Luma of grey or RGB, without their last axis."""
    return colours[..., 0] if colours.shape[-1] == 1 else colours @ np.array(LUMA_WEIGHTS, np.float32)


def _lab(colours: npt.NDArray[np.uint8]) -> Floats:
    """Colours (uint8 sRGB, number x 3) in CIELAB."""
    lab: Floats = cv2.cvtColor(colours[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    return lab


def _description(format: str, data: memoryview | bytes) -> Description:
    """What a file says of itself. Raises whatever the format's header reader raises."""
    header = FORMATS[format].header(data)
    if format == "PNG":
        # Pillow decodes a PNG's pixels to look for EXIF behind them.
        chunks = {name: content for name, content in png.chunks(data) if name in (b"eXIf", b"iCCP")}
        exif = Image.Exif()
        exif.load(chunks.get(b"eXIf", b""))
        orientation, profile = exif.get(ORIENTATION_TAG, 1), chunks.get(b"iCCP")
    elif format == "JPEG":
        orientation, profile = orientation_of(header.source), jpeg_markers.profile_of(bytes(data))
    elif format == "JXL" and isinstance(header.source, tuple):
        orientation, profile = orientation_of(header.source[0].source), header.source[0].source.info.get("icc_profile")
    elif format == "TIFF":
        directory = first_directory(data)
        orientation, profile = directory.number(tiff.ORIENTATION, 1), directory.content(tiff.PROFILE)
    elif not isinstance(header.source, Image.Image):
        orientation, profile = 1, None
    else:
        orientation, profile = orientation_of(header.source), header.source.info.get("icc_profile")
    return Description(header.width, header.height, header.frames, orientation, profile)


def _coding(picture: Picture, source: memoryview | bytes, encoded: bytes) -> Coding:
    """How the pixels of an encoded file like the source may differ from those that were meant."""
    as_jpeg = _as_jpeg(picture.format, source)
    if as_jpeg is not None:
        file = FORMATS["JPEG"].header(as_jpeg).source
        down, across = (max(layer[place] for layer in file.layer) for place in (2, 1))
        steps = [table[0] for table in file.quantization.values()]
        rounding = max(steps) / 16 * (1 if len(file.layer) == 1 else 3)
        return Coding((8 * down, 8 * across), JPEG_LOSS, rounding, margin=max(down, across))
    if picture.format in LOSSLESS_BY and not LOSSLESS_BY[picture.format](source):
        step = _webp_step(encoded) if picture.format == "WEBP" else 0
        return Coding((WEBP_BLOCK, WEBP_BLOCK), (WEBP_LOSS[0], WEBP_LOSS[1] + (step / 4) ** 2), step / 16, whole=True)
    if picture.format == "BMP":
        return Coding(None, rounding=bmp.rounding(source))
    return Coding(None, keyed=picture.format == "PNG" and picture.indexed is None and b"tRNS" in bytes(source))


def _webp_step(encoded: bytes) -> int:
    """The coarsest quantisation step of a lossy WebP; 0 if it cannot be read."""
    parts = [webp_chunks.sub_chunks(frame[webp_chunks.HEAD :]) for frame in webp_chunks.frames_of(encoded)]
    frames = [data for part in parts or [webp_chunks.chunks(encoded)] for name, data in part if name == b"VP8 "]
    try:
        return max((vp8.AC_STEPS[vp8.steps_of(frame).coarsest] for frame in frames), default=0)
    except ValueError:
        return 0


def _as_jpeg(format: str, source: memoryview | bytes) -> memoryview | bytes | None:
    """A JPEG that is coded as the file is; None for a file without one."""
    if format == "JPEG":
        return source
    if format == "JXL" and jpeg_xl.is_jpeg(bytes(source)):
        return jpeg_xl.jpeg_of(bytes(source))
    if format == "TIFF":
        layout = tiff_strips.layout_of(first_directory(source))
        return tiff_strips.jpeg_of(layout, 0) if layout.compression == tiff_strips.JPEG else None
    return None


def _touched(changed: Mask, coding: Coding) -> Mask:
    """Pixels that an edit may change, by blocks and their margin in a lossy file."""
    if coding.whole:
        return np.ones_like(changed)
    if coding.block is None:
        return changed
    down, across = coding.block
    touched = np.zeros_like(changed)
    for top in range(0, changed.shape[0], down):
        columns = np.flatnonzero(changed[top : top + down].any(axis=0))
        for left in np.unique(columns // across * across).tolist():
            touched[top : top + down, left : left + across] = True
    size = 2 * coding.margin + 1
    dilated: Mask = cv2.dilate(touched.view(np.uint8), np.ones((size, size), np.uint8)).view(np.bool_)
    return dilated
