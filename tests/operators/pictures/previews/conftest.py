"""Files with a signature picture in every place, and a search through every layer of a file."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

WIDTH, HEIGHT = 64, 48
NOISE = np.random.default_rng(7).integers(0, 256, (24, 32, 3), dtype=np.uint8)
"""The signature: a picture that nothing else looks like."""


def saved(kind: str, pixels: np.ndarray | None = None, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image = Image.new("RGB", (WIDTH, HEIGHT), (200, 30, 30)) if pixels is None else Image.fromarray(pixels)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


SIGNATURE = saved("JPEG", NOISE, quality=90)
PNG_SIGNATURE = saved("PNG", NOISE)
FILM = struct.pack(">I4s4sI", 20, b"ftyp", b"isom", 0) + b"mp42" + struct.pack(">I4s", 8 + len(SIGNATURE), b"mdat") + SIGNATURE


def segment(marker: int, content: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", 2 + len(content)) + content


def with_segments(*parts: bytes) -> bytes:
    """A JPEG with these segments after its JFIF segment."""
    data = saved("JPEG")
    return data[:20] + b"".join(parts) + data[20:]


def directory(order: str, entries: list[tuple[int, int, int, bytes]], start: int, after: int = 0) -> bytes:
    """A directory at an offset, of entries with tag, type, count and content."""
    head, tail = struct.pack(f"{order}H", len(entries)), b""
    room = start + 2 + 12 * len(entries) + 4
    for tag, kind, count, content in entries:
        field = content.ljust(4, b"\0") if len(content) <= 4 else struct.pack(f"{order}I", room + len(tail))
        head += struct.pack(f"{order}HHI", tag, kind, count) + field
        tail += content if len(content) > 4 else b""
    return head + struct.pack(f"{order}I", after) + tail


def exif_with(tag: int, content: bytes) -> bytes:
    """EXIF whose second-level directory has one tag."""
    main = directory("<", [(0x8769, 4, 1, struct.pack("<I", 26))], 8)
    return b"II*\0\x08\0\0\0" + main + directory("<", [(tag, 7, len(content), content)], 26)


def exif_thumbnail(content: bytes, plain: bool = False) -> bytes:
    second = directory("<", [], 8, 14)
    where = 8 + len(second)
    if plain:
        numbers = {0x100: 32, 0x101: 24, 0x103: 1, 0x106: 2, 0x111: where + 2 + 12 * 7 + 4, 0x115: 3, 0x117: len(content)}
    else:
        numbers = {0x103: 6, 0x201: where + 2 + 12 * 3 + 4, 0x202: len(content)}
    small = directory("<", [(tag, 4, 1, struct.pack("<I", value)) for tag, value in numbers.items()], where)
    return b"II*\0\x08\0\0\0" + second + small + content


def resource(number: int, content: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + bytes(len(content) % 2)


def photoshop(number: int, content: bytes) -> bytes:
    return resource(1028, b"\x1c\x02\x78\0\5hello") + resource(number, content) + resource(1005, bytes(16))


def iptc(content: bytes) -> bytes:
    return b"\x1c\x02\x78\0\5hello" + b"\x1c\x02\xca" + struct.pack(">H", len(content)) + content


def photoshop_thumbnail(content: bytes) -> bytes:
    return struct.pack(">IIIIIIHH", 1, 32, 24, 96, 2304, len(content), 24, 1) + content


def xmp(content: bytes, form: str = "element") -> bytes:
    text = base64.b64encode(content)
    if form == "attribute":
        return b'<x:xmpmeta><rdf:Description xmpGImg:image="' + text + b'"/></x:xmpmeta>'
    if form == "lines":
        text = b"&#xA;".join(text[start : start + 76] for start in range(0, len(text), 76))
    return b"<x:xmpmeta><xmpGImg:image>" + text + b"</xmpGImg:image></x:xmpmeta>"


def extended(content: bytes) -> bytes:
    """The segments of an XMP that goes on in two others (Adobe XMP part 3, 1.1.3.1)."""
    whole = b'<x:xmpmeta><rdf:Description GImage:Data="' + base64.b64encode(content).rstrip(b"=") + b'"/></x:xmpmeta>'
    digest, middle = hashlib.md5(whole).hexdigest().upper().encode(), whole.index(b"/9j/") + 1000
    main = b'<x:xmpmeta><rdf:Description xmpNote:HasExtendedXMP="' + digest + b'"/></x:xmpmeta>'
    parts = [
        segment(0xE1, b"http://ns.adobe.com/xmp/extension/\0" + digest + struct.pack(">II", len(whole), start) + part)
        for start, part in ((0, whole[:middle]), (middle, whole[middle:]))
    ]
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + main) + parts[1] + parts[0]


def png_with(*chunks: tuple[bytes, bytes], before: bytes = b"IDAT") -> bytes:
    data = saved("PNG")
    place = data.index(before) - 4
    parts = b"".join(struct.pack(">I", len(c)) + n + c + struct.pack(">I", zlib.crc32(n + c)) for n, c in chunks)
    return data[:place] + parts + data[place:]


def raw_profile(name: str, content: bytes, compressed: bool = True) -> tuple[bytes, bytes]:
    """A text as ImageMagick writes it: a profile's bytes in hexadecimal digits, 36 to a line."""
    digits = content.hex()
    lines = "\n".join(digits[start : start + 72] for start in range(0, len(digits), 72))
    text = f"\n{name}\n{len(content):8d}\n{lines}\n".encode()
    keyword = f"Raw profile type {name}".encode()
    return (b"zTXt", keyword + b"\0\0" + zlib.compress(text)) if compressed else (b"tEXt", keyword + b"\0" + text)


