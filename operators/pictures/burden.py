"""What a file asks of its decoder beside its pixels, read from its structure alone.

A small file can hold thousands of scans, frames or directories, or texts that unpack to
gigabytes. Each of these is counted here before any decoder sees the file, and counting ends as
soon as a limit is passed, so that a file made to waste time costs milliseconds.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from operators.pictures.formats.tiff_directory import Directory, directory_at
from operators.rows.failure import Failure, RunError

SUB_DIRECTORIES, COMPRESSION = 330, 259
"""Tags of a TIFF."""
JPEGS = (6, 7)
"""Compressions of a TIFF that are JPEG."""
STRIPS = ((273, 279), (324, 325))
"""Tags that say where strips and tiles are, and how long."""
ALL_PAGES, FIRST_PAGE = PAGES = ("all", "first")
"""Which pages of a file are worked."""


@dataclass(frozen=True)
class Limits:
    """The largest source that is decoded; a larger one fails before any pixel is decoded."""

    max_pixels: int = 100_000_000
    """Width times height."""
    max_bytes: int = 256 * 1024 * 1024
    """Size of the encoded file."""
    max_scans: int = 100
    """Scans of a JPEG, also of one within a TIFF; each passes over the whole picture.

    Usual files have at most 20.
    """
    max_metadata_bytes: int = 16 * 1024 * 1024
    """Bytes of all texts and profiles of a file, unpacked."""
    max_frames: int = 1000
    """Frames of an animation."""
    max_directories: int = 1000
    """Directories of a TIFF: pages, and smaller copies of them."""
    max_decode_seconds: float = 30.0
    """Seconds of one decoding, in a process that may be lost; see `decoding_deadline`."""
    pages: str = ALL_PAGES
    """Which pages of a TIFF and frames of an animation are seen and edited, one of PAGES."""

    def __post_init__(self) -> None:
        if self.pages not in PAGES:
            raise RunError("option_invalid", f"--pages {self.pages}: choose from {', '.join(PAGES)}")


def check_burden(data: memoryview | bytes, limits: Limits) -> None:
    """Raise Failure if a file asks for more than the limits allow.

    The codes are scans_over_limit, decompression_bomb (texts and profiles), frames_over_limit and
    directories_over_limit. A damaged file passes: its decoder says what is wrong.
    """
    view = memoryview(data).cast("B")  # the bytes of an Arrow buffer have a sign
    start = bytes(view[:12])
    check = next((check for signature, check in _CHECKS if start.startswith(signature)), None)
    if check is not None:
        try:
            check(view, limits)
        except (struct.error, IndexError, ValueError, OverflowError):
            return


def _check_scans(view: memoryview, limits: Limits) -> None:
    """Count the scans of a JPEG that can have several.

    A sequential file whose first scan holds all components has one, whatever follows.
    """
    data = bytes(view)
    first, components = _first_scan(data)
    if first is None or data.count(b"\xff\xda", first) <= limits.max_scans:
        return
    if components == data[first + 4]:
        return
    for number, _ in enumerate(_scans(data, first), 1):
        if number > limits.max_scans:
            raise Failure("scans_over_limit", f"more than {limits.max_scans} scans")


def _first_scan(data: bytes) -> tuple[int | None, int]:
    """Where the first scan of a JPEG starts, and how many components one scan may hold at once.

    The number is 0 for a progressive file, whose every scan is only a part.
    """
    components, place = 0, 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:
            place += 1
            continue
        if marker == 0xDA:
            return place, components
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            components = 0 if marker in (0xC2, 0xC6, 0xCA, 0xCE) else data[place + 9]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None, 0


_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _scans(data: bytes, place: int) -> Iterator[int]:
    """Where each scan of a JPEG starts, up to its end-of-image marker."""
    while True:
        found = _MARKER.search(data, place)
        if found is None or found[0] == b"\xff\xd9":
            return
        if found[0] == b"\xff\xda":
            yield found.start()
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")


def _check_png(view: memoryview, limits: Limits) -> None:
    """Add up what the texts and profiles of a PNG unpack to, and count its frames.

    The twelve bytes of each of their chunks count too, because millions of empty ones take time.
    """
    size = frames = 0
    place = 8
    while place + 12 <= len(view):
        (length,) = struct.unpack_from(">I", view, place)
        name, content = bytes(view[place + 4 : place + 8]), view[place + 8 : place + 8 + length]
        if name != b"IDAT":
            size += 12 + (_unpacked(name, content, limits.max_metadata_bytes) if name in _TEXTS else 0)
        frames += name == b"fcTL"
        if size > limits.max_metadata_bytes:
            raise Failure("decompression_bomb", f"texts and profiles of more than {limits.max_metadata_bytes} bytes")
        _check_frames(frames, limits)
        place += 12 + length


_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"iCCP"})


def _unpacked(name: bytes, content: memoryview, most: int) -> int:
    """How many bytes the text or profile of a PNG chunk has, at most a little over `most`."""
    if name == b"tEXt" or len(content) == 0:
        return len(content)
    keyword, _, rest = bytes(content).partition(b"\0")
    if name == b"iTXt":
        if rest[:1] != b"\1":
            return len(content)
        rest = rest[2:].split(b"\0", 2)[-1]
    else:
        rest = rest[1:]
    try:
        return len(keyword) + len(zlib.decompressobj().decompress(rest, most + 1))
    except zlib.error:
        return len(content)


def _check_gif(view: memoryview, limits: Limits) -> None:
    """Count the frames of a GIF."""
    place, frames = 13 + _colour_table(view[10]), 0
    while place < len(view):
        kind = view[place]
        if kind == 0x2C:
            frames += 1
            _check_frames(frames, limits)
            place += 11 + _colour_table(view[place + 9])
        elif kind == 0x21:
            place += 2
        else:
            return
        while view[place]:
            place += 1 + view[place]
        place += 1


def _colour_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _check_webp(view: memoryview, limits: Limits) -> None:
    """Count the frames of a WebP."""
    place, frames = 12, 0
    while place + 8 <= len(view):
        (length,) = struct.unpack_from("<I", view, place + 4)
        frames += bytes(view[place : place + 4]) == b"ANMF"
        _check_frames(frames, limits)
        place += 8 + length + length % 2


def _check_frames(frames: int, limits: Limits) -> None:
    if frames > limits.max_frames:
        raise Failure("frames_over_limit", f"more than {limits.max_frames} frames")


def _check_tiff(view: memoryview, limits: Limits) -> None:
    """Count the directories of a TIFF: those of its chain, and those that are named in them."""
    order = "<" if view[0] == ord("I") else ">"
    big = struct.unpack_from(f"{order}H", view, 2)[0] == 43
    offset, count, entry = (f"{order}Q", f"{order}Q", f"{order}HHQH6x") if big else (f"{order}I", f"{order}H", f"{order}HHIH2x")
    (place,) = struct.unpack_from(offset, view, 8 if big else 4)
    seen: set[int] = set()
    directories = 0
    while place and place not in seen:
        seen.add(place)
        (entries,) = struct.unpack_from(count, view, place)
        first = place + struct.calcsize(count)
        end = first + entries * struct.calcsize(entry)
        if end > len(view):
            return
        tags = list(struct.iter_unpack(entry, view[first:end]))
        directories += 1 + sum(values for tag, _, values, _ in tags if tag == SUB_DIRECTORIES)
        if directories > limits.max_directories:
            raise Failure("directories_over_limit", f"more than {limits.max_directories} directories")
        if any(tag == COMPRESSION and start in JPEGS for tag, _, _, start in tags):
            _check_strips(view, directory_at(view, place, order, big), limits)
        (place,) = struct.unpack_from(offset, view, end)


def _check_strips(view: memoryview, directory: Directory, limits: Limits) -> None:
    """Count the scans of each strip or tile that is a JPEG.

    Strips that are the same bytes count once, and no more bytes are looked at than the file has.
    """
    for places, sizes in STRIPS:
        seen = 0
        for start, size in dict.fromkeys(zip(directory.numbers(places), directory.numbers(sizes), strict=False)):
            seen += size
            if seen > len(view):
                return
            _check_scans(view[start : start + size], limits)


_CHECKS: tuple[tuple[bytes, Callable[[memoryview, Limits], None]], ...] = (
    (b"\xff\xd8\xff", _check_scans),
    (b"\x89PNG\r\n", _check_png),
    (b"GIF8", _check_gif),
    (b"RIFF", _check_webp),
    (b"II", _check_tiff),
    (b"MM", _check_tiff),
)
"""How each format's burden is counted, by the first bytes of its files."""
