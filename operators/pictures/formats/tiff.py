"""TIFF: the source file itself, with only those strips or tiles written again in which a sample
changed (Adobe TIFF 6.0).

A strip or tile keeps its compression, predictor, byte order and planes. New ones take the place
of the old ones; what finds no room there goes to the end of the file, and its offset follows. So
every tag, known or not, with its sub-directories, stays byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from operators.pictures.colour import COLOURS, Model, Samples, Space, black_generation, followed
from operators.pictures.formats import palette
from operators.pictures.formats.header import Header, decoding_failure
from operators.pictures.formats.thumbnails import photoshop_redrawn, xmp_redrawn
from operators.pictures.formats.tiff_directory import Directory, first_directory
from operators.pictures.formats.tiff_strips import (
    BITS,
    COMPRESSION,
    COMPRESSIONS,
    DIFFERENCES,
    FAX,
    LENGTH,
    PHOTOMETRIC,
    PLAIN,
    PREDICTOR,
    SAMPLES,
    STRIP_COUNTS,
    STRIP_OFFSETS,
    TILE_COUNTS,
    TILE_OFFSETS,
    WIDTH,
    Layout,
    compressed,
    decompressed,
    layout_of,
    placed,
)
from operators.pictures.picture import TURNS, Edited, Indexed, Picture, upright_size
from operators.rows.arrays import Pixels
from operators.rows.timing import timed

ORIENTATION, COLOUR_MAP, SUB_DIRECTORIES, INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT = 274, 320, 330, 332, 338, 339
XMP, PHOTOSHOP, PROFILE = 700, 34377, 34675
MODELS: dict[int, Model] = {0: "grey", 1: "grey", 2: "rgb", 3: "rgb", 5: "cmyk"}
"""The meaning of samples by photometric interpretation; 3 is a palette of RGB colours."""
WHITE_IS_ZERO, INDEXED = 0, 3
NAMES = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}
MOST_SAMPLES = 8


def header(data: memoryview | bytes) -> Header:
    """A file's header; further pages and smaller copies of the first one count as frames. Raises
    ValueError.
    """
    directory = first_directory(data)
    width, height = directory.number(WIDTH, 0), directory.number(LENGTH, 0)
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height} pixels")
    frames = (
        1 + (directory.next != 0) + (directory.entries[SUB_DIRECTORIES].count if SUB_DIRECTORIES in directory.entries else 0)
    )
    return Header(width, height, directory, frames, _unsupported(directory))


def _unsupported(directory: Directory) -> str | None:
    bits = directory.numbers(BITS, (1,))
    samples, photometric = directory.number(SAMPLES, 1), directory.number(PHOTOMETRIC, 1)
    compression, predictor = directory.number(COMPRESSION, PLAIN), directory.number(PREDICTOR, 1)
    formats = set(directory.numbers(SAMPLE_FORMAT, (1,)))
    if photometric not in MODELS or directory.number(INK_SET, 1) != 1:
        return f"TIFF, photometric interpretation {photometric}"
    if formats - {1, 4}:
        return f"TIFF, sample format {formats}"
    if len(set(bits)) > 1 or bits[0] not in (1, 2, 4, 8, 16) or (bits[0] < 8 and samples > 1):
        return f"TIFF, {bits} bits a sample"
    if compression != PLAIN and compression not in COMPRESSIONS:
        return f"TIFF, compression {compression}"
    if predictor not in (1, DIFFERENCES) or (predictor == DIFFERENCES and bits[0] < 8):
        return f"TIFF, predictor {predictor}"
    if (compression in FAX and bits[0] != 1) or (photometric == INDEXED and (samples != 1 or bits[0] > 8)):
        return f"TIFF, photometric interpretation {photometric}, compression {compression}, {bits} bits a sample"
    if not COLOURS[MODELS[photometric]] * (photometric != INDEXED) <= samples <= MOST_SAMPLES:
        return f"TIFF, {samples} samples"
    return None


def decode(header: Header, data: memoryview | bytes) -> Picture:
    """The whole picture. Raises Failure truncated or corrupt."""
    directory: Directory = header.source
    try:
        with timed("codec"):
            stored = decompressed(layout_of(directory))
        return _picture(directory, stored)
    except Exception as error:
        raise decoding_failure(error) from error


def _picture(directory: Directory, stored: Samples) -> Picture:
    photometric, bits = directory.number(PHOTOMETRIC, 1), directory.number(BITS, 1)
    model = MODELS[photometric]
    orientation = directory.number(ORIENTATION, 1)
    orientation = orientation if orientation in TURNS else 1
    size = upright_size(stored.shape[1], stored.shape[0], orientation)
    profile, note = followed(directory.content(PROFILE), model)
    if photometric == INDEXED:
        indexed = Indexed(stored[:, :, 0], _entries(directory))
        return Picture("TIFF", "P", palette.looked_up(indexed), Space("rgb", 255, profile), orientation, size, indexed, note)
    extra = directory.numbers(EXTRA_SAMPLES)[:1]
    beyond = stored.shape[2] - COLOURS[model]
    mode = NAMES[model] + ("A" if beyond == 1 and extra in ((1,), (2,)) else "X" * beyond) + (f";{bits}" if bits != 8 else "")
    mode = {"L;1": "1", "L;16": "I;16"}.get(mode, mode)
    black = black_generation(stored if bits == 8 else (stored >> 8).astype(np.uint8)) if model == "cmyk" else 1.0
    inverted, premultiplied = photometric == WHITE_IS_ZERO, extra == (1,) and beyond > 0
    space = Space(model, 2**bits - 1, profile, inverted, premultiplied, black)
    return Picture("TIFF", mode, stored, space, orientation, size, note=note)


def _entries(directory: Directory) -> Pixels:
    """A palette of 16-bit colours as uint8 RGBA entries."""
    colours = np.array(directory.numbers(COLOUR_MAP), np.uint32).reshape(3, -1).T
    colours = colours if colours.max(initial=0) < 256 else (colours + 128) // 257
    entries = np.full((len(colours), 4), 255, np.uint8)
    entries[:, :3] = colours
    return entries


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """The source with every strip and tile written again that holds a changed sample. Raises
    OSError or ValueError.
    """
    directory = first_directory(source)
    layout, indexed = layout_of(directory), edited.picture.indexed
    result = bytearray(source)
    before, after = edited.picture.stored, edited.stored
    if indexed is not None:
        found = palette.refitted(indexed, edited)
        assert found is not None
        before, after = indexed.indices[:, :, None], found.indices[:, :, None]
        _put_colours(result, directory, indexed, found)
    with timed("codec"):
        offsets, counts = placed(result, layout, dict(_changed_parts(layout, edited.changed, before, after)))
    tiled = layout.tile is not None
    _put_numbers(result, directory, TILE_OFFSETS if tiled else STRIP_OFFSETS, offsets)
    if layout.compression != PLAIN:
        _put_numbers(result, directory, TILE_COUNTS if tiled else STRIP_COUNTS, counts)
    for tag, redrawn in ((XMP, xmp_redrawn), (PHOTOSHOP, photoshop_redrawn)):
        if tag in directory.entries:
            entry, content = directory.entries[tag], directory.content(tag) or b""
            result[entry.at : entry.at + entry.size] = redrawn(content, edited.preview)
    _check(bytes(result), after)
    return bytes(result)


def _changed_parts(
    layout: Layout, changed: npt.NDArray[np.bool_], before: Samples, after: Samples
) -> Iterator[tuple[int, bytes]]:
    """The number and the new content of every strip or tile in which a sample changed."""
    for number, segment in enumerate(layout.segments()):
        area = np.s_[segment.top : segment.top + segment.height, segment.left : segment.left + segment.width]
        if changed[area].any() and not np.array_equal(before[area][:, :, segment.plane], after[area][:, :, segment.plane]):
            yield number, compressed(layout, segment, after[area][:, :, segment.plane])


def _check(result: bytes, after: Samples) -> None:
    """Raise ValueError unless the file holds the edited samples: parts of a file may lie over one
    another.
    """
    if not np.array_equal(decompressed(layout_of(first_directory(result))), after):
        raise ValueError("the file's parts overlap")


def _put_numbers(result: bytearray, directory: Directory, tag: int, numbers: list[int]) -> None:
    old = directory.numbers(tag)
    entry = directory.entries[tag]
    result[entry.at : entry.at + entry.size] = directory.packed(tag, (*numbers, *old[len(numbers) :]))


def _put_colours(result: bytearray, directory: Directory, before: Indexed, after: Indexed) -> None:
    """Write the palette entries that have other colours now; the rest keep their 16 bits."""
    colours = np.array(directory.numbers(COLOUR_MAP), np.uint32).reshape(3, -1)
    scale = 1 if colours.max(initial=0) < 256 else 257
    other = (before.entries != after.entries).any(axis=1)
    colours[:, other] = after.entries[other, :3].T.astype(np.uint32) * scale
    _put_numbers(result, directory, COLOUR_MAP, colours.ravel().tolist())
