"""Second pictures in metadata: how the content of every kind of place is read and written again.

A reader returns content of the same length, or None if all of it is to be removed. Metadata that
cannot be read is searched for pictures by their first bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import struct
import zlib
from collections.abc import Callable

from operators.pictures.formats.tiff_directory import DIRECTORIES, Directory, directory_at, first_directory
from operators.pictures.previews.pictures import MOST_SIDE, plain_rgb
from operators.pictures.previews.sweep import DROP, KEEP, REDRAW, Sweep, find_pictures
from operators.pictures.previews.table import EXIF_HEADER, PHOTOSHOP_HEADER, XMP_HEADER, Key, rows_of

WIDTH, LENGTH, COMPRESSION, PHOTOMETRIC, SAMPLES = 0x0100, 0x0101, 0x0103, 0x0106, 0x0115
STRIP_OFFSETS, STRIP_LENGTHS, JPEG_OFFSET, JPEG_LENGTH = 0x0111, 0x0117, 0x0201, 0x0202
RGB = 2
"""Photometric interpretation."""
DEEPEST = 4
"""How far directories point to further directories."""
MOST_TEXT = 64 * 1024 * 1024
"""The longest text of a PNG that is unpacked, in bytes, as in Pillow."""
LEAST_SEARCHED = 64
"""Shorter values hold no picture, in bytes."""
RESOURCE_SIGNATURES = (b"8BIM", b"MeSa", b"AgHg", b"PHUT", b"DCSR")
IPTC_RESOURCE, IPTC_DIGEST = 1028, 1061
BASE64 = re.compile(rb"(?:[A-Za-z0-9+/](?:\s|&#x[Aa];|&#10;)*){96,}={0,2}")
"""At least 96 characters of Base64, in one line or in several."""
FIRST_IN_BASE64 = re.compile(rb"/9j/|iVBORw0KGgo|R0lGODdh|R0lGODlh|UklGR")
"""How a JPEG, PNG, GIF or WebP starts in Base64."""
LINE_ENDS = re.compile(rb"&#x[Aa];|&#10;|\s+")
PROVENANCE = re.compile(rb"(dcterms:provenance=\"|<dcterms:provenance>)([^<\"]*)")
"""Where a manifest of content credentials is kept elsewhere (C2PA 2)."""
RAW_PROFILE = re.compile(rb"\A(\s*)(\w+)(\s+)(\d+)(\s*)([0-9a-fA-F\s]*)\Z")
"""A profile in hexadecimal digits as ImageMagick writes it: its name, its length, its bytes."""
Reader = Callable[[bytes, Sweep], bytes | None]


def read(structure: str, key: Key, content: bytes, sweep: Sweep) -> bytes | None:
    """The content of one place, by its row in PLACES; a search if it has none."""
    kind = rows_of(structure).get(key)
    name = key.decode("latin-1").strip() if isinstance(key, bytes) else f"{key}"
    return searched(content, f"{structure} {name}", sweep) if kind is None else READERS[kind](content, sweep)


def searched(content: bytes, place: str, sweep: Sweep) -> bytes:
    """Content of no known kind with new pictures, which it may hold in Base64 too."""
    return sweep.search(xmp_swept(content, sweep), place)


def exif_swept(exif: bytes, sweep: Sweep) -> bytes:
    """EXIF, with or without its header, with new previews: thumbnail, maker's note and others."""
    start = len(EXIF_HEADER) if exif.startswith(EXIF_HEADER) else 0
    content = exif[start:]
    if sweep.policy != KEEP:
        content = _thumbnail_swept(content, sweep)
    result = bytearray(directories_swept(content, sweep))
    result[8:] = sweep.search(bytes(result[8:]), "exif")
    return exif[:start] + bytes(result)