def png_xmp(content: bytes, compressed: bool = False) -> bytes:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", xmp(content).decode(), zip=compressed)
    return saved("PNG", pnginfo=info)


def webp_with(name: bytes, content: bytes) -> bytes:
    data = saved("WEBP", lossless=True, exif=exif_thumbnail(b""))
    body = data[12:] + name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def tiff_with(tag: int, kind: int, content: bytes) -> bytes:
    buffer = io.BytesIO()
    pixels = np.full((HEIGHT, WIDTH, 3), (200, 30, 30), np.uint8)
    tifffile.imwrite(buffer, pixels, photometric="rgb", extratags=[(tag, kind, len(content), content, True)])
    return buffer.getvalue()


def gif_xmp(content: bytes) -> bytes:
    data = saved("GIF")
    packet = xmp(content) + b"\1" + bytes(range(255, -1, -1)) + b"\0"
    place = data.index(b"\x2c\0\0\0\0")
    return b"GIF89a" + data[6:place] + b"\x21\xff\x0bXMP DataXMP" + packet + data[place:]


def gif_with(content: bytes, name: bytes = b"") -> bytes:
    """A GIF with a comment, or with the extension of an application of this name, in sub-blocks."""
    data = saved("GIF")
    place = data.index(b"\x2c\0\0\0\0")
    cut = [content[start : start + 255] for start in range(0, len(content), 255)]
    blocks = b"".join(bytes([len(part)]) + part for part in cut) + b"\0"
    head = b"\x21\xff\x0b" + name if name else b"\x21\xfe"
    return b"GIF89a" + data[6:place] + head + blocks + data[place:]


def second_page_with(tag: int, content: bytes) -> bytes:
    """A TIFF of two pages, the second of which has a tag."""
    buffer = io.BytesIO()
    pixels = np.full((HEIGHT, WIDTH, 3), (200, 30, 30), np.uint8)
    with tifffile.TiffWriter(buffer) as file:
        file.write(pixels, photometric="rgb", metadata=None)
        file.write(pixels, photometric="rgb", metadata=None, extratags=[(tag, 7, len(content), content, True)])
    return buffer.getvalue()


