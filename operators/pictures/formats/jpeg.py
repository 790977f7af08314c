"""JPEG without generation loss: only the blocks that an edit touches are coded again, all others
keep their coefficients.

A JPEG stores 8 x 8 cosine coefficients per component, quantised; chroma components are usually
stored at half the width and height, so that one of their blocks spans 16 x 16 pixels. An edit
replaces the coefficients of every block in whose span a pixel changed, computed with the source's
own quantisation tables and subsampling, and copies the rest as integers (ITU-T T.81; the
coefficients are read and written by `jpeglib`, which carries libjpeg; a progressive file is made
so again by `mozjpeg-lossless-optimization`). Markers stay byte for byte, but for thumbnails, see
`operators.pictures.formats.jpeg_markers`.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from operators.pictures.colour import Space, black_generation, followed
from operators.pictures.formats.header import Header, loaded, orientation_of
from operators.pictures.formats.jpeg_markers import (
    component_ids,
    end_of_image,
    frame_of,
    luma_and_black,
    other_pictures,
    with_component_ids,
    with_component_order,
    with_markers,
    with_trailer,
)
from operators.pictures.picture import Edited, Picture, upright_size
from operators.rows.arrays import LUMA_WEIGHTS, Pixels
from operators.rows.timing import timed

HUFFMAN_FRAMES = (0xC0, 0xC1, 0xC2)
"""Baseline, extended and progressive; the others are arithmetic, lossless or hierarchical."""
MOST_GROWTH = 1.05
LEAST_STEPS = (0.5, *(2 ** (power / 2) for power in range(-1, 16)), 1e9)
"""Quantisation steps from which a new coefficient is kept: plain rounding, or the finest of the
rest that keeps the file small.

A file that was once compressed harder than it is now says little in its blocks; new ones at its
present steps would say more.
"""
BAND = 32
"""Rows of largest blocks that are transformed at once."""
COMPONENTS = ("Y", "Cb", "Cr", "K")
"""What `jpeglib` calls a file's components, whatever they are."""
Plane = npt.NDArray[np.float32]
Coefficients = npt.NDArray[np.int16]
SHARED_MEMORY = Path("/dev/shm")


def header(data: memoryview | bytes) -> Header:
    """A file's header; previews that cameras append (CIPA DC-007) are no pictures of their own."""
    content = bytes(data)
    frame = frame_of(content)
    if frame is not None and (frame.marker not in HUFFMAN_FRAMES or frame.precision != 8):
        coding = "Huffman" if frame.marker in HUFFMAN_FRAMES else f"frame type {frame.marker - 0xC0}"
        return Header(frame.width, frame.height, None, unsupported=f"JPEG, {coding} coding, {frame.precision} bits a sample")
    file = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
    return Header(file.width, file.height, file, 1 + other_pictures(content))


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """The whole picture. Raises Failure as `loaded` does."""
    return _picture(loaded(header.source), header)


def reduced(header: Header, factor: Callable[[int, int], float]) -> Picture | None:
    """The picture at 1/2, 1/4 or 1/8 scale, no smaller than `factor(width, height)` times its
    size; None above one half.
    """
    width, height = header.width, header.height
    scale = factor(width, height)
    if scale > 0.5:
        return None
    header.source.draft(None, (max(1, round(width * scale)), max(1, round(height * scale))))
    return _picture(loaded(header.source), header)


def _picture(file: Image.Image, header: Header) -> Picture:
    """The picture of a loaded file. Inks are taken for inverted in the file, as Adobe's are, with
    or without its marker.
    """
    stored, orientation = np.asarray(file), orientation_of(file)
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    size = upright_size(header.width, header.height, orientation)
    model = {1: "grey", 3: "rgb", 4: "cmyk"}[stored.shape[2]]
    profile, note = followed(file.info.get("icc_profile"), model)  # type: ignore[arg-type]
    black = black_generation(stored) if model == "cmyk" else 1.0
    space = Space(model, profile=profile, black=black)  # type: ignore[arg-type]
    return Picture("JPEG", file.mode, stored, space, orientation, size, note=note)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """The source with the edited blocks coded again and its thumbnails drawn again, at most 5%
    larger.

    Raises OSError or ValueError for a file that cannot be written again.
    """
    content = bytes(source)
    end = end_of_image(content)
    with timed("codec"):
        result = _small_enough(content[:end], edited)
    return with_trailer(with_markers(result, content, edited.preview), content, end, edited.preview)


