"""Source files of every edited format, mode and layout, and independent readers for them."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.picture import Edit, Edited, Picture

HEIGHT, WIDTH = 40, 56
Samples = np.ndarray


def slope(channels: int, peak: int, seed: int = 0) -> Samples:
    """Smooth colours under a little noise that use the whole range, height x width x channels."""
    generator = np.random.default_rng(seed)
    down, across = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    turns = generator.random((channels, 3))
    waves = [np.sin(6 * (a * down + b * across + c)) / 2 + 0.5 for a, b, c in turns]
    noisy = np.stack(waves, axis=2) + generator.normal(0, 0.02, (HEIGHT, WIDTH, channels))
    return np.clip(np.rint(noisy * peak), 0, peak).astype(np.uint16 if peak > 255 else np.uint8)


# --- PNG


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def _lines(samples: Samples, depth: int) -> bytes:
    """Scan lines without a filter."""
    if depth == 16:
        return b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    bits = [np.unpackbits(row.reshape(-1, 1), axis=1)[:, 8 - depth :].ravel() for row in samples]
    return b"".join(b"\0" + np.packbits(row).tobytes() for row in bits)


class Pass(NamedTuple):
    """One pass of an interlaced PNG: its first row and column, and the steps between them."""

    top: int
    down: int
    left: int
    right: int

    def of(self, samples: Samples) -> Samples:
        """The samples of the pass; a view."""
        return samples[self.top :: self.down, self.left :: self.right]


WHOLE = Pass(0, 1, 0, 1)
PASSES = [
    Pass(0, 8, 0, 8),
    Pass(0, 8, 4, 8),
    Pass(4, 8, 0, 4),
    Pass(0, 4, 2, 4),
    Pass(2, 4, 0, 2),
    Pass(0, 2, 1, 2),
    Pass(1, 2, 0, 1),
]
"""Adam7 (PNG, 8.1)."""
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def png(
    samples: Samples, depth: int, colour: int | None = None, before: bytes = b"", after: bytes = b"", interlaced: bool = False
) -> bytes:
    """A PNG written from its specification, with more chunks before and after its pixels."""
    height, width, channels = samples.shape
    header = struct.pack(
        ">IIBBBBB", width, height, depth, COLOUR_TYPES[channels] if colour is None else colour, 0, 0, interlaced
    )
    parts = [each.of(samples) for each in (PASSES if interlaced else [WHOLE])]
    pixels = zlib.compress(b"".join(_lines(part, depth) for part in parts if part.size))
    middle = len(pixels) // 2
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            before,
            chunk(b"IDAT", pixels[:middle]),
            chunk(b"IDAT", pixels[middle:]),
            after,
            chunk(b"IEND", b""),
        ]
    )


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and content of every chunk; checksums are asserted."""
    result, position = [], 8
    while position < len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        end = position + 8 + length
        name, content = data[position + 4 : position + 8], data[position + 8 : end]
        assert zlib.crc32(name + content) == struct.unpack(">I", data[end : end + 4])[0]
        result.append((name, content))
        position = end + 4
        if name == b"IEND":
            break
    return result


def read_png(data: bytes) -> Samples:
    """The raw samples of a PNG by its specification: indices for a palette, not scaled."""
    parts = png_chunks(data)
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    lines = zlib.decompress(b"".join(content for name, content in parts if name == b"IDAT"))
    result = np.zeros((height, width, channels), np.uint16)
    position = 0
    for each in PASSES if interlaced else [WHOLE]:
        part = each.of(result)
        if part.size:
            position = _read_pass(lines, position, part, depth)
    return result


