"""JPEG without generation loss: only the blocks that an edit touches are coded again, all others keep their coefficients.

A JPEG stores 8 x 8 cosine coefficients per component, quantised; chroma components are usually stored at half the width and
height, so that one of their blocks spans 16 x 16 pixels. An edit replaces the coefficients of every block in whose span a
pixel changed, computed with the source's own quantisation tables and subsampling, and copies the rest as integers
(ITU-T T.81; the coefficients are read and written by `jpeglib`, which carries libjpeg; a progressive file is made so again by
`mozjpeg-lossless-optimization`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from operators.table import Pixels

APPLICATION_OR_COMMENT = (*range(0xE0, 0xF0), 0xFE)
START_OF_FRAME, START_OF_SCAN, END_OF_IMAGE = (0xC0, 0xC1, 0xC2), 0xDA, 0xD9
Plane = npt.NDArray[np.float32]
SHARED_MEMORY = Path("/dev/shm")


def _cosines() -> npt.NDArray[np.float64]:
    """The orthonormal 8-point DCT-II matrix."""
    frequency, sample = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    matrix: npt.NDArray[np.float64] = np.cos((2 * sample + 1) * frequency * np.pi / 16) / 2
    matrix[0] /= np.sqrt(2)
    return matrix


COSINES = _cosines()


def rewritten(source: memoryview | bytes, stored: Pixels, changed: npt.NDArray[np.bool_]) -> bytes:
    """The source file with the blocks under `changed` (height x width) coded from `stored` (height x width x 1 or 3).

    Pixels are as stored, unturned. Every marker (EXIF, ICC, XMP, comments) and the progressive flag stay. Raises OSError or
    ValueError for a file whose components are neither grey, YCbCr nor RGB.
    """
    import jpeglib
    import mozjpeg_lossless_optimization

    with _file(bytes(source)) as read, _file(b"") as written:
        jpeg = jpeglib.read_dct(str(read))
        names = ("Y", "Cb", "Cr")[: jpeg.num_components]
        if jpeg.num_components not in (1, 3):
            raise ValueError(f"{jpeg.num_components} components")
        planes = _planes(stored, jpeg)
        widest, tallest = int(jpeg.samp_factor[:, 1].max()), int(jpeg.samp_factor[:, 0].max())
        for component, (name, plane) in enumerate(zip(names, planes, strict=True)):
            down, across = tallest // int(jpeg.samp_factor[component][0]), widest // int(jpeg.samp_factor[component][1])
            coefficients = getattr(jpeg, name)
            table = jpeg.qt[jpeg.quant_tbl_no[component]]
            setattr(jpeg, name, _replaced(coefficients, plane, changed, (down, across), table))
        jpeg.write_dct(str(written), flags=["+OPTIMIZE_CODING"])
        result = written.read_bytes()
    if jpeg.progressive_mode:
        result = mozjpeg_lossless_optimization.optimize(result, copy=mozjpeg_lossless_optimization.COPY_MARKERS.ALL)
    return _with_component_ids(_with_markers(result, bytes(source)), _component_ids(bytes(source)))


def _with_markers(data: bytes, source: bytes) -> bytes:
    """The file with exactly the application and comment segments of the source, in their order."""
    kept, stripped, position = b"", b"", 2
    for marker, at in _segments(source):
        if marker in APPLICATION_OR_COMMENT:
            kept += source[at : at + 2 + int.from_bytes(source[at + 2 : at + 4], "big")]
    for marker, at in _segments(data):
        if marker in APPLICATION_OR_COMMENT:
            stripped += data[position:at]
            position = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return data[:2] + kept + stripped + data[position:]


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and offset of every segment with a length, scans included; their entropy-coded data is passed over."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF or data[position + 1] in (0x00, 0xFF, *range(0xD0, 0xD8)):
            position += 1
            continue
        marker = data[position + 1]
        if marker == END_OF_IMAGE:
            return
        yield marker, position
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")


def _component_ids(data: bytes) -> bytes:
    """The numbers by which a file calls its components: by convention 1, 2, 3, but any will do."""
    for marker, at in _segments(data):
        if marker in START_OF_FRAME:
            return bytes(data[at + 10 + 3 * number] for number in range(data[at + 9]))
    raise ValueError("no frame header")


def _with_component_ids(data: bytes, ids: bytes) -> bytes:
    """The file with its components called by other numbers, in its frame header and in every scan."""
    renamed, own = bytearray(data), _component_ids(data)
    for marker, at in _segments(data):
        if marker in START_OF_FRAME:
            for number, new in enumerate(ids):
                renamed[at + 10 + 3 * number] = new
        elif marker == START_OF_SCAN:
            for number in range(data[at + 4]):
                place = at + 5 + 2 * number
                renamed[place] = ids[own.index(data[place])]
    return bytes(renamed)


def _planes(stored: Pixels, jpeg: Any) -> list[Plane]:
    """The components of the pixels, centred on zero: luma and two colour differences (JFIF), grey, or RGB as it is."""
    values = stored.astype(np.float32)
    if jpeg.num_components == 1:
        return [values[:, :, 0] - 128]
    if "RGB" in str(jpeg.jpeg_color_space):
        return [values[:, :, channel] - 128 for channel in range(3)]
    red, green, blue = values[:, :, 0], values[:, :, 1], values[:, :, 2]
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return [luma - 128, (blue - luma) / 1.772, (red - luma) / 1.402]


def _replaced(
    coefficients: npt.NDArray[np.int16],
    plane: Plane,
    changed: npt.NDArray[np.bool_],
    sampling: tuple[int, int],
    table: npt.NDArray[np.uint16],
) -> npt.NDArray[np.int16]:
    """A component's coefficients (rows x columns of blocks x 8 x 8) with those of the touched blocks computed anew."""
    rows, columns = coefficients.shape[:2]
    height, width = 8 * sampling[0], 8 * sampling[1]
    down, right = rows * height - plane.shape[0], columns * width - plane.shape[1]
    touched = np.pad(changed[: rows * height, : columns * width], ((0, max(0, down)), (0, max(0, right))))
    touched = np.asarray(touched.reshape(rows, height, columns, width).any(axis=(1, 3)))
    if not touched.any():
        return coefficients
    first, last = np.flatnonzero(touched.any(axis=1))[[0, -1]]
    left, end = np.flatnonzero(touched.any(axis=0))[[0, -1]]
    part = plane[first * height : (last + 1) * height, left * width : (end + 1) * width]
    size = ((last + 1 - first) * height, (end + 1 - left) * width)
    part = np.pad(part, ((0, size[0] - part.shape[0]), (0, size[1] - part.shape[1])), mode="edge")
    small = cv2.resize(part, (size[1] // sampling[1], size[0] // sampling[0]), interpolation=cv2.INTER_AREA)
    blocks = small.reshape(last + 1 - first, 8, end + 1 - left, 8).transpose(0, 2, 1, 3).astype(np.float64)
    spectrum = COSINES @ blocks @ COSINES.T
    coded = np.rint(spectrum / table).astype(np.int16)
    result = coefficients.copy()
    inside = touched[first : last + 1, left : end + 1]
    result[first : last + 1, left : end + 1][inside] = coded[inside]
    return result


@contextmanager
def _file(content: bytes) -> Iterator[Path]:
    """The content as a file for a library that wants a path, in memory where the system has such a place."""
    folder = SHARED_MEMORY if SHARED_MEMORY.is_dir() and os.access(SHARED_MEMORY, os.W_OK) else None
    handle, name = tempfile.mkstemp(suffix=".jpg", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