def _thumbnail_swept(exif: bytes, sweep: Sweep) -> bytes:
    """EXIF whose thumbnail, in the second directory (CIPA DC-008, 4.5.8), is new or unlinked."""
    try:
        main = first_directory(exif)
        if main.next_offset == 0:
            return exif
        thumbnail = directory_at(exif, main.next_offset, main.order)
        offset, length = thumbnail.number(JPEG_OFFSET, 0), thumbnail.number(JPEG_LENGTH, 0)
    except ValueError:
        return exif
    result = bytearray(exif)
    if offset and length and offset + length <= len(exif):
        result[offset : offset + length], used = sweep.picture(exif[offset : offset + length], "exif thumbnail")
        if used:
            entry = thumbnail.entries[JPEG_LENGTH]
            result[entry.offset : entry.offset + entry.size] = thumbnail.packed(JPEG_LENGTH, (used,))
            return bytes(result)
    elif offset and length:
        result[offset:] = bytes(len(result[offset:]))
        sweep.dropped("exif thumbnail")
    else:
        strips = _strips(thumbnail)
        plain = _plain_thumbnail(thumbnail, sum(length for _, length in strips), sweep)
        for start, size in strips:
            part, plain = (None, None) if plain is None else (plain[:size], plain[size:])
            result[start : start + size] = part or bytes(len(result[start : start + size]))
        if plain is not None:
            return bytes(result)
        sweep.dropped("exif thumbnail")
    result[main.next_pointer : main.next_pointer + 4] = bytes(4)
    return bytes(result)


def _strips(thumbnail: Directory) -> list[tuple[int, int]]:
    """Offset and length of the strips of an uncompressed thumbnail; empty if they are damaged."""
    try:
        return list(zip(thumbnail.numbers(STRIP_OFFSETS), thumbnail.numbers(STRIP_LENGTHS), strict=False))
    except ValueError:
        return []


def _plain_thumbnail(thumbnail: Directory, size: int, sweep: Sweep) -> bytes | None:
    """An uncompressed RGB thumbnail of the edited picture; None for another kind."""
    try:
        width, height = thumbnail.number(WIDTH, 0), thumbnail.number(LENGTH, 0)
        kind = (thumbnail.number(COMPRESSION, 1), thumbnail.number(PHOTOMETRIC, 0), thumbnail.number(SAMPLES, 1))
    except ValueError:
        return None
    plain = kind == (1, RGB, 3) and 0 < width <= MOST_SIDE and 0 < height <= MOST_SIDE and width * height * 3 == size
    return plain_rgb(width, height, sweep.draw) if plain and sweep.policy == REDRAW else None


def directories_swept(data: bytes, sweep: Sweep) -> bytes:
    """A TIFF structure with new content in all tags of its directories.

    A tag may hold pictures whatever its type is: IPTC is often stored as whole numbers. The
    structure's own pixels are left alone. A tag whose content is to be removed is removed.
    """
    result = bytearray(data)
    try:
        main = first_directory(data)
    except ValueError:
        return data
    directory_swept(result, main, sweep)
    return bytes(result)


def directory_swept(result: bytearray, directory: Directory, sweep: Sweep, depth: int = DEEPEST) -> None:
    """Sweep one directory and those that it points to, in place."""
    big = directory.next_width == 8
    for tag, entry in sorted(directory.entries.items()):
        if tag in DIRECTORIES:
            try:
                offsets = directory.numbers(tag) if depth else ()
                further = [directory_at(bytes(result), offset, directory.order, big) for offset in offsets[:16]]
            except ValueError:
                continue
            for one in further:
                directory_swept(result, one, sweep, depth - 1)
        elif entry.size >= LEAST_SEARCHED and entry.offset + entry.size <= len(result):
            content = bytes(result[entry.offset : entry.offset + entry.size])
            new = read("TIFF", tag, content, sweep)
            result[entry.offset : entry.offset + entry.size] = bytes(entry.size) if new is None else new
            if new is None:
                _remove_entry(result, directory, tag)


def _remove_entry(result: bytearray, directory: Directory, tag: int) -> None:
    """Take one tag out of a directory, in place; the entries after it move up."""
    size, count = (20, 8) if directory.next_width == 8 else (12, 2)
    letter = f"{directory.order}{'Q' if count == 8 else 'H'}"
    (number,) = struct.unpack_from(letter, result, directory.start)
    first = directory.start + count
    for place in range(number):
        start = first + place * size
        if struct.unpack_from(f"{directory.order}H", result, start)[0] == tag:
            end = first + number * size + directory.next_width
            result[start:end] = result[start + size : end] + bytes(size)
            struct.pack_into(letter, result, directory.start, number - 1)
            return