def _small_enough(source: bytes, edited: Edited) -> bytes:
    """The picture rewritten with the finest of LEAST_STEPS that keeps it within MOST_GROWTH; with
    the coarsest if none does.
    """
    result = rewritten(source, edited.stored, edited.changed, LEAST_STEPS[0])
    if len(result) <= MOST_GROWTH * len(source):
        return result
    finest, coarsest = 1, len(LEAST_STEPS) - 1
    result = rewritten(source, edited.stored, edited.changed, LEAST_STEPS[coarsest])
    while finest < coarsest:
        middle = (finest + coarsest) // 2
        finer = rewritten(source, edited.stored, edited.changed, LEAST_STEPS[middle])
        if len(finer) <= MOST_GROWTH * len(source):
            result, coarsest = finer, middle
        else:
            finest = middle + 1
    return result


def rewritten(source: memoryview | bytes, stored: Pixels, changed: npt.NDArray[np.bool_], least: float = 0.5) -> bytes:
    """The source file with the blocks under `changed` (height x width) coded from `stored`
    (height x width x 1, 3 or 4).

    New coefficients of fewer than `least` quantisation steps are dropped, a block's mean
    excepted. Pixels are as stored, unturned, inks as Pillow gives them: inverted against what the
    file holds. Every marker (EXIF, ICC, XMP, comments) and the progressive flag stay. Raises
    OSError or ValueError for a file whose components are neither grey, YCbCr, RGB, CMYK nor YCCK,
    or are sampled at an uneven rate.
    """
    import mozjpeg_lossless_optimization

    content = bytes(source)
    new, progressive = _coefficients(content, stored, changed, least)
    if len(new) == 4:
        # jpeglib writes the first three components only, and copies the fourth from the file it
        # read.
        content = _saved(with_component_order(content, (3, 0, 1, 2)), {"Y": new.pop("K")})
        content = with_component_order(content, (1, 2, 3, 0))
    result = _saved(content, new)
    if progressive:
        result = mozjpeg_lossless_optimization.optimize(result, copy=mozjpeg_lossless_optimization.COPY_MARKERS.ALL)
    return with_component_ids(with_markers(result, bytes(source)), component_ids(bytes(source)))


