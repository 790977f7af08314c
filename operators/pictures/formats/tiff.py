"""TIFF: the source file itself, with only the strips or tiles that changed written again.

Source: Adobe TIFF 6.0. A strip or tile keeps its compression, predictor, byte order and planes.
New ones take the place of the old ones, whose bytes become zero; those that do not fit go to the
end of the file, and their offsets are updated. All pages are one tall picture for operators, see
`Page`; those of several kinds are blended each in its own colours. So every tag, known or not,
with its sub-directories, keeps its bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from operators.pictures.colour import COLOURS, Model, Samples, Space, black_generation, profile_to_apply
from operators.pictures.formats import palette
from operators.pictures.formats.header import Header, decoding_failure
from operators.pictures.formats.tiff_directory import (
    Directory,
    directory_at,
    first_directory,
    pixels_of,
    places_of,
    with_sub_directories,
)
from operators.pictures.formats.tiff_strips import (
    BITS,
    COMPRESSION,
    COMPRESSIONS,
    DIFFERENCES,
    FAX,
    JPEG,
    JPEG_TABLES,
    LENGTH,
    PHOTOMETRIC,
    PLAIN,
    PLANES,
    PREDICTOR,
    SAMPLES,
    WIDTH,
    YCBCR,
    Layout,
    Span,
    compressed,
    compressed_jpeg,
    decompressed,
    jpeg_with_tables,
    layout_of,
    place,
)
from operators.pictures.pages import Page, stacked
from operators.pictures.picture import TURNS, Edited, Indexed, Picture, upright_size
from operators.rows.arrays import Pixels
from operators.rows.timing import timed

ORIENTATION, COLOUR_MAP, SUB_DIRECTORIES, INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT = 274, 320, 330, 332, 338, 339
PROFILE = 34675
MODELS: dict[int, Model] = {0: "grey", 1: "grey", 2: "rgb", 3: "rgb", 5: "cmyk", 6: "rgb"}
"""The meaning of samples by photometric interpretation.

3 is a palette of RGB colours, and 6 luma with two colour differences, from which a JPEG decoder
makes RGB.
"""
JPEG_SAMPLES = {1: 1, 2: 3, 6: 3}
"""Samples of a pixel by photometric interpretation, where strips and tiles are JPEG."""
WHITE_IS_ZERO, INDEXED = 0, 3
"""Photometric interpretations."""
NAMES = {"grey": "L", "rgb": "RGB", "cmyk": "CMYK"}
MOST_SAMPLES = 8
MOST_PAGES = 1000
DNG_VERSION, FILTER_PATTERN = 50706, 33422
"""Tags that only raw photographs have."""
RAW_STARTS = {b"CR\2\0": "CR2", b"IIII": "IIQ", b"MMMM": "IIQ"}
"""What follows the header of a TIFF in some raw photographs."""
RAW_SAMPLES = (32803, 34892)
"""Photometric interpretations: a colour filter, and its samples with all colours of a pixel."""
MAKERS = (32767, 32769, 32770, 34713, 65000, 65535)
"""Compressions of Sony, Epson, Samsung, Nikon, Kodak and Pentax."""
BIG = 43
"""The version of BigTIFF."""
NEW_SUBFILE_TYPE, SUBFILE_TYPE = 254, 255
"""Tags that say whether a directory is a smaller copy of another one."""
KIND_TAGS = (BITS, PHOTOMETRIC, SAMPLES, INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, PROFILE)
"""What pages must have in common to be one picture."""


def header(data: memoryview | bytes) -> Header:
    """Read the header of a TIFF file.

    - Arguments: `data`, the whole file.
    - Result: width and height in stored pixels, the number of pictures (a further page and
      smaller copies of the first count), and why the file's layout or colours are unsupported.
      Pages are one picture, see `Page`.
      A raw photograph is unsupported, whatever previews it has.
    - Kept: the directories of all pages.
    - Errors: ValueError for a directory that is damaged or names no size.
    """
    directory = first_directory(data)
    width, height = directory.number(WIDTH, 0), directory.number(LENGTH, 0)
    if width < 1 or height < 1:
        raise ValueError(f"{width} x {height} pixels")
    raw = raw_kind((directory,)) or raw_kind(directories_of(data))
    if raw is not None:
        return Header(width, height, (directory,), unsupported=f"{raw} files are not edited")
    directories = directories_of(data)
    if len(directories) > 1 and _are_pages(directories):
        pages = _pages_of(directories)
        tall = pages[-1].top + pages[-1].height
        return Header(max(page.width for page in pages), tall, directories, first=Header(width, height, (directory,)))
    sub_directories = directory.entries[SUB_DIRECTORIES].count if SUB_DIRECTORIES in directory.entries else 0
    frames = 1 + (directory.next_offset != 0) + sub_directories
    first = Header(width, height, (directory,), 1 + sub_directories, _unsupported(directory))
    reason = _unsupported(directory)
    return Header(width, height, (directory,), frames, reason, first=first if directory.next_offset else None)


def raw_kind(directories: tuple[Directory, ...]) -> str | None:
    """The kind of raw photograph that a file is; None for a picture.

    Sources: DNG 1.7 (Adobe), TIFF/EP (ISO 12234-2). Makers' formats are known by the samples of a
    colour filter or by compressions of their own, in any directory or sub-directory.
    """
    first = directories[0]
    if DNG_VERSION in first.entries:
        return "DNG"
    start = bytes(first.data[8:12])
    if start in RAW_STARTS:
        return RAW_STARTS[start]
    for each in with_sub_directories(directories):
        if FILTER_PATTERN in each.entries or _first(each, PHOTOMETRIC) in RAW_SAMPLES or _first(each, COMPRESSION) in MAKERS:
            return "raw photograph"
    return None


def _first(directory: Directory, tag: int) -> int | None:
    """A tag's first number; None without one that can be read."""
    try:
        return next(iter(directory.numbers(tag)), None)
    except ValueError:
        return None