def tiff_of_numbers(tag: int, letter: str, content: bytes) -> bytes:
    """A TIFF with a tag whose bytes are declared as whole numbers."""
    numbers = np.frombuffer(content.ljust(-(-len(content) // 4) * 4, b"\0"), f"<{letter}").tolist()
    buffer = io.BytesIO()
    pixels = np.full((HEIGHT, WIDTH, 3), (200, 30, 30), np.uint8)
    tags = [(tag, {"H": 3, "I": 4}[letter], len(numbers), numbers, True)]
    tifffile.imwrite(buffer, pixels, photometric="rgb", byteorder="<", extratags=tags)
    return buffer.getvalue()


def indexed(first: bytes, appended: list[tuple[int, bytes]]) -> bytes:
    """A file with an index of appended pictures (CIPA DC-007): their attributes and content."""
    count = 1 + len(appended)
    entries_at = 8 + 2 + 3 * 12 + 4
    table = struct.pack(">H", 3)
    table += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100") + struct.pack(">HHII", 0xB001, 4, 1, count)
    table += struct.pack(">HHII", 0xB002, 7, 16 * count, entries_at) + bytes(4)
    length = 2 + 4 + entries_at + 16 * count
    size = len(first) + 2 + length
    entries = struct.pack(">IIIHH", 0x20030000, size, 0, 0, 0)
    offset = size - 10
    for kind, picture in appended:
        entries += struct.pack(">IIIHH", kind, len(picture), offset, 0, 0)
        offset += len(picture)
    index = b"MPF\0MM\0*\0\0\0\x08" + table + entries
    return first[:2] + b"\xff\xe2" + struct.pack(">H", length) + index + first[2:] + b"".join(part for _, part in appended)


def container(*items: tuple[str, str, int]) -> bytes:
    """XMP with a directory of what follows the picture: semantic, MIME type, length."""
    lines = "".join(
        f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{name}" Item:Mime="{mime}"'
        + (f' Item:Length="{length}"' if length else "")
        + "/></rdf:li>"
        for name, mime, length in (("Primary", "image/jpeg", 0), *items)
    )
    text = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:Container="http://ns.google.com/photos/1.0/container/" '
        'xmlns:Item="http://ns.google.com/photos/1.0/container/item/" '
        'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" hdrgm:Version="1.0" GCamera:MotionPhoto="1">'
        f"<Container:Directory><rdf:Seq>{lines}</rdf:Seq></Container:Directory>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text.encode())


GAIN_MAP = (
    SIGNATURE[:20]
    + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x hdrgm='http://ns.adobe.com/hdr-gain-map/1.0/'/>")
    + SIGNATURE[20:]
)


def _jfif(content: bytes) -> bytes:
    data = saved("JPEG")
    return data[:2] + segment(0xE0, data[6:18] + bytes([32, 24]) + content) + data[20:]


def _split(marker: int, header: bytes, content: bytes) -> bytes:
    middle = len(content) // 2
    return with_segments(segment(marker, header + content[:middle]), segment(marker, header + content[middle:]))


RGB = NOISE.tobytes()
PALETTE = bytes(range(256)) * 3
PLACES: dict[str, Callable[[], tuple[str, bytes]]] = {
    "JFIF thumbnail": lambda: ("JPEG", _jfif(RGB)),
    "JFXX JPEG": lambda: ("JPEG", with_segments(segment(0xE0, b"JFXX\0\x10" + SIGNATURE))),
    "JFXX RGB": lambda: ("JPEG", with_segments(segment(0xE0, b"JFXX\0\x13" + bytes([32, 24]) + RGB))),
    "JFXX palette": lambda: ("JPEG", with_segments(segment(0xE0, b"JFXX\0\x11" + bytes([32, 24]) + PALETTE + RGB[:768]))),
    "EXIF thumbnail": lambda: ("JPEG", with_segments(segment(0xE1, b"Exif\0\0" + exif_thumbnail(SIGNATURE)))),
    "EXIF plain thumbnail": lambda: ("JPEG", with_segments(segment(0xE1, b"Exif\0\0" + exif_thumbnail(RGB, True)))),
    "EXIF maker note": lambda: (
        "JPEG",
        with_segments(segment(0xE1, b"Exif\0\0" + exif_with(37500, b"MAKER\0\1\2\3" + SIGNATURE))),
    ),
    "EXIF behind its directories": lambda: (
        "JPEG",
        with_segments(segment(0xE1, b"Exif\0\0" + exif_with(37500, b"MAKER\0" * 20) + SIGNATURE)),
    ),
    "XMP in EXIF": lambda: ("JPEG", with_segments(segment(0xE1, b"Exif\0\0" + exif_with(700, xmp(SIGNATURE))))),
    "Photoshop thumbnail": lambda: (
        "JPEG",
        with_segments(segment(0xED, b"Photoshop 3.0\0" + photoshop(1036, photoshop_thumbnail(SIGNATURE)))),
    ),
    "old Photoshop thumbnail": lambda: (
        "JPEG",
        with_segments(segment(0xED, b"Photoshop 3.0\0" + photoshop(1033, photoshop_thumbnail(SIGNATURE)))),
    ),
    "Photoshop in two segments": lambda: (
        "JPEG",
        _split(0xED, b"Photoshop 3.0\0", photoshop(1036, photoshop_thumbnail(SIGNATURE))),
    ),
    "another resource of Photoshop": lambda: (
        "JPEG",
        with_segments(segment(0xED, b"Photoshop 3.0\0" + photoshop(4000, b"plug-in " + SIGNATURE))),
    ),
    "EXIF in Photoshop": lambda: (
        "JPEG",
        with_segments(segment(0xED, b"Photoshop 3.0\0" + photoshop(1058, exif_thumbnail(SIGNATURE)))),
    ),
    "IPTC preview": lambda: ("JPEG", with_segments(segment(0xED, b"Photoshop 3.0\0" + resource(1028, iptc(SIGNATURE))))),
    "XMP element": lambda: ("JPEG", with_segments(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(SIGNATURE)))),
    "XMP attribute": lambda: (
        "JPEG",
        with_segments(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(SIGNATURE, "attribute"))),
    ),
    "XMP in lines": lambda: (
        "JPEG",
        with_segments(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(SIGNATURE, "lines"))),
    ),
    "PNG in XMP": lambda: ("JPEG", with_segments(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp(PNG_SIGNATURE)))),
    "extended XMP": lambda: ("JPEG", with_segments(extended(SIGNATURE))),
    "a comment": lambda: ("JPEG", with_segments(segment(0xFE, SIGNATURE))),
    "Base64 in a comment": lambda: ("JPEG", with_segments(segment(0xFE, b"preview " + base64.b64encode(SIGNATURE)))),
    "two segments of a maker": lambda: ("JPEG", _split(0xE3, b"", SIGNATURE)),
    "FlashPix": lambda: ("JPEG", with_segments(segment(0xE2, b"FPXR\0\2" + SIGNATURE))),
    "ratio image": lambda: ("JPEG", with_segments(segment(0xEB, b"HDR_RI ver=11\n" + SIGNATURE))),
    "JUMBF": lambda: ("JPEG", with_segments(segment(0xEB, b"JP\0\1\0\0\0\1" + bytes(8) + SIGNATURE))),
    "indexed preview": lambda: ("JPEG", indexed(saved("JPEG"), [(0x010001, SIGNATURE)])),
    "indexed gain map": lambda: ("JPEG", indexed(saved("JPEG"), [(0, GAIN_MAP)])),
    "indexed other view": lambda: ("JPEG", indexed(saved("JPEG"), [(0x020002, SIGNATURE)])),
    "gain map named by XMP": lambda: (
        "JPEG",
        with_segments(container(("GainMap", "image/jpeg", len(SIGNATURE)))) + SIGNATURE,
    ),
    "appended preview": lambda: ("JPEG", saved("JPEG") + bytes(100) + SIGNATURE),
    "appended PNG": lambda: ("JPEG", saved("JPEG") + PNG_SIGNATURE),
    "motion photograph": lambda: ("JPEG", with_segments(container(("MotionPhoto", "video/mp4", len(FILM)))) + FILM),
    "appended preview without its first byte": lambda: ("JPEG", saved("JPEG") + b"\0" + SIGNATURE[1:]),
    "appended BMP": lambda: ("JPEG", saved("JPEG") + saved("BMP", np.ascontiguousarray(NOISE[::-1, :, ::-1]))),
    "Base64 behind a JPEG": lambda: ("JPEG", saved("JPEG") + b'{"preview": "' + base64.b64encode(SIGNATURE) + b'"}'),
    "appended archive": lambda: ("JPEG", saved("JPEG") + b"PK\3\4" + SIGNATURE),
    "EXIF in PNG": lambda: ("PNG", png_with((b"eXIf", exif_thumbnail(SIGNATURE)))),
    "raw profile of EXIF": lambda: ("PNG", png_with(raw_profile("exif", b"Exif\0\0" + exif_thumbnail(SIGNATURE)))),
    "raw profile of EXIF, not compressed": lambda: (
        "PNG",
        png_with(raw_profile("exif", b"Exif\0\0" + exif_thumbnail(SIGNATURE), False)),
    ),
    "raw profile of APP1": lambda: (
        "PNG",
        png_with(raw_profile("APP1", b"http://ns.adobe.com/xap/1.0/\0" + xmp(SIGNATURE)), before=b"IEND"),
    ),
    "raw profile of XMP": lambda: ("PNG", png_with(raw_profile("xmp", xmp(SIGNATURE)))),
    "raw profile of IPTC": lambda: ("PNG", png_with(raw_profile("iptc", resource(1028, iptc(SIGNATURE))))),
    "raw profile of 8BIM": lambda: ("PNG", png_with(raw_profile("8bim", photoshop(1036, photoshop_thumbnail(SIGNATURE))))),
    "XMP in PNG": lambda: ("PNG", png_xmp(SIGNATURE)),
    "compressed XMP in PNG": lambda: ("PNG", png_xmp(SIGNATURE, True)),
    "Fireworks": lambda: ("PNG", png_with((b"prVW", zlib.compress(RGB)))),
    "a private chunk": lambda: ("PNG", png_with((b"prIV", b"1.0 " + SIGNATURE))),
    "behind a PNG": lambda: ("PNG", saved("PNG") + SIGNATURE),
    "EXIF in WebP": lambda: ("WEBP", saved("WEBP", lossless=True, exif=exif_thumbnail(SIGNATURE))),
    "XMP in WebP": lambda: ("WEBP", saved("WEBP", lossless=True, xmp=xmp(SIGNATURE))),
    "XMP in WebP as ImageMagick names it": lambda: ("WEBP", webp_with(b"XMP\0", xmp(SIGNATURE))),
    "a private chunk of WebP": lambda: ("WEBP", webp_with(b"prIV", SIGNATURE)),
    "behind a WebP": lambda: ("WEBP", saved("WEBP", lossless=True) + SIGNATURE),
    "XMP in TIFF": lambda: ("TIFF", tiff_with(700, 1, xmp(SIGNATURE))),
    "IPTC in TIFF": lambda: ("TIFF", tiff_with(33723, 7, iptc(SIGNATURE))),
    "Photoshop in TIFF": lambda: ("TIFF", tiff_with(34377, 7, photoshop(1036, photoshop_thumbnail(SIGNATURE)))),
    "IPTC in TIFF as whole numbers": lambda: ("TIFF", tiff_of_numbers(33723, "I", iptc(SIGNATURE))),
    "a private tag of TIFF in whole numbers": lambda: ("TIFF", tiff_of_numbers(65000, "H", SIGNATURE)),
    "Base64 in a private tag of TIFF": lambda: ("TIFF", tiff_with(65000, 2, base64.b64encode(SIGNATURE) + b"\0")),
    "XMP of a TIFF's second page": lambda: ("TIFF", second_page_with(700, xmp(SIGNATURE))),
    "Photoshop of a TIFF's second page": lambda: (
        "TIFF",
        second_page_with(34377, photoshop(1036, photoshop_thumbnail(SIGNATURE))),
    ),
    "layers of a TIFF's second page": lambda: (
        "TIFF",
        second_page_with(37724, b"Adobe Photoshop Document Data Block\0" + RGB),
    ),
    "behind a TIFF": lambda: ("TIFF", saved("TIFF") + SIGNATURE),
    "layers in TIFF": lambda: ("TIFF", tiff_with(37724, 7, b"Adobe Photoshop Document Data Block\0" + RGB)),
    "maker note in TIFF": lambda: ("TIFF", tiff_with(37500, 7, b"MAKER" + SIGNATURE)),
    "a private tag of TIFF": lambda: ("TIFF", tiff_with(65000, 7, SIGNATURE)),
    "XMP in GIF": lambda: ("GIF", gif_xmp(SIGNATURE)),
    "a comment of GIF": lambda: ("GIF", gif_with(SIGNATURE)),
    "Photoshop in GIF": lambda: ("GIF", gif_with(photoshop(1036, photoshop_thumbnail(SIGNATURE)), b"MGK8BIM0000")),
    "IPTC in GIF": lambda: ("GIF", gif_with(iptc(SIGNATURE), b"MGKIPTC0000")),
    "another application of GIF": lambda: ("GIF", gif_with(b"v1 " + SIGNATURE, b"SOMEONES1.0")),
    "behind a GIF": lambda: ("GIF", saved("GIF") + SIGNATURE),
    "behind a BMP": lambda: ("BMP", saved("BMP") + SIGNATURE),
}
"""Format and file with the signature in every place."""


