"""JPEG without generation loss: only the blocks that an edit touches are coded again.

A JPEG stores 8 x 8 quantised cosine coefficients per component (ITU-T T.81). Chroma components
are usually stored at half the width and height, so that one of their blocks spans 16 x 16 pixels.
An edit recomputes the coefficients of every block in whose span a pixel changed, with the
source's quantisation tables and subsampling, and copies all others as integers. `jpeglib`, which
contains libjpeg, reads and writes the coefficients; `mozjpeg-lossless-optimization` makes a
progressive file progressive again. Markers keep their bytes, see
`operators.pictures.formats.jpeg_markers`.

As in every viewer, a file may lack its end marker, but not its pixels: decoders make grey blocks
of what is missing and only warn. `_check_complete` tells the two apart.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, JpegImagePlugin

from operators.pictures.colour import Model, Space, black_generation, profile_to_apply
from operators.pictures.formats.header import Header, load_pixels, orientation_of
from operators.pictures.formats.jpeg_markers import (
    component_ids,
    end_of_image,
    frame_of,
    luma_and_black,
    profile_of,
    scans_are_complete,
    stores_rgb,
    with_component_ids,
    with_component_order,
    with_end,
    with_markers,
    with_trailer,
    without_markers,
)
from operators.pictures.picture import Edited, Picture, upright_size
from operators.rows.arrays import LUMA_WEIGHTS, Pixels
from operators.rows.failure import Failure
from operators.rows.timing import timed

HUFFMAN_FRAMES, ARITHMETIC_FRAMES = (0xC0, 0xC1, 0xC2), (0xC9, 0xCA)
"""Baseline, extended and progressive, and the last two with arithmetic coding.

The others are lossless or hierarchical.
"""
READS_ARITHMETIC = "turbo210"
"""The version of libjpeg in jpeglib that reads arithmetic coding; it writes Huffman coding."""
PROGRESSIVE_FRAMES = (0xC2, 0xCA)
"""Progressive with Huffman and with arithmetic coding."""
MISSING = 128
"""The level that decoders give to blocks without data; 127 if they turn inks over."""
FILLER = bytes(range(1, 128)) * 8
"""Entropy-coded data that belongs to no picture."""
MOST_GROWTH = 1.05
"""The largest size of an edited picture, relative to the source."""
LEAST_STEPS = (0.5, *(2 ** (power / 2) for power in range(-1, 16)), 1e9)
"""Thresholds in quantisation steps, below which a new coefficient is dropped.

The first is plain rounding; if it makes the file too large, the finest of the others that does
not is used. A file that was once compressed harder has little detail in its blocks, so that new
blocks with its present tables would take more bytes than the old ones.
"""
BAND = 32
"""Rows of blocks, of the component with the largest ones, that are transformed at once."""
COMPONENTS = ("Y", "Cb", "Cr", "K")
"""The names that `jpeglib` gives to a file's components, whatever they are."""
LARGEST_DC = 1024
"""The largest mean of a block of 8 bits, as a coefficient that is not quantised."""
Plane = npt.NDArray[np.float32]
Coefficients = npt.NDArray[np.int16]