def directories_of(data: memoryview | bytes) -> tuple[Directory, ...]:
    """The directories of all pages, in order. Raises ValueError for a damaged one or a circle."""
    found = [first_directory(data)]
    version = int.from_bytes(bytes(data[2:4]), "little" if found[0].order == "<" else "big")
    offsets = {0}
    while found[-1].next_offset:
        if found[-1].next_offset in offsets or len(found) > MOST_PAGES:
            raise ValueError(f"more than {len(found)} pages, or pages in a circle")
        offsets.add(found[-1].next_offset)
        found.append(directory_at(data, found[-1].next_offset, found[0].order, version == BIG))
    return tuple(found)


def _are_pages(directories: tuple[Directory, ...]) -> bool:
    """Whether all directories are pages that can be edited together.

    Pages of several kinds are seen without alpha, so none of them may have one.
    """
    clear = any(set(each.numbers(EXTRA_SAMPLES)) & {1, 2} for each in directories)
    return all(map(_is_page, directories)) and (not clear or _are_alike(directories))


def _is_page(directory: Directory) -> bool:
    """Whether a directory is a page that can be edited, and no smaller copy of another one."""
    copy = directory.number(NEW_SUBFILE_TYPE, 0) & 1 or directory.number(SUBFILE_TYPE, 1) == 2
    return (
        not copy
        and min(directory.number(WIDTH, 0), directory.number(LENGTH, 0)) > 0
        and SUB_DIRECTORIES not in directory.entries
        and _unsupported(directory) is None
    )


def _are_alike(directories: tuple[Directory, ...]) -> bool:
    """Whether all pages are of the same kind, upright and without a palette."""
    kinds = [[each.content(tag) for tag in KIND_TAGS] for each in directories]
    upright = all(each.number(ORIENTATION, 1) == 1 for each in directories)
    return upright and directories[0].number(PHOTOMETRIC, 1) != INDEXED and all(kind == kinds[0] for kind in kinds)


def _pages_of(directories: tuple[Directory, ...]) -> tuple[Page, ...]:
    """Where each page is in the picture of all; a single one is no page."""
    sizes = []
    for directory in directories:
        orientation = directory.number(ORIENTATION, 1)
        stored = directory.number(WIDTH, 0), directory.number(LENGTH, 0)
        width, height = upright_size(*stored, orientation if orientation in TURNS else 1)
        sizes.append((height, width))
    return stacked(sizes) if len(sizes) > 1 else ()


def alone(data: memoryview | bytes, number: int) -> bytes:
    """The same file with one of its pages as the only one."""
    directory, result = directories_of(data)[number], bytearray(data)
    letter = "Q" if directory.next_width == 8 else "I"
    struct.pack_into(f"{directory.order}{letter}", result, directory.next_width, directory.start)
    struct.pack_into(f"{directory.order}{letter}", result, directory.next_pointer, 0)
    return bytes(result)