def layers(data: bytes, depth: int = 4) -> list[bytes]:
    """Some bytes, and whatever can be unpacked from them: zlib, Base64 and hexadecimal digits."""
    result = [data]
    if not depth:
        return result
    for match in re.finditer(rb"x[\x01\x5e\x9c\xda]", data):
        try:
            result += layers(zlib.decompressobj().decompress(data[match.start() :]), depth - 1)
        except zlib.error:
            continue
    for match in re.finditer(rb"[0-9a-f\n]{80,}", data):
        digits = match[0].replace(b"\n", b"")
        result += layers(binascii.unhexlify(digits[: len(digits) // 2 * 2]), depth - 1)
    for match in re.finditer(rb"(?:[A-Za-z0-9+/]|&#xA;|\s){80,}={0,2}", data):
        text = re.sub(rb"&#xA;|\s", b"", match[0]).rstrip(b"=")
        for start in {0, max(0, text.find(b"/9j/"))}:  # words before it are Base64 too
            result += layers(base64.b64decode(text[start:][: (len(text) - start) // 4 * 4]), depth - 1)
    return result


def traces(data: bytes) -> int:
    """How many pieces of the signature any layer of a file contains, in any of its forms."""
    found = layers(data)
    pieces = [
        form[start : start + 12]
        for form in (SIGNATURE[640:-2], PNG_SIGNATURE[41:-16], RGB)
        for start in range(0, len(form) - 12, 12)
    ]
    return sum(any(piece in layer for layer in found) for piece in pieces)


@pytest.fixture(scope="session")
def signature_traces() -> Callable[[bytes], int]:
    """How many pieces of the signature a file contains in any layer."""
    return traces


@pytest.fixture(scope="session")
def mpf() -> Callable[[bytes, list[tuple[int, bytes]]], bytes]:
    """A JPEG with an index of appended pictures."""
    return indexed


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that has the argument `place` once for each of PLACES."""
    if "place" in metafunc.fixturenames:
        metafunc.parametrize("place", PLACES.values(), ids=list(PLACES))
