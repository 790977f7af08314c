"""Edited files in other programs: metadata by exiftool, pixels by ImageMagick and libvips.

These are Debian's libimage-exiftool-perl, imagemagick and libvips-tools, which
`make system-packages` installs as root.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from operators.pictures import codec
from operators.pictures.codec import Limits, decode, encode
from operators.pictures.picture import Edit

PROGRAMS = {"exiftool": "libimage-exiftool-perl", "convert": "imagemagick", "vips": "libvips-tools"}
FREE = (
    "SourceFile", "System:", "ExifTool:", "File:FileSize", "PNG:Interlace", "StripOffsets", "StripByteCounts", "TileOffsets",
    "TileByteCounts", "ThumbnailLength", "Composite:",
)  # fmt: skip
"""Tags that describe the file itself or where its pixels are; an edit may change them."""


def needs(program: str) -> str:
    """The path of Debian's program; skips the test if it is missing."""
    path = shutil.which(program, path="/usr/bin")
    if path is None:
        pytest.skip(f"needs Debian's {PROGRAMS[program]}: run `make system-packages` as root")
    return path


def run(*command: object) -> bytes:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=60).stdout


def edited(data: bytes) -> bytes:
    edit = Edit(8, 8, np.full((16, 20, 3), (200, 60, 30), np.uint8), np.ones((16, 20), np.float32))
    return encode(decode(data, Limits()).edited([edit]), data)


# --- metadata

TAGS = [
    "-EXIF:Artist=A. Painter",
    "-EXIF:Copyright=nobody",
    "-EXIF:DateTimeOriginal=2024:02:29 12:00:00",
    "-EXIF:Orientation#=6",
    "-EXIF:GPSLatitude=48.2",
    "-EXIF:GPSLatitudeRef=N",
    "-EXIF:UserComment=a comment",
    "-XMP:Title=a title",
    "-XMP:Rating=4",
]
FORMATS: dict[str, tuple[str, dict[str, Any], list[str]]] = {
    "jpg": ("JPEG", {"quality": 90}, ["-IPTC:Keywords=one", "-IPTC:Caption-Abstract=a caption", "-Comment=by hand"]),
    "png": ("PNG", {}, ["-PNG:Author=A. Painter", "-PNG:Comment=by hand"]),
    "webp": ("WEBP", {"lossless": True}, []),
    "tif": ("TIFF", {"compression": "tiff_lzw"}, ["-IPTC:Keywords=one", "-IPTC:Caption-Abstract=a caption"]),
    "gif": ("GIF", {}, ["-Comment=by hand"]),
}


def tags(path: Path) -> dict[str, Any]:
    """Every tag that exiftool finds, including unknown ones, by its full name."""
    listing = run(needs("exiftool"), "-json", "-G0:1", "-a", "-U", "-n", "-e", "-b", path)
    (by_name,) = json.loads(listing)
    return {name: value for name, value in by_name.items() if not any(free in name for free in FREE)}


@pytest.mark.parametrize("extension", FORMATS)
def test_exiftool_finds_the_same_metadata_before_and_after(
    extension: str, photo: np.ndarray, saved: Any, tmp_path: Path
) -> None:
    exiftool = needs("exiftool")
    name, options, more = FORMATS[extension]
    image = Image.fromarray(photo[:96, :128]).quantize(64) if name == "GIF" else Image.fromarray(photo[:96, :128])
    before, after = tmp_path / f"before.{extension}", tmp_path / f"after.{extension}"
    before.write_bytes(saved(image, name, **({"dpi": (300, 150)} if name in {"JPEG", "PNG", "TIFF"} else {}), **options))
    run(exiftool, "-overwrite_original", *(["-XMP:Title=a title"] if name == "GIF" else TAGS), *more, before)
    after.write_bytes(edited(before.read_bytes()))
    assert before.read_bytes() != after.read_bytes()
    tags_before = tags(before)
    assert len(tags_before) > 12
    assert any("Title" in tag for tag in tags_before)
    assert tags(after) == tags_before


@pytest.mark.parametrize("extension", ["jpg", "png", "webp", "tif"])
def test_exiftool_validates_edited_files(extension: str, photo: np.ndarray, saved: Any, tmp_path: Path) -> None:
    exiftool = needs("exiftool")
    name, options, _ = FORMATS[extension]
    path = tmp_path / f"picture.{extension}"
    path.write_bytes(saved(photo[:96, :128], name, **options))
    run(exiftool, "-overwrite_original", *TAGS, path)
    warnings = json.loads(run(exiftool, "-json", "-validate", "-warning", "-error", "-a", path))[0]
    path.write_bytes(edited(path.read_bytes()))
    assert {**json.loads(run(exiftool, "-json", "-validate", "-warning", "-error", "-a", path))[0]} == warnings