def _unsupported(directory: Directory) -> str | None:
    """Why a file cannot be edited; None if it can. Raises ValueError for damaged tags."""
    bits = directory.numbers(BITS, (1,))
    samples, photometric = directory.number(SAMPLES, 1), directory.number(PHOTOMETRIC, 1)
    compression, predictor = directory.number(COMPRESSION, PLAIN), directory.number(PREDICTOR, 1)
    formats = set(directory.numbers(SAMPLE_FORMAT, (1,)))
    if compression == JPEG:
        planes = directory.number(PLANES, 1)
        if JPEG_SAMPLES.get(photometric) != samples or set(bits) != {8} or planes != 1 or predictor != 1:
            return f"TIFF, JPEG of photometric interpretation {photometric}, {samples} samples of {bits} bits"
        return None
    if photometric not in MODELS or photometric == YCBCR or directory.number(INK_SET, 1) != 1:
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
    """Decode the pixels of a TIFF file.

    - Arguments: the `header` of the file, and `data`, the whole file.
    - Result: the picture in its own bit depth and colour model, with a palette looked up.
    - Kept: the palette, the ICC profile and the orientation tag.
    - Errors: Failure truncated, corrupt, decompression_bomb or out_of_memory.
    """
    directories: tuple[Directory, ...] = header.source
    try:
        with timed("codec"):
            parts = [decompressed(layout_of(directory)) for directory in directories]
        pages = _pages_of(directories)
        if not pages:
            return _picture(directories[0], parts[0])
        picture = _picture(directories[0], parts[0])
        if not _are_alike(directories):
            return _sheet(tuple(map(_picture, directories, parts)), pages, header)
        ground = 0 if picture.space.inverted or picture.space.model == "cmyk" else picture.space.peak
        stored = np.full((header.height, header.width, parts[0].shape[2]), ground, parts[0].dtype)
        for page, part in zip(pages, parts, strict=True):
            stored[page.area] = part
        return replace(_picture(directories[0], stored), pages=pages)
    except Exception as error:
        raise decoding_failure(error) from error


def _sheet(parts: tuple[Picture, ...], pages: tuple[Page, ...], header: Header) -> Picture:
    """The picture of pages of several kinds, each as it is seen upright."""
    stored = np.full((header.height, header.width, 3), 255, np.uint8)
    for page, part in zip(pages, parts, strict=True):
        stored[page.area] = part.rgb()
    size, note = (header.width, header.height), next((part.note for part in parts if part.note), None)
    return Picture("TIFF", "RGB", stored, Space("rgb"), 1, size, note=note, pages=pages, parts=parts)


def _picture(directory: Directory, stored: Samples) -> Picture:
    """The picture of decoded samples. Raises ValueError for damaged tags."""
    photometric, bits = directory.number(PHOTOMETRIC, 1), directory.number(BITS, 1)
    model = MODELS[photometric]
    orientation = directory.number(ORIENTATION, 1)
    orientation = orientation if orientation in TURNS else 1
    size = upright_size(stored.shape[1], stored.shape[0], orientation)
    profile, note = profile_to_apply(directory.content(PROFILE), model)
    if photometric == INDEXED:
        indexed = Indexed(stored[:, :, 0], _entries(directory))
        colours, space = palette.looked_up(indexed), Space("rgb", profile=profile)
        return Picture("TIFF", "P", colours, space, orientation, size, indexed=indexed, note=note)
    first_extra = directory.numbers(EXTRA_SAMPLES)[:1]
    extra = stored.shape[2] - COLOURS[model]
    mode = NAMES[model] + ("A" if extra == 1 and first_extra in ((1,), (2,)) else "X" * extra)
    mode += f";{bits}" if bits != 8 else ""
    mode = {"L;1": "1", "L;16": "I;16"}.get(mode, mode)
    black = 1.0
    if model == "cmyk":
        black = black_generation(stored if bits == 8 else (stored >> 8).astype(np.uint8))
    space = Space(
        model,
        2**bits - 1,
        profile,
        inverted=photometric == WHITE_IS_ZERO,
        premultiplied=first_extra == (1,) and extra > 0,
        alpha=first_extra in ((1,), (2,)) and extra > 0,
        black=black,
    )
    return Picture("TIFF", mode, stored, space, orientation, size, note=note)


def _entries(directory: Directory) -> Pixels:
    """The palette, whose colours have 16 bits, as uint8 RGBA entries.

    If all of them are below 256, they are taken for 8 bits.
    """
    colours = np.array(directory.numbers(COLOUR_MAP), np.uint32).reshape(3, -1).T
    colours = colours if colours.max(initial=0) < 256 else (colours + 128) // 257
    entries = np.full((len(colours), 4), 255, np.uint8)
    entries[:, :3] = colours
    return entries


def encode(edited: Edited, source: memoryview | bytes) -> bytes:
    """Write an edited picture as a TIFF file.

    - Arguments: the `edited` picture, and `source`, the whole file it was decoded from.
    - Result: the new file; strips and tiles with a changed sample are compressed as they were.
      Bytes that old ones share with tags or with another page stay as they are.
    - Kept: every unchanged sample, every other strip and tile, and every tag except the offsets
      and lengths of what was written and changed palette entries.
    - Errors: OSError or ValueError for damaged data and parts that overlap.
    """
    result, pages = bytearray(source), edited.picture.pages
    if edited.parts:
        for number, part in enumerate(edited.parts):
            if part.changed.any():
                _encode_page(result, number, part, part.picture.stored, part.stored, part.changed)
        return bytes(result)
    if not pages:
        _encode_page(result, 0, edited, edited.picture.stored, edited.stored, edited.changed)
    for number, page in enumerate(pages):
        if edited.changed[page.area].any():
            parts = edited.picture.stored[page.area], edited.stored[page.area], edited.changed[page.area]
            _encode_page(result, number, edited, *parts)
    return bytes(result)


