"""One pass over an edited file: its second pictures become new ones, or go, wherever they are.

It works on the file that a format has written, because offsets and lengths are then final. Every
structure keeps its length where other bytes depend on it; whole segments, chunks and tags may go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from operators.pictures.formats import bmp, gif, png, webp_chunks
from operators.pictures.formats.jpeg_markers import end_of_image
from operators.pictures.previews.boxes import avif_swept, heic_swept, jpeg2000_swept, jpeg_xl_swept
from operators.pictures.previews.metadata import png_text_swept, read, searched, xmp_swept
from operators.pictures.previews.segments import Segment, segments_of, with_segments
from operators.pictures.previews.sweep import Sweep
from operators.pictures.previews.table import EXTENDED_HEADER, PHOTOSHOP_HEADER, rows_of
from operators.pictures.previews.tiff_file import tiff_swept
from operators.pictures.previews.trailer import jpeg_with_trailer, trailer_swept


def swept(format: str, data: bytes, sweep: Sweep) -> bytes:
    """The file with its second pictures swept.

    `format` is a key of `operators.pictures.codec.FORMATS`.
    """
    sweeper = FILES.get(format)
    return data if sweeper is None else sweeper(data, sweep)


def _jpeg_swept(data: bytes, sweep: Sweep) -> bytes:
    """A JPEG: its segments, and what follows its picture, with an index that holds again."""
    end = end_of_image(data)
    old = segments_of(data[:end])
    new = _segments_swept(old, sweep)
    first = data[:end] if new == old else with_segments(data[:end], new)
    return jpeg_with_trailer(first, data, end, sweep)


def _segments_swept(old: list[Segment], sweep: Sweep) -> list[Segment]:
    """The segments with new content, without those that are to go."""
    result: list[Segment | None] = list(old)
    for places in _groups(old):
        kind = old[places[0]].kind
        new = JOINED.get(kind, _one_by_one)([old[place] for place in places], sweep)
        for place, segment in zip(places, new, strict=True):
            result[place] = segment
    return [_renamed(segment, sweep) for segment in result if segment is not None]


def _renamed(segment: Segment, sweep: Sweep) -> Segment:
    """An XMP segment that names its extended XMP by the new digest."""
    content = segment.content
    for old, new in sweep.renamed.items():
        content = content.replace(old, new) if segment.kind == "xmp" else content
    return replace(segment, content=content)


def _groups(old: list[Segment]) -> Iterator[list[int]]:
    """Numbers of the segments that are read together: those of a kind that may span several."""
    groups: dict[tuple[str, bytes], list[int]] = {}
    for number, segment in enumerate(old):
        if segment.kind == "extended_xmp":
            groups.setdefault((segment.kind, segment.rest[:32]), []).append(number)
        elif segment.kind == "jumbf":
            groups.setdefault((segment.kind, segment.rest[:2]), []).append(number)
        elif segment.kind in ("photoshop", ""):
            groups.setdefault((segment.kind, b""), []).append(number)
        else:
            groups[segment.kind, number.to_bytes(4, "big")] = [number]
    yield from groups.values()


def _one_by_one(group: list[Segment], sweep: Sweep) -> list[Segment | None]:
    """A segment that is read alone."""
    result: list[Segment | None] = []
    for segment in group:
        key = (segment.marker, segment.header)
        with_header = segment.kind in ("exif", "jfif_thumbnail", "jfxx_thumbnail")
        content = segment.content if with_header else segment.rest
        new = read("JPEG", key, content, sweep)
        result.append(None if new is None else replace(segment, content=new if with_header else segment.header + new))
    return result


def _joined(group: list[Segment], start: int, new: bytes) -> list[Segment | None]:
    """The segments of a group, each of its old length, with new content from `start` on."""
    result: list[Segment | None] = []
    for segment in group:
        size = len(segment.content) - start
        result.append(replace(segment, content=segment.content[:start] + new[:size]))
        new = new[size:]
    return result


def _photoshop_joined(group: list[Segment], sweep: Sweep) -> list[Segment | None]:
    new = read("JPEG", (0xED, PHOTOSHOP_HEADER), b"".join(segment.rest for segment in group), sweep)
    return _joined(group, len(PHOTOSHOP_HEADER), new or b"")


def _unknown_joined(group: list[Segment], sweep: Sweep) -> list[Segment | None]:
    """Segments without a row; a picture may span several of them."""
    return _joined(group, 0, searched(b"".join(segment.content for segment in group), "application segment", sweep))


def _extended_joined(group: list[Segment], sweep: Sweep) -> list[Segment | None]:
    """The parts of one extended XMP (Adobe XMP part 3, 1.1.3.1), with a digest that holds again."""
    start = len(EXTENDED_HEADER) + 40
    order = sorted(range(len(group)), key=lambda number: group[number].rest[36:40])
    content = b"".join(group[number].content[start:] for number in order)
    new = xmp_swept(content, sweep)
    if new == content:
        return list(group)
    digest = hashlib.md5(new).hexdigest().upper().encode()
    sweep.renamed[group[0].rest[:32]] = digest
    changed = _joined([group[number] for number in order], start, new)
    result: list[Segment | None] = [None] * len(group)
    for number, segment in zip(order, changed, strict=True):
        assert segment is not None
        result[number] = replace(segment, content=EXTENDED_HEADER + digest + segment.content[len(EXTENDED_HEADER) + 32 :])
    return result


def _jumbf_joined(group: list[Segment], sweep: Sweep) -> list[Segment | None]:
    """The parts of one JUMBF box: a manifest goes, anything else is searched."""
    if any(b"c2pa" in segment.content for segment in group):
        sweep.note("c2pa_removed")
        return [None] * len(group)
    start = 16
    return _joined(group, start, searched(b"".join(segment.content[start:] for segment in group), "jumbf", sweep))


JOINED: dict[str, Callable[[list[Segment], Sweep], list[Segment | None]]] = {
    "photoshop": _photoshop_joined,
    "extended_xmp": _extended_joined,
    "jumbf": _jumbf_joined,
    "": _unknown_joined,
}
"""How kinds that may span several segments are read."""


def _png_swept(data: bytes, sweep: Sweep) -> bytes:
    """A PNG: its chunks, and what follows the end chunk."""
    parts = list(png.chunks(data))
    end = 8 + sum(12 + len(content) for _, content in parts)
    result = []
    for name, content in parts:
        if name in png.PIXEL_CHUNKS:
            result.append((name, content))
        elif rows_of("PNG").get(name) == "png_text":
            result.append((name, png_text_swept(name, content, sweep)))
        else:
            new = read("PNG", name, content, sweep)
            if new is not None:
                result.append((name, new))
    body = data[:end] if result == parts else png.assembled(result)
    return body + trailer_swept(data[end:], sweep)


def _webp_swept(data: bytes, sweep: Sweep) -> bytes:
    """A WebP: its chunks, and what follows them."""
    parts = list(webp_chunks.chunks(data))
    end = 8 + int.from_bytes(data[4:8], "little")
    result = []
    for name, content in parts:
        new: bytes | None = content
        if name not in (*webp_chunks.PIXELS, b"VP8X", b"ANIM", b"ANMF"):
            new = read("WEBP", name, content, sweep)
        if new is not None:
            result.append((name, new))
    body = data[:end] if result == parts else webp_chunks.assembled(result)
    return body + trailer_swept(data[end:], sweep)


def _gif_swept(data: bytes, sweep: Sweep) -> bytes:
    """A GIF: its comments and other extensions, and what follows its end."""
    blocks, end = gif.blocks(data)
    result, position = b"", 0
    for start, stop in blocks:
        block = data[start:stop]
        is_swept = data[start] == gif.EXTENSION and block[:2] not in gif.OF_FRAMES
        result += data[position:start] + (_gif_extension_swept(block, sweep) if is_swept else block)
        position = stop
    return result + data[position:end] + trailer_swept(data[end:], sweep)


def _gif_extension_swept(block: bytes, sweep: Sweep) -> bytes:
    """A comment or the extension of an application; empty for one that goes.

    XMP is one text. Everything else is cut into sub-blocks, which keep their lengths.
    """
    is_comment = block[1] == gif.COMMENT
    name = b"" if is_comment else block[3:11]
    if name == b"XMP Data":
        return read("GIF", name, block, sweep) or b""
    position, places = 2 if is_comment else 3 + block[2], []
    while position < len(block) and block[position]:
        places.append((position + 1, min(len(block), position + 1 + block[position])))
        position += 1 + block[position]
    new = read("GIF", name, b"".join(block[start:end] for start, end in places), sweep)
    if new is None:
        return b""
    result = bytearray(block)
    for start, end in places:
        result[start:end], new = new[: end - start], new[end - start :]
    return bytes(result)


def _bmp_swept(data: bytes, sweep: Sweep) -> bytes:
    """A BMP: what follows its pixels and its profile."""
    end = bmp.end_of_file(data)
    return data[:end] + trailer_swept(data[end:], sweep)


FILES: dict[str, Callable[[bytes, Sweep], bytes]] = {
    "JPEG": _jpeg_swept,
    "PNG": _png_swept,
    "WEBP": _webp_swept,
    "TIFF": tiff_swept,
    "GIF": _gif_swept,
    "BMP": _bmp_swept,
    "AVIF": avif_swept,
    "HEIC": heic_swept,
    "JXL": lambda data, sweep: jpeg_xl_swept(data, sweep, _jpeg_swept),
    "JPEG2000": jpeg2000_swept,
}
"""How the file of each format is swept."""