def photoshop_swept(resources: bytes, sweep: Sweep) -> bytes:
    """Photoshop's image resources with new previews, and a digest of IPTC that holds again.

    Other content than resources is read as IPTC, which some programs store under the same name.
    """
    start = len(PHOTOSHOP_HEADER) if resources.startswith(PHOTOSHOP_HEADER) else 0
    if resources[start : start + 4] not in RESOURCE_SIGNATURES:
        return iptc_swept(resources, sweep)
    result, position = bytearray(resources), start
    digests: dict[bytes, bytes] = {}
    blocks: list[tuple[int, int, int]] = []
    while resources[position : position + 4] in RESOURCE_SIGNATURES and position + 12 <= len(resources):
        (number,) = struct.unpack_from(">H", resources, position + 4)
        position += 6 + (resources[position + 6] + 2) // 2 * 2
        if position + 4 > len(resources):
            break
        (size,) = struct.unpack_from(">I", resources, position)
        blocks.append((number, position + 4, min(size, len(resources) - position - 4)))
        position += 4 + (size + 1) // 2 * 2
    for number, start, size in blocks:
        old = resources[start : start + size]
        new = read("Photoshop", number, old, sweep)
        result[start : start + size] = bytes(size) if new is None else new
        if number == IPTC_RESOURCE and new is not None:
            digests[hashlib.md5(old).digest()] = hashlib.md5(new).digest()
    for number, start, size in blocks:
        if number == IPTC_DIGEST:
            old = bytes(result[start : start + size])
            result[start : start + size] = digests.get(old, old)
    return bytes(result)


def _photoshop_thumbnail(content: bytes, sweep: Sweep) -> bytes:
    """The resource of a thumbnail: 28 bytes that describe it, and a JPEG."""
    if len(content) <= 28:
        return content
    new, used = sweep.picture(content[28:], "photoshop thumbnail")
    return content[:20] + struct.pack(">I", used) + content[24:28] + new


def iptc_swept(content: bytes, sweep: Sweep) -> bytes:
    """IPTC datasets (IIM 4.2, part 2) with new previews."""
    result, position, known = bytearray(content), 0, rows_of("IPTC")
    while position + 5 <= len(content) and content[position] == 0x1C:
        key, size = (content[position + 1], content[position + 2]), int.from_bytes(content[position + 3 : position + 5], "big")
        position += 5
        if size & 0x8000:
            count = size & 0x7FFF
            size = int.from_bytes(content[position : position + count], "big")
            position += count
        old = content[position : position + size]
        if key in known or len(old) >= LEAST_SEARCHED:
            new = read("IPTC", key, old, sweep)
            result[position : position + size] = new if new is not None else bytes(len(old))
        position += size
    return bytes(result)


def xmp_swept(xmp: bytes, sweep: Sweep) -> bytes:
    """An XMP packet with new pictures where it holds one in Base64, and no link to a manifest."""

    def provenance(match: re.Match[bytes]) -> bytes:
        sweep.note("c2pa_removed")
        return match[1] + b" " * len(match[2])

    def picture(match: re.Match[bytes]) -> bytes:
        text, first = match[0], FIRST_IN_BASE64.search(match[0])
        new = _base64_swept(text, sweep)
        if new is None and first is not None:  # words before it, which are Base64 too
            new = _base64_swept(text[first.start() :], sweep)
            return text if new is None else text[: first.start()] + new
        return text if new is None else new

    result = PROVENANCE.sub(provenance, xmp)
    return result if sweep.policy == KEEP else BASE64.sub(picture, result)