def test_exiftool_extracts_a_thumbnail_of_the_edited_picture(photo: np.ndarray, saved: Any, tmp_path: Path) -> None:
    exiftool = needs("exiftool")
    path, small = tmp_path / "picture.jpg", tmp_path / "small.jpg"
    path.write_bytes(saved(photo, "JPEG", quality=90))
    small.write_bytes(saved(Image.fromarray(photo).resize((160, 160)), "JPEG", quality=85))
    run(exiftool, "-overwrite_original", "-EXIF:Artist=A. Painter", f"-ThumbnailImage<={small}", path)
    data = path.read_bytes()
    upper = Edit(0, 0, np.full((256, 512, 3), 40, np.uint8), np.ones((256, 512), np.float32))
    path.write_bytes(encode(decode(data, Limits()).edited([upper]), data))
    small.write_bytes(run(exiftool, "-b", "-ThumbnailImage", path))
    rendered = np.asarray(Image.open(small)).astype(int)
    assert rendered.shape == (160, 160, 3)
    assert np.abs(rendered[:76] - 40).mean() < 4
    assert run(exiftool, "-s3", "-Artist", path).decode().strip() == "A. Painter"
    assert not run(exiftool, "-s3", "-Warning", path)


# --- pixels


def imagemagick(path: Path, channels: str) -> np.ndarray:
    """The pixels as ImageMagick decodes them, 16 bits a sample, height x width x channels."""
    raw = run(needs("convert"), path, "-depth", 16, "-endian", "LSB", f"{channels}:-")
    return np.frombuffer(raw, "<u2").reshape(*SIZE, -1)


def vips(path: Path, kind: type) -> np.ndarray:
    """The pixels as libvips decodes them, in their own depth, height x width x channels."""
    raw = path.with_suffix(".raw")
    run(needs("vips"), "rawsave", path, raw)
    return np.fromfile(raw, kind).reshape(*SIZE, -1)


SIZE = (40, 56)


def files(case: Any, folder: Path) -> tuple[Path, Path, np.ndarray]:
    """A source file, the edited file, and the pixels in which they may differ."""
    data = case.make()
    picture = decode(data, Limits())
    before, after = (folder / f"{name}{codec.FORMATS[picture.format].extension}" for name in ("before", "after"))
    before.write_bytes(data)
    after.write_bytes(edited(data))
    touched = np.zeros(picture.stored.shape[:2], bool)
    touched[8:24, 8:28] = True
    if picture.format == "JPEG" or (case.lossy and picture.format == "TIFF"):  # Whole blocks of a JPEG stream change.
        touched[:34, :34] = True
    return before, after, touched


def test_imagemagick_opens_every_edited_file(every: Any, tmp_path: Path) -> None:
    before, after, touched = files(every, tmp_path)
    if before.suffix == ".jxl" and b" JXL" not in run(needs("convert"), "-list", "format"):
        pytest.skip("this ImageMagick reads no JPEG XL")
    channels = "cmyk" if every.mode.startswith("CMYK") else "rgba"
    pixels_before, pixels_after = imagemagick(before, channels), imagemagick(after, channels)
    assert np.array_equal(pixels_before[~touched], pixels_after[~touched])
    assert not np.array_equal(pixels_before[touched], pixels_after[touched])


def test_libvips_opens_every_edited_file(every: Any, kinds: dict[str, Any], tmp_path: Path) -> None:
    before, after, touched = files(every, tmp_path)
    if before.suffix == ".bmp" or every is kinds["TIFF RGB 8 planes of tiles"]:
        pytest.skip("Debian's libvips reads neither BMP by itself nor tiles of separate planes")
    kind = np.uint16 if every.mode.endswith("16") else np.uint8
    pixels_before, pixels_after = vips(before, kind), vips(after, kind)
    if before.suffix == ".png" and pixels_before.shape != pixels_after.shape:
        pixels_before, pixels_after = pixels_before[:, :, :3], pixels_after[:, :, :3]
    assert np.array_equal(pixels_before[~touched], pixels_after[~touched])
    assert not np.array_equal(pixels_before[touched], pixels_after[touched])


@pytest.mark.parametrize("kind", ["PNG RGB 16", "TIFF RGB 16", "TIFF RGB 16 LZW", "TIFF RGB 16 tiles", "PNG RGB 16 interlaced"])
def test_imagemagick_finds_the_edit_in_sixteen_bits(kinds: dict[str, Any], kind: str, tmp_path: Path) -> None:
    _, after, _ = files(kinds[kind], tmp_path)
    assert (imagemagick(after, "rgb")[8:24, 8:28] == np.array([200, 60, 30]) * 257).all()
    assert run(needs("convert"), after, "-format", "%z", "info:") == b"16"


@pytest.mark.parametrize("kind", ["JPEG CMYK", "JPEG YCCK", "JPEG CMYK without Adobe's marker", "TIFF CMYK 8", "TIFF CMYK 16"])
def test_imagemagick_sees_the_colour_of_the_edit_in_ink(kinds: dict[str, Any], kind: str, tmp_path: Path) -> None:
    _, after, _ = files(kinds[kind], tmp_path)
    ink = imagemagick(after, "cmyk")[10:22, 10:26].astype(float) / 65535
    rendered = 255 * (1 - ink[:, :, :3]) * (1 - ink[:, :, 3:])
    assert np.abs(rendered - (200, 60, 30)).mean() < 6