def _encode_page(
    result: bytearray, number: int, edited: Edited, before: Samples, after: Samples, changed: npt.NDArray[np.bool_]
) -> None:
    """Write the changed strips and tiles of one page into a file, in place."""
    directories = directories_of(bytes(result))
    directory = directories[number]
    layout, indexed = layout_of(directory), edited.picture.indexed
    if indexed is not None:
        refitted = palette.refitted(indexed, edited)
        assert refitted is not None
        before, after = indexed.indices[:, :, None], refitted.indices[:, :, None]
        _write_entries(result, directory, indexed, refitted)
    with timed("codec"):
        parts = dict(_changed_parts(layout, changed, before, after))
        offsets, counts = place(result, layout, parts, other_places(directories, directory))
    _write_numbers(result, directory, layout.tags[0], offsets)
    if layout.compression != PLAIN:
        _write_numbers(result, directory, layout.tags[1], counts)
    _check_tags(result, directories, directory, {*layout.tags, COLOUR_MAP})
    if layout.compression != JPEG:
        _check_samples(directories_of(bytes(result))[number], after)


def other_places(directories: Sequence[Directory], directory: Directory) -> list[Span]:
    """Where all directories of a file, their tags and all pixels but those of one directory are."""
    places = [(0, 2 * directory.next_width)]  # the file's header
    for each in with_sub_directories(directories):
        places += places_of(each)
        try:
            places += pixels_of(each) if each.start != directory.start else ()
        except ValueError:  # a damaged directory that is no page
            continue
    return places


def _check_tags(result: bytearray, before: Sequence[Directory], edited: Directory, written: set[int]) -> None:
    """Raise ValueError if a tag changed that was not `written` in the edited page's directory."""
    after = bytes(result)
    for old in with_sub_directories(before):
        new = directory_at(after, old.start, old.order, old.next_width == 8)
        changed = {
            tag
            for tag, entry in old.entries.items()
            if old.data[entry.offset : entry.offset + entry.size] != new.data[entry.offset : entry.offset + entry.size]
        }
        kept = new.entries == old.entries and new.next_offset == old.next_offset
        if not kept or changed - (written if old.start == edited.start else set()):
            raise ValueError("the file's tags overlap")


def _changed_parts(
    layout: Layout, changed: npt.NDArray[np.bool_], before: Samples, after: Samples
) -> Iterator[tuple[int, bytes]]:
    """Number and new content of every strip or tile with a changed sample.

    A changed JPEG has tables of its own, which libtiff goes on to use for those after it. So if
    the file holds tables for all, every other strip or tile gets a copy of them.
    """
    shared = layout.compression == JPEG and JPEG_TABLES in layout.directory.entries
    for number, segment in enumerate(layout.segments()):
        area = np.s_[segment.top : segment.top + segment.height, segment.left : segment.left + segment.width]
        if changed[area].any() and not np.array_equal(before[area][:, :, segment.plane], after[area][:, :, segment.plane]):
            if layout.compression == JPEG:
                yield number, compressed_jpeg(layout, number, segment, after[area], changed[area])
            else:
                yield number, compressed(layout, segment, after[area][:, :, segment.plane])
        elif shared:
            yield number, jpeg_with_tables(layout, number)


def _check_samples(directory: Directory, after: Samples) -> None:
    """Raise ValueError unless a page holds these samples; in a damaged file, parts may overlap."""
    if not np.array_equal(decompressed(layout_of(directory)), after):
        raise ValueError("the file's parts overlap")


def _write_numbers(result: bytearray, directory: Directory, tag: int, numbers: list[int]) -> None:
    """Write a tag's first numbers; the tag keeps the numbers beyond them."""
    old = directory.numbers(tag)
    entry = directory.entries[tag]
    result[entry.offset : entry.offset + entry.size] = directory.packed(tag, (*numbers, *old[len(numbers) :]))


def _write_entries(result: bytearray, directory: Directory, before: Indexed, after: Indexed) -> None:
    """Write the palette entries that changed; the others keep their 16 bits."""
    colours = np.array(directory.numbers(COLOUR_MAP), np.uint32).reshape(3, -1)
    scale = 1 if colours.max(initial=0) < 256 else 257
    changed = (before.entries != after.entries).any(axis=1)
    colours[:, changed] = after.entries[changed, :3].T.astype(np.uint32) * scale
    _write_numbers(result, directory, COLOUR_MAP, colours.ravel().tolist())