def header(data: memoryview | bytes) -> Header:
    """Read the header of a JPEG file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels, and why its coding or bit depth is unsupported.
      Pictures that follow the first one (previews, gain maps) do not count: they are edited alike,
      see `operators.pictures.previews`.
    - Kept: Pillow's image, its pixels not decoded yet.
    - Errors: whatever Pillow raises.
    """
    content = with_end(bytes(data))
    frame = frame_of(content)
    if frame is not None and (frame.marker not in (*HUFFMAN_FRAMES, *ARITHMETIC_FRAMES) or frame.precision != 8):
        coding = "Huffman" if frame.marker in HUFFMAN_FRAMES else f"frame type {frame.marker - 0xC0}"
        return Header(frame.width, frame.height, None, unsupported=f"JPEG, {coding} coding, {frame.precision} bits a sample")
    file = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
    return Header(file.width, file.height, file)


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """Decode the pixels of a JPEG file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in grey, RGB or CMYK.
    - Kept: the ICC profile, the EXIF orientation and the black generation of CMYK.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    return _complete(_picture(load_pixels(header.source), header, bytes(data)), data)


def _complete(picture: Picture, data: memoryview | bytes, draft: tuple[int, int] | None = None) -> Picture:
    """The picture, unless `_check_complete` raises Failure."""
    _check_complete(bytes(data), picture.stored, draft)
    return picture


def _check_complete(content: bytes, stored: Pixels, draft: tuple[int, int] | None) -> None:
    """Raise Failure truncated if entropy-coded data ends before the last block.

    Without data a decoder makes grey of a baseline picture's blocks and leaves those of a
    progressive one coarse. So pixels are complete if more data before the end marker does not
    change them. Only pictures that may be incomplete are decoded a second time: those that end
    in grey, and progressive or arithmetic ones. `draft` is the size for which they were decoded,
    if reduced.
    """
    frame = frame_of(content)
    progressive = frame is not None and frame.marker in PROGRESSIVE_FRAMES
    arithmetic = frame is not None and frame.marker in ARITHMETIC_FRAMES
    if not (progressive or arithmetic) and (abs(stored[-1, -1].astype(int) - MISSING) > 1).any():
        return
    if progressive and not scans_are_complete(content):
        raise Failure("truncated", "scans are missing")
    content = with_end(content)
    end = end_of_image(content) - 2
    longer = JpegImagePlugin.JpegImageFile(io.BytesIO(content[:end] + FILLER + content[end:]))
    if draft is not None:
        longer.draft(None, draft)
    if not np.array_equal(np.asarray(load_pixels(longer)).reshape(stored.shape), stored):
        raise Failure("truncated", "the entropy-coded data ends before the last block")


def decode_reduced(header: Header, data: memoryview | bytes, factor: Callable[[int, int], float]) -> Picture | None:
    """Decode a JPEG file at 1/2, 1/4 or 1/8 scale.

    The result is at least `factor(width, height)` times the stored size; None if that is above
    one half. Raises Failure as `decode` does.
    """
    width, height = header.width, header.height
    scale = factor(width, height)
    if scale > 0.5:
        return None
    draft = (max(1, round(width * scale)), max(1, round(height * scale)))
    header.source.draft(None, draft)
    return _complete(_picture(load_pixels(header.source), header, bytes(data)), data, draft)


def _picture(file: Image.Image, header: Header, content: bytes) -> Picture:
    """The picture of a loaded file.

    The file's inks are taken for inverted, as Adobe writes them, with or without its marker.
    """
    stored, orientation = np.asarray(file), orientation_of(file)
    stored = stored[:, :, None] if stored.ndim == 2 else stored
    size = upright_size(header.width, header.height, orientation)
    models: dict[int, Model] = {1: "grey", 3: "rgb", 4: "cmyk"}
    model = models[stored.shape[2]]
    profile, note = profile_to_apply(profile_of(content), model)
    black = black_generation(stored) if model == "cmyk" else 1.0
    space = Space(model, profile=profile, black=black)
    return Picture("JPEG", file.mode, stored, space, orientation, size, note=note)


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a JPEG file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file; its picture takes at most 5% more bytes, if dropping coefficients of
      new blocks can achieve that.
    - Kept: the coefficients of every block without a changed pixel, quantisation tables,
      subsampling, the progressive flag, every marker, and what follows the picture. If there is a
      file of the edited picture already, it has its coefficients.
    - Errors: OSError or ValueError for components or sampling that are not supported.
    """
    content = with_end(bytes(source))
    end = end_of_image(content)
    with timed("codec"):
        if edited.file is None:
            result = rewritten_within(content[:end], edited.stored, edited.changed, MOST_GROWTH * end)
        else:
            result = with_coefficients_of(content[:end], with_end(edited.file))
            if len(result) > MOST_GROWTH * end:
                raise ValueError("the coefficients of the other file take too many bytes here")
    return with_trailer(with_markers(result, content), content, end)


