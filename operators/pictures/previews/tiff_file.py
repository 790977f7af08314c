"""A TIFF file: the tags of its pages, and the bytes that no directory names."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace

from operators.pictures.formats.tiff_directory import (
    DIRECTORIES,
    Directory,
    directory_at,
    first_directory,
    pixels_of,
    places_of,
)
from operators.pictures.previews.metadata import LEAST_SEARCHED, directories_swept, directory_swept
from operators.pictures.previews.sweep import DROP, REDRAW, Sweep


def tiff_swept(data: bytes, sweep: Sweep) -> bytes:
    """A TIFF: its directories, those of further pages that were edited, and its unused bytes.

    A preview of the first page is drawn again. One of another page, or one that no directory
    names, is dropped, because it is not known what it shows.
    """
    result = bytearray(directories_swept(data, sweep))
    dropping = replace(sweep, policy=DROP) if sweep.policy == REDRAW else sweep
    try:
        for number, page in enumerate(_pages(data)):
            if number and _is_edited(number, sweep):
                directory_swept(result, page, dropping)
        for start, end in _unused(bytes(result)):
            result[start:end] = dropping.search(bytes(result[start:end]), "unused bytes")
    except (ValueError, struct.error):  # a damaged directory: what it names is not known
        return bytes(result)
    return bytes(result)


def _pages(data: bytes) -> Iterator[Directory]:
    """The directories of all pages. Raises ValueError for a damaged one."""
    page, seen = first_directory(data), set[int]()
    while page.start not in seen:
        seen.add(page.start)
        yield page
        if page.next_offset == 0:
            return
        page = directory_at(data, page.next_offset, page.order, page.next_width == 8)


def _is_edited(number: int, sweep: Sweep) -> bool:
    """Whether an edit changed the page with this number."""
    edited = sweep.edited
    if edited is None or number >= len(edited.picture.pages):
        return False
    return bool(edited.changed[edited.picture.pages[number].area].any())


def _unused(data: bytes) -> list[tuple[int, int]]:
    """The places of a file that no directory names. Raises ValueError for a damaged directory."""
    used, open_directories, seen = [(0, 16)], list(_pages(data)), set[int]()
    while open_directories:
        directory = open_directories.pop()
        if directory.start in seen:
            continue
        seen.add(directory.start)
        big = directory.next_width == 8
        used += [*places_of(directory), *pixels_of(directory)]
        for tag in DIRECTORIES:
            open_directories += [directory_at(data, offset, directory.order, big) for offset in directory.numbers(tag)]
    gaps, position = [], 0
    for start, end in sorted(used):
        if start - position >= LEAST_SEARCHED:
            gaps.append((position, start))
        position = max(position, end)
    return [*gaps, (position, len(data))] if len(data) - position >= LEAST_SEARCHED else gaps