def _read_pass(lines: bytes, position: int, part: Samples, depth: int) -> int:
    """Read the lines of a pass from a position into `part`; the position after them."""
    height, width, channels = part.shape
    size, step = (width * channels * depth + 7) // 8, max(1, channels * depth // 8)
    above = bytearray(size)
    for row in range(height):
        kind, line = lines[position], bytearray(lines[position + 1 : position + 1 + size])
        position += 1 + size
        for place in range(size):
            a = line[place - step] if place >= step else 0
            b, c = above[place], above[place - step] if place >= step else 0
            estimate = a + b - c
            paeth = min((abs(estimate - a), 0, a), (abs(estimate - b), 1, b), (abs(estimate - c), 2, c))[2]
            line[place] = (line[place] + [0, a, b, (a + b) // 2, paeth][kind]) & 255
        raw = np.frombuffer(bytes(line), np.uint8)
        if depth == 16:
            values = raw.view(">u2")
        else:
            bits = np.unpackbits(raw)[: width * channels * depth].reshape(-1, depth)
            values = bits @ (1 << np.arange(depth)[::-1])
        part[row] = values.reshape(width, channels)
        above = line
    return position


def palette_png(depth: int, alphas: bytes = b"") -> bytes:
    entries = np.random.default_rng(1).integers(0, 256, (2**depth, 3), dtype=np.uint8)
    more = chunk(b"PLTE", entries.tobytes()) + (chunk(b"tRNS", alphas) if alphas else b"")
    return png(slope(1, 2**depth - 1), depth, 3, more)


# --- other formats


def pillow(mode: str, kind: str, **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        buffer = io.BytesIO()
        channels = {"1": 1, "L": 1, "P": 3}.get(mode, len(mode))
        samples = slope(channels, 255)
        image = (
            Image.fromarray(samples[:, :, 0])
            if channels == 1
            else Image.frombytes(mode if mode != "P" else "RGB", (WIDTH, HEIGHT), samples.tobytes())
        )
        image = image.quantize(options.pop("colours", 64)) if mode == "P" else image.convert(mode)
        image.save(buffer, kind, **options)
        return buffer.getvalue()

    return make


def tiff(channels: int, peak: int, **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        samples = slope(channels, peak)
        if options.get("planarconfig") == "separate":
            samples = np.ascontiguousarray(samples.transpose(2, 0, 1))
        buffer = io.BytesIO()
        photometric = {1: "minisblack", 2: "minisblack", 3: "rgb", 4: "rgb"}[channels]
        extra = {2: ["unassalpha"], 4: ["unassalpha"]}.get(channels)
        if extra and "photometric" not in options:
            options.setdefault("extrasamples", extra)
        squeezed = samples[:, :, 0] if channels == 1 else samples
        tifffile.imwrite(buffer, squeezed, **{"photometric": photometric, **options})
        return buffer.getvalue()

    return make


def opencv_tiff(channels: int, compression: int) -> Callable[[], bytes]:
    def make() -> bytes:
        samples = slope(channels, 65535)
        return cv2.imencode(".tiff", samples, [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1].tobytes()

    return make


def bilevel_tiff(white_is_zero: bool) -> bytes:
    buffer = io.BytesIO()
    photometric = "miniswhite" if white_is_zero else "minisblack"
    tifffile.imwrite(buffer, slope(1, 1)[:, :, 0].astype(bool), photometric=photometric)
    return buffer.getvalue()


def jpeg_xl(channels: int, **options: Any) -> Callable[[], bytes]:
    def make() -> bytes:
        samples = slope(channels, 255)
        return bytes(imagecodecs.jpegxl_encode(samples[:, :, 0] if channels == 1 else samples, **options))

    return make


def jpeg_tiff(channels: int, space: str | None = None, **options: Any) -> Callable[[], bytes]:
    """A TIFF of JPEG strips or tiles."""

    def make() -> bytes:
        buffer = io.BytesIO()
        samples = slope(channels, 255)
        arguments = {"level": 90} if space is None else {"level": 90, "outcolorspace": space}
        kind = "minisblack" if channels == 1 else "rgb"
        pixels = samples[:, :, 0] if channels == 1 else samples
        tifffile.imwrite(buffer, pixels, photometric=kind, compression="jpeg", compressionargs=arguments, **options)
        return buffer.getvalue()

    return make


def downward_bmp() -> bytes:
    """A BMP of 24 bits whose rows are stored from the top down."""
    rows = slope(3, 255)[:, :, ::-1].tobytes()
    info = struct.pack("<IiiHHIIiiII", 40, WIDTH, -HEIGHT, 1, 24, 0, len(rows), 2835, 2835, 0, 0)
    return struct.pack("<2sIHHI", b"BM", 54 + len(rows), 0, 0, 54) + info + rows


def masked_bmp() -> bytes:
    """A BMP of version 4 with alpha, its channels declared by masks."""
    rows = slope(4, 255)[::-1, :, [2, 1, 0, 3]].tobytes()
    info = struct.pack("<IiiHHIIiiII", 108, WIDTH, HEIGHT, 1, 32, 3, len(rows), 2835, 2835, 0, 0)
    info += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    return struct.pack("<2sIHHI", b"BM", 122 + len(rows), 0, 0, 122) + info + rows


def ycck_jpeg(quality: int = 90) -> bytes:
    """CMYK whose first three inks are stored as by Photoshop: luma and colour differences."""
    inks = slope(4, 255).astype(np.float32)
    red, green, blue, black = (inks[:, :, channel] for channel in range(4))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    planes = [luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402, 255 - black]
    stored = 255 - np.clip(np.rint(np.stack(planes, axis=2)), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.frombytes("CMYK", (WIDTH, HEIGHT), stored.tobytes()).save(buffer, "JPEG", quality=quality)
    data = bytearray(buffer.getvalue())
    data[data.index(b"Adobe") + 11] = 2
    return bytes(data)


def plain_cmyk_jpeg() -> bytes:
    """CMYK without Adobe's marker."""
    data = pillow("CMYK", "JPEG", quality=90)()
    start = data.index(b"Adobe") - 4
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


# --- independent readers


def read_pillow(data: bytes) -> Samples:
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels).astype(np.uint16)


def read_tifffile(data: bytes) -> Samples:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        pixels = page.asarray()
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = pixels.transpose(1, 2, 0)
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels).astype(np.uint16)


def read_jpeg_xl(data: bytes) -> Samples:
    pixels = imagecodecs.jpegxl_decode(data)
    return (pixels[:, :, None] if pixels.ndim == 2 else pixels).astype(np.uint16)


def read_opencv(data: bytes) -> Samples:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


@dataclass(frozen=True)
class Case:
    """A kind of source file."""

    make: Callable[[], bytes]
    mode: str
    """`Picture.mode` of the decoded file."""
    read: Callable[[bytes], Samples]
    """An independent reader of its raw samples."""
    lossy: bool = False


def _cases() -> dict[str, Case]:
    cases = {}
    for depth in (1, 2, 4, 8, 16):
        mode = {1: "1", 8: "L", 16: "I;16"}.get(depth, f"L;{depth}")
        cases[f"PNG grey {depth}"] = Case(lambda depth=depth: png(slope(1, 2**depth - 1), depth), mode, read_png)
    for channels, name in ((2, "LA"), (3, "RGB"), (4, "RGBA")):
        for depth in (8, 16):
            mode = name + (";16" if depth == 16 else "")
            make = lambda channels=channels, depth=depth: png(slope(channels, 2**depth - 1), depth)  # noqa: E731
            cases[f"PNG {name} {depth}"] = Case(make, mode, read_png)
    cases["PNG RGB 16 interlaced"] = Case(lambda: png(slope(3, 65535), 16, interlaced=True), "RGB;16", read_png)
    cases["PNG grey 2 interlaced"] = Case(lambda: png(slope(1, 3), 2, interlaced=True), "L;2", read_png)
    cases["PNG RGB keyed"] = Case(lambda: png(slope(3, 255), 8, before=chunk(b"tRNS", bytes(6))), "RGB", read_png)
    for name, make, mode in (
        ("grey 8", tiff(1, 255), "L"),
        ("grey 16", tiff(1, 65535), "I;16"),
        ("grey 16 white is zero", tiff(1, 65535, photometric="miniswhite"), "I;16"),
        ("grey and alpha 8", tiff(2, 255), "LA"),
        ("grey and alpha 16", tiff(2, 65535), "LA;16"),
        ("RGB 8 big-endian", tiff(3, 255, byteorder=">"), "RGB"),
        ("RGB 16", tiff(3, 65535), "RGB;16"),
        ("RGB 16 big-endian", tiff(3, 65535, byteorder=">"), "RGB;16"),
        ("RGB 16 deflate, differences", tiff(3, 65535, compression="zlib", predictor=True), "RGB;16"),
        ("RGB 16 tiles", tiff(3, 65535, tile=(16, 32), compression="zlib", predictor=True), "RGB;16"),
        ("RGB 16 planes", tiff(3, 65535, planarconfig="separate"), "RGB;16"),
        ("RGB 8 planes of tiles", tiff(3, 255, planarconfig="separate", tile=(16, 16), compression="zlib"), "RGB"),
        ("RGB 16 BigTIFF", tiff(3, 65535, bigtiff=True, rowsperstrip=7), "RGB;16"),
        ("RGBA 8", tiff(4, 255), "RGBA"),
        ("RGBA 16", tiff(4, 65535), "RGBA;16"),
        ("RGBA 16 premultiplied", tiff(4, 65535, extrasamples=["assocalpha"]), "RGBA;16"),
        ("CMYK 8", tiff(4, 255, photometric="separated"), "CMYK"),
        ("CMYK 16", tiff(4, 65535, photometric="separated", compression="zlib", rowsperstrip=9), "CMYK;16"),
        ("bilevel", lambda: bilevel_tiff(False), "1"),
        ("bilevel white is zero", lambda: bilevel_tiff(True), "1"),
    ):
        cases[f"TIFF {name}"] = Case(make, mode, read_tifffile)
    for compression in ("group3", "group4", "packbits", "tiff_lzw"):
        cases[f"TIFF bilevel {compression}"] = Case(pillow("1", "TIFF", compression=compression), "1", read_pillow)
    for compression in ("tiff_lzw", "packbits", "tiff_adobe_deflate", "zstd", "lzma"):
        cases[f"TIFF RGB {compression}"] = Case(
            pillow("RGB", "TIFF", compression=compression, strip_size=1500), "RGB", read_pillow
        )
    cases["TIFF RGB 16 LZW"] = Case(opencv_tiff(3, 5), "RGB;16", read_opencv)
    cases["TIFF RGB and another 16 LZW"] = Case(opencv_tiff(4, 5), "RGBX;16", read_opencv)
    cases["WEBP RGB"] = Case(pillow("RGB", "WEBP", lossless=True), "RGB", read_pillow)
    cases["WEBP RGBA"] = Case(pillow("RGBA", "WEBP", lossless=True, exact=True), "RGBA", read_pillow)
    for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        cases[f"JPEG 2000 {mode}"] = Case(pillow(mode, "JPEG2000"), mode, read_pillow)
        cases[f"JPEG XL {mode}"] = Case(jpeg_xl(channels, lossless=True), mode, read_jpeg_xl)
    cases["JPEG 2000 in tiles"] = Case(pillow("RGB", "JPEG2000", tile_size=(32, 16)), "RGB", read_pillow)
    cases["JPEG 2000 stream"] = Case(pillow("RGB", "JPEG2000", no_jp2=True), "RGB", read_pillow)
    cases["BMP 1"] = Case(pillow("1", "BMP"), "1", read_pillow)
    cases["BMP L"] = Case(pillow("L", "BMP"), "L", read_pillow)
    cases["BMP RGB"] = Case(pillow("RGB", "BMP"), "RGB", read_pillow)
    cases["BMP 32"] = Case(pillow("RGBA", "BMP"), "RGB", read_pillow)
    cases["BMP RGBA by masks"] = Case(masked_bmp, "RGBA", read_pillow)
    cases["BMP upside down"] = Case(downward_bmp, "RGB", read_pillow)
    return cases


PALETTES = {
    "PNG palette 1": Case(lambda: palette_png(1), "P", read_png),
    "PNG palette 2": Case(lambda: palette_png(2), "P", read_png),
    "PNG palette 4": Case(lambda: palette_png(4, bytes([0, 128])), "P", read_png),
    "PNG palette 8": Case(lambda: palette_png(8), "P", read_png),
    "TIFF palette": Case(pillow("P", "TIFF", compression="tiff_lzw"), "P", read_pillow),
    "GIF": Case(pillow("P", "GIF"), "P", read_pillow),
    "GIF of 8 colours": Case(pillow("P", "GIF", colours=8), "P", read_pillow),
    "BMP palette": Case(pillow("P", "BMP"), "P", read_pillow),
}
LOSSLESS = _cases()
JPEGS = {
    "JPEG L": Case(pillow("L", "JPEG", quality=90), "L", read_pillow),
    "JPEG RGB": Case(pillow("RGB", "JPEG", quality=90, subsampling=2), "RGB", read_pillow),
    "JPEG RGB progressive": Case(pillow("RGB", "JPEG", quality=80, progressive=True), "RGB", read_pillow),
    "JPEG CMYK": Case(pillow("CMYK", "JPEG", quality=90), "CMYK", read_pillow),
    "JPEG CMYK progressive": Case(pillow("CMYK", "JPEG", quality=90, progressive=True), "CMYK", read_pillow),
    "JPEG CMYK without Adobe's marker": Case(plain_cmyk_jpeg, "CMYK", read_pillow),
    "JPEG YCCK": Case(ycck_jpeg, "CMYK", read_pillow),
}
TIFF_JPEGS = {
    "TIFF of JPEG strips": Case(jpeg_tiff(3, rowsperstrip=16), "RGB", read_pillow, lossy=True),
    "TIFF of JPEG tiles": Case(jpeg_tiff(3, tile=(16, 32)), "RGB", read_pillow, lossy=True),
    "TIFF of RGB in JPEG": Case(jpeg_tiff(3, "rgb", rowsperstrip=8), "RGB", read_pillow, lossy=True),
    "TIFF of JPEG with tables": Case(
        pillow("RGB", "TIFF", compression="jpeg", strip_size=1500), "RGB", read_pillow, lossy=True
    ),
    "TIFF of grey JPEG": Case(jpeg_tiff(1), "L", read_pillow, lossy=True),
}
TRANSPARENT = {name: case for name, case in LOSSLESS.items() if case.mode.startswith(("LA", "RGBA")) or name == "PNG RGB keyed"}
GROUPS = {
    "lossless": LOSSLESS,
    "transparent": TRANSPARENT,
    "palette": PALETTES,
    "jpeg": JPEGS,
    "tiff_jpeg": TIFF_JPEGS,
    "every": {**LOSSLESS, **PALETTES, **JPEGS, **TIFF_JPEGS},
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that has a group's name as an argument once for each Case of the group."""
    for name, group in GROUPS.items():
        if name in metafunc.fixturenames:
            metafunc.parametrize(name, group.values(), ids=list(group))


def exif_of(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x013B] = "A. Painter"
    return exif


def _square(picture: Picture, colour: tuple[int, int, int] = (250, 5, 10), corner: tuple[int, int] = (16, 16)) -> Edited:
    """The picture with a square of 16 x 16 upright pixels replaced by one colour."""
    edit = Edit(*corner, np.full((16, 16, 3), colour, np.uint8), np.ones((16, 16), np.float32))
    return picture.edited([edit])


def _edited_file(data: bytes, **where: Any) -> tuple[bytes, Picture, Picture]:
    picture = decode(data, Limits())
    result = encode(_square(picture, **where), data)
    return result, picture, decode(result, Limits())


@pytest.fixture(scope="session")
def edited_file() -> Callable[..., tuple[bytes, Picture, Picture]]:
    """Edit a file in one square; the new file, the picture before and the picture after."""
    return _edited_file


@pytest.fixture(scope="session")
def square() -> Callable[..., Edited]:
    """A picture with one square replaced."""
    return _square


@pytest.fixture(scope="session")
def exif() -> Callable[[int], Image.Exif]:
    """EXIF with an orientation and an artist."""
    return exif_of


@pytest.fixture(scope="session")
def small(photo: np.ndarray) -> np.ndarray:
    """A part of the photograph, 64 x 96 pixels."""
    return np.ascontiguousarray(photo[100:164, 180:276])


@pytest.fixture(scope="session")
def png_reader() -> Callable[[bytes], Samples]:
    """Read a PNG's raw samples (indices for a palette) by its specification."""
    return read_png


@pytest.fixture(scope="session")
def kinds() -> dict[str, Case]:
    """Every kind of source file by its name."""
    return GROUPS["every"]