def _coefficients(
    source: bytes, stored: Pixels, changed: npt.NDArray[np.bool_], least: float
) -> tuple[dict[str, Coefficients], bool]:
    """The coefficients of every component, those of touched blocks computed anew; and whether the
    file is progressive.
    """
    import jpeglib

    with _file(source) as path:
        jpeg = jpeglib.read_dct(str(path))
        names = COMPONENTS[: jpeg.num_components]
        if jpeg.num_components != stored.shape[2]:
            raise ValueError(f"{jpeg.num_components} components")
        coefficients: dict[str, Coefficients] = {name: np.array(getattr(jpeg, name)) for name in names}
    factors = [(int(down), int(across)) for down, across in jpeg.samp_factor[: jpeg.num_components]]
    tallest, widest = max(down for down, _ in factors), max(across for _, across in factors)
    if any(tallest % down or widest % across for down, across in factors):
        raise ValueError(f"components sampled at {factors}")
    as_is = "RGB" in str(jpeg.jpeg_color_space) or (len(names) == 4 and not luma_and_black(source))
    step, unit = 8 * tallest * BAND, 8 * widest
    for top in range(0, stored.shape[0], step):
        columns = np.flatnonzero(changed[top : top + step].any(axis=0))
        if not len(columns):
            continue
        left, right = columns[0] // unit * unit, (columns[-1] // unit + 1) * unit
        marked = changed[top : top + step, left:right]
        planes = _planes(stored[top : top + step, left:right], as_is)
        for number, (name, (down, across)) in enumerate(zip(names, factors, strict=True)):
            spans = (8 * tallest // down, 8 * widest // across)
            part = coefficients[name][top // spans[0] : (top + step) // spans[0], left // spans[1] : right // spans[1]]
            part[...] = _recoded(part, planes[number], marked, spans, jpeg.get_component_qt(number), least)
    return coefficients, bool(jpeg.progressive_mode)


def _saved(source: bytes, coefficients: dict[str, Coefficients]) -> bytes:
    """The file with some components' coefficients replaced, its entropy coding made to measure."""
    import jpeglib

    with _file(source) as read, _file(b"") as target:
        jpeg = jpeglib.read_dct(str(read))
        for name, values in coefficients.items():
            setattr(jpeg, name, values)
        jpeg.write_dct(str(target), flags=["+OPTIMIZE_CODING"])
        return target.read_bytes()


def _planes(stored: Pixels, as_is: bool) -> list[Plane]:
    """The components of the pixels, centred on zero: as they are, or three of them as luma and
    colour differences (JFIF).
    """
    values = stored.astype(np.float32)
    if values.shape[2] == 4:
        inverted = slice(0, 4) if as_is else slice(3, 4)
        values[:, :, inverted] = 255 - values[:, :, inverted]
    planes = [values[:, :, channel] - 128 for channel in range(values.shape[2])]
    if len(planes) == 1 or as_is:
        return planes
    red, green, blue = values[:, :, 0], values[:, :, 1], values[:, :, 2]
    luma = LUMA_WEIGHTS[0] * red + LUMA_WEIGHTS[1] * green + LUMA_WEIGHTS[2] * blue
    return [luma - 128, (blue - luma) / 1.772, (red - luma) / 1.402, *planes[3:]]


def _recoded(
    coefficients: Coefficients,
    plane: Plane,
    changed: npt.NDArray[np.bool_],
    spans: tuple[int, int],
    table: npt.NDArray[np.uint16],
    least: float,
) -> Coefficients:
    """Coefficients (rows x columns of blocks x 8 x 8), new where a block has a changed pixel; a
    block spans `spans` pixels.
    """
    rows, columns = coefficients.shape[:2]
    height, width = rows * spans[0], columns * spans[1]
    missing = ((0, max(0, height - plane.shape[0])), (0, max(0, width - plane.shape[1])))
    touched = np.pad(changed[:height, :width], missing).reshape(rows, spans[0], columns, spans[1]).any(axis=(1, 3))
    if not touched.any():
        return coefficients
    part = np.pad(plane[:height, :width], missing, mode="edge")
    small = cv2.resize(part, (columns * 8, rows * 8), interpolation=cv2.INTER_AREA)
    blocks = small.reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)[touched].astype(np.float64)
    steps = COSINES @ blocks @ COSINES.T / table
    kept = np.abs(steps) >= least
    kept[:, 0, 0] = True
    result = coefficients.copy()
    result[touched] = np.rint(steps * kept).astype(np.int16)
    return result


def _cosines() -> npt.NDArray[np.float64]:
    """The orthonormal 8-point DCT-II matrix."""
    frequency, sample = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    matrix: npt.NDArray[np.float64] = np.cos((2 * sample + 1) * frequency * np.pi / 16) / 2
    matrix[0] /= np.sqrt(2)
    return matrix


COSINES = _cosines()


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    """The content as a file for a library that wants a path, in memory where the system has such
    a place.
    """
    folder = SHARED_MEMORY if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK) else None
    handle, name = tempfile.mkstemp(suffix=".jpg", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