def rewritten_within(source: bytes, stored: Pixels, changed: npt.NDArray[np.bool_], most: float) -> bytes:
    """`rewritten` with the finest of LEAST_STEPS that keeps the file within `most` bytes.

    If none does, the coarsest is used.
    """
    result = rewritten(source, stored, changed, LEAST_STEPS[0])
    if len(result) <= most:
        return result
    finest, coarsest = 1, len(LEAST_STEPS) - 1
    result = rewritten(source, stored, changed, LEAST_STEPS[coarsest])
    while finest < coarsest:
        middle = (finest + coarsest) // 2
        finer = rewritten(source, stored, changed, LEAST_STEPS[middle])
        if len(finer) <= most:
            result, coarsest = finer, middle
        else:
            finest = middle + 1
    return result


def rewritten(source: memoryview | bytes, stored: Pixels, changed: npt.NDArray[np.bool_], least: float = 0.5) -> bytes:
    """The source file with the blocks under `changed` coded again.

    `stored` are the new pixels, height x width x 1, 3 or 4, not turned, inks as Pillow decodes
    them, which is inverted compared with the file. `changed` is height x width. New coefficients
    of fewer than `least` quantisation steps are dropped, except the mean of a block. All markers
    (EXIF, ICC, XMP, comments) and the progressive flag are kept. Raises OSError or ValueError for
    components other than grey, YCbCr, RGB, CMYK and YCCK, or sampled at an uneven rate.
    """
    content = _with_huffman_coding(without_markers(bytes(source)))
    return _coded_again(bytes(source), content, _coefficients(content, stored, changed, least))


def with_coefficients_of(source: bytes, other: bytes) -> bytes:
    """The source file with the coefficients of another one, of the same size and compression.

    Raises ValueError if the other one has other quantisation tables or another sampling.
    """
    content, others = (_with_huffman_coding(without_markers(file)) for file in (source, other))
    (jpeg, own), (other_jpeg, new) = _read(content), _read(others)
    if _compression(jpeg, own, content) != _compression(other_jpeg, new, others):
        raise ValueError("files of different compression")
    return _coded_again(source, content, new)


def _read(content: bytes) -> tuple[Any, dict[str, Coefficients]]:
    """jpeglib's view of a file, and the coefficients of its components. Raises OSError."""
    import jpeglib

    with _temporary_file(content) as path:
        jpeg = _call_jpeglib(jpeglib.read_dct, path)
        names = COMPONENTS[: jpeg.num_components]
        return jpeg, {name: np.array(getattr(jpeg, name)) for name in names}


def _compression(jpeg: Any, coefficients: Mapping[str, Coefficients], content: bytes) -> list[object]:
    """What the coefficients of a file mean: their tables, their sampling, their components."""
    tables = [jpeg.get_component_qt(number).tolist() for number in range(len(coefficients))]
    return [tables, [values.shape for values in coefficients.values()], component_ids(content)]


def _coded_again(source: bytes, content: bytes, new: dict[str, Coefficients]) -> bytes:
    """The source file with new coefficients; `content` is the source without its markers."""
    import mozjpeg_lossless_optimization

    frame = frame_of(source)
    if len(new) == 4:
        # jpeglib writes only the first three components and copies the fourth from the file that
        # it read.
        content = _with_coefficients(with_component_order(content, (3, 0, 1, 2)), {"Y": new.pop("K")})
        content = with_component_order(content, (1, 2, 3, 0))
    result = _with_coefficients(content, new)
    if frame is not None and frame.marker in PROGRESSIVE_FRAMES:
        result = mozjpeg_lossless_optimization.optimize(result, copy=mozjpeg_lossless_optimization.COPY_MARKERS.ALL)
    return with_component_ids(with_markers(result, source), component_ids(source))


def _with_huffman_coding(content: bytes) -> bytes:
    """The same coefficients with Huffman coding, if they have arithmetic coding. Raises OSError."""
    import jpeglib

    frame = frame_of(content)
    if frame is None or frame.marker not in ARITHMETIC_FRAMES:
        return content
    with jpeglib.version(READS_ARITHMETIC):
        return _with_coefficients(content, {})