def _base64_swept(text: bytes, sweep: Sweep) -> bytes | None:
    """Base64 with new pictures; None if it holds none at its start."""
    joined = LINE_ENDS.sub(b"", text)
    try:
        old = base64.b64decode(joined[: len(joined) // 4 * 4], validate=True)
    except binascii.Error:
        return None
    found = find_pictures(old)
    if not found or found[0][1][0] > 64:
        return None
    new = sweep.search(old, "xmp")
    if new == old:
        return text
    return base64.b64encode(new)[: len(text)].ljust(len(text), b" ") if any(new) else b" " * len(text)


def jfif_swept(content: bytes, sweep: Sweep) -> bytes:
    """A JFIF segment (JFIF 1.02): an uncompressed thumbnail may be at its end."""
    width, height = (content[12], content[13]) if len(content) >= 14 else (0, 0)
    size = 3 * width * height
    if not size or sweep.policy == KEEP:
        return content
    if sweep.policy == DROP or len(content) < 14 + size:
        sweep.dropped("jfif thumbnail")
        return content[:12] + b"\0\0"
    return content[:14] + plain_rgb(width, height, sweep.draw) + bytes(len(content) - 14 - size)


def jfxx_swept(content: bytes, sweep: Sweep) -> bytes | None:
    """A JFIF extension (JFIF 1.02): a thumbnail as JPEG, RGB, or with a palette."""
    kind = content[5] if len(content) > 8 else 0
    if sweep.policy == KEEP:
        return content
    if kind == 0x10:
        new, used = sweep.picture(content[6:], "jfxx thumbnail")
        return content[:6] + new if used else None
    width, height = content[6:8] if kind else (0, 0)
    if kind == 0x13 and len(content) >= 8 + 3 * width * height and sweep.policy == REDRAW:
        return content[:8] + plain_rgb(width, height, sweep.draw)
    sweep.dropped("jfxx thumbnail")
    return None


def png_text_swept(name: bytes, content: bytes, sweep: Sweep) -> bytes:
    """A text of a PNG (tEXt, zTXt or iTXt) with new pictures in it.

    It may be XMP, EXIF or IPTC as a raw profile in hexadecimal digits, or hold Base64. A text
    without pictures keeps its bytes.
    """
    keyword, _, rest = content.partition(b"\0")
    prefix, packed = rest[:0], False
    if name == b"zTXt":
        prefix, rest, packed = rest[:1], rest[1:], True
    elif name == b"iTXt":
        packed = rest[:1] == b"\1"
        end = 2
        for _ in range(2):
            end = rest.find(b"\0", end) + 1 or len(rest)
        prefix, rest = rest[:end], rest[end:]
    try:
        unpacker = zlib.decompressobj()
        old = unpacker.decompress(rest, MOST_TEXT) if packed else rest
    except zlib.error:
        return content
    if packed and not unpacker.eof:
        return content
    new = _text_swept(keyword, old, sweep)
    if new == old:
        return content
    return keyword + b"\0" + prefix + (zlib.compress(new, 9) if packed else new)


def _text_swept(keyword: bytes, text: bytes, sweep: Sweep) -> bytes:
    profile = RAW_PROFILE.match(text) if keyword.lower().startswith(b"raw profile type") else None
    if profile is None:
        return xmp_swept(text, sweep)
    digits = profile[6]
    try:
        old = bytes.fromhex(digits.decode())
    except ValueError:
        return text
    new = read("PNG text", keyword.lower().rpartition(b" ")[2], old, sweep)
    hexadecimal = iter(binascii.hexlify(bytes(len(old)) if new is None else new))
    written = bytes(digit if digit in b" \n\r\t" else next(hexadecimal) for digit in digits)
    return text[: profile.start(6)] + written


def _app1_swept(content: bytes, sweep: Sweep) -> bytes:
    """What JPEG's first application segment holds: XMP, or EXIF."""
    if content.startswith(XMP_HEADER):
        return XMP_HEADER + xmp_swept(content[len(XMP_HEADER) :], sweep)
    return exif_swept(content, sweep)


def _removed_manifest(content: bytes, sweep: Sweep) -> bytes | None:
    sweep.note("c2pa_removed")
    return None


def _dropped(place: str) -> Reader:
    """A reader for content that cannot be drawn again."""

    def drop(content: bytes, sweep: Sweep) -> bytes | None:
        if sweep.policy == KEEP:
            return content
        sweep.dropped(place)
        return None

    return drop


def _plain(content: bytes, sweep: Sweep) -> bytes:
    return content


READERS: dict[str, Reader] = {
    "plain": _plain,
    "exif": exif_swept,
    "app1": _app1_swept,
    "xmp": xmp_swept,
    "photoshop": photoshop_swept,
    "photoshop_thumbnail": _photoshop_thumbnail,
    "iptc": iptc_swept,
    "iptc_preview": lambda content, sweep: sweep.picture(content, "iptc preview")[0],
    "maker_note": lambda content, sweep: sweep.search(content, "maker note"),
    "jfif_thumbnail": jfif_swept,
    "jfxx_thumbnail": jfxx_swept,
    "flashpix": _dropped("flashpix"),
    "ratio_image": _dropped("ratio image"),
    "layers": _dropped("layers"),
    "manifest": _removed_manifest,
}
"""How the content of each kind of place is read, by the names that PLACES use.

Segments that span several markers of a JPEG are joined first, see `files`.
"""