def _coefficients(source: bytes, stored: Pixels, changed: npt.NDArray[np.bool_], least: float) -> dict[str, Coefficients]:
    """Coefficients of every component, touched blocks recomputed."""
    jpeg, coefficients = _read(source)
    if len(coefficients) != stored.shape[2]:
        raise ValueError(f"{len(coefficients)} components")
    names = list(coefficients)
    factors = [(int(down), int(across)) for down, across in jpeg.samp_factor[: jpeg.num_components]]
    tallest, widest = max(down for down, _ in factors), max(across for _, across in factors)
    if any(tallest % down or widest % across for down, across in factors):
        raise ValueError(f"components sampled at {factors}")
    without_luma = not luma_and_black(source) if len(names) == 4 else stores_rgb(source)
    step, unit = 8 * tallest * BAND, 8 * widest
    for top in range(0, stored.shape[0], step):
        columns = np.flatnonzero(changed[top : top + step].any(axis=0))
        if not len(columns):
            continue
        left, right = columns[0] // unit * unit, (columns[-1] // unit + 1) * unit
        marked = changed[top : top + step, left:right]
        planes = _planes(stored[top : top + step, left:right], without_luma)
        for number, (name, (down, across)) in enumerate(zip(names, factors, strict=True)):
            spans = (8 * tallest // down, 8 * widest // across)
            part = coefficients[name][top // spans[0] : (top + step) // spans[0], left // spans[1] : right // spans[1]]
            part[...] = _recoded(part, planes[number], marked, spans, jpeg.get_component_qt(number), least)
    return coefficients


def _with_coefficients(source: bytes, coefficients: dict[str, Coefficients]) -> bytes:
    """The file with some components' coefficients replaced and its entropy coding optimised.

    Raises OSError, also for a source with coefficients that damage has made larger than a JPEG
    can hold. Decoders clip them, so viewers show such a file.
    """
    import jpeglib

    with _temporary_file(source) as read, _temporary_file(b"") as target:
        jpeg = _call_jpeglib(jpeglib.read_dct, read)
        for name, values in coefficients.items():
            setattr(jpeg, name, values)
        names = COMPONENTS[: jpeg.num_components]
        try:
            _call_jpeglib(jpeg.write_dct, target, flags=["+OPTIMIZE_CODING"])
        except OSError as error:
            if max(int(np.abs(getattr(jpeg, name)[:, :, 0, 0]).max()) for name in names) > LARGEST_DC:
                raise OSError("damaged data, which give coefficients that no JPEG can hold") from error
            raise
        return target.read_bytes()


def _call_jpeglib(function: Callable[..., Any], path: Path, **options: Any) -> Any:
    """The result of jpeglib for a temporary file, whose name must not get into any message.

    Raises OSError.
    """
    try:
        return function(str(path), **options)
    except MemoryError:
        raise
    except Exception as error:
        raise OSError(str(error).replace(str(path), "a JPEG's coefficients")) from None


def _planes(stored: Pixels, without_luma: bool) -> list[Plane]:
    """The components of the pixels, centred on zero.

    The first three of several become luma and colour differences (JFIF) unless `without_luma`.
    """
    values = stored.astype(np.float32)
    if values.shape[2] == 4:
        inverted = slice(0, 4) if without_luma else slice(3, 4)
        values[:, :, inverted] = 255 - values[:, :, inverted]
    planes = [values[:, :, channel] - 128 for channel in range(values.shape[2])]
    if len(planes) == 1 or without_luma:
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
    """Coefficients (rows x columns of blocks x 8 x 8), recomputed in blocks with changed pixels.

    `spans` are the height and width of a block in pixels, `table` its quantisation steps.
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
    large_enough = np.abs(steps) >= least
    large_enough[:, 0, 0] = True
    result = coefficients.copy()
    result[touched] = np.rint(steps * large_enough).astype(np.int16)
    return result


def _cosines() -> npt.NDArray[np.float64]:
    """The orthonormal 8-point DCT-II matrix."""
    frequency, sample = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    matrix: npt.NDArray[np.float64] = np.cos((2 * sample + 1) * frequency * np.pi / 16) / 2
    matrix[0] /= np.sqrt(2)
    return matrix


COSINES = _cosines()


@contextmanager
def _temporary_file(content: bytes) -> Iterator[Path]:
    """A temporary file for a library that needs a path.

    On Linux it lies in memory and has no name in any folder, so that nothing is left of it when
    this process is killed.
    """
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("picture")
        try:
            path = Path(f"/proc/self/fd/{handle}")
            path.write_bytes(content)
            yield path
        finally:
            os.close(handle)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.jpg"
        path.write_bytes(content)
        yield path
