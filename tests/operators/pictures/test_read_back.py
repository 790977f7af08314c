"""Edited files read again: a wrong one is found, whatever is wrong with it."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats.tiff_directory import first_directory
from operators.pictures.picture import Edit, Edited
from operators.pictures.read_back import check_written

ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "JPEG": ("JPEG", {"quality": 90}),
    "progressive JPEG of low quality": ("JPEG", {"quality": 30, "progressive": True, "subsampling": 2}),
    "PNG": ("PNG", {}),
    "lossless WebP": ("WEBP", {"lossless": True, "exact": True}),
    "lossy WebP": ("WEBP", {"quality": 75}),
    "TIFF": ("TIFF", {}),
    "TIFF with LZW": ("TIFF", {"compression": "tiff_lzw"}),
    "TIFF with deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "TIFF with zstd": ("TIFF", {"compression": "zstd"}),
    "BMP": ("BMP", {}),
    "GIF": ("GIF", {}),
    "palette PNG": ("PNG", {"palette": True}),
}


@pytest.fixture(params=FILES.values(), ids=list(FILES))
def data(request: pytest.FixtureRequest, photo: np.ndarray, saved: Any) -> bytes:
    """A photograph of 192 x 160 pixels as a file."""
    kind, options = request.param
    image, options = Image.fromarray(photo[80:240, 130:322]), dict(options)
    if options.pop("palette", False) or kind == "GIF":
        image = image.quantize(64)
    return bytes(saved(image, kind, **options))


def edited_of(data: bytes, colour: tuple[int, int, int] = (250, 5, 10)) -> Edited:
    """The picture with a square of 48 x 48 pixels replaced."""
    edit = Edit(40, 50, np.full((48, 48, 3), colour, np.uint8), np.ones((48, 48), np.float32))
    return decode(data, Limits()).edited([edit])


def wrongly_encoded(edited: Edited, data: bytes, wrong: Callable[[np.ndarray], np.ndarray]) -> bytes:
    """The file of an encoder that writes other samples than the edited ones."""
    everywhere = np.ones_like(edited.changed)
    return encode(replace(edited, stored=np.ascontiguousarray(wrong(edited.stored.copy())), changed=everywhere), data)


def rows_swapped(stored: np.ndarray) -> np.ndarray:
    return stored.reshape(-1, 2, *stored.shape[1:])[:, ::-1].reshape(stored.shape)


def stripes(stored: np.ndarray) -> np.ndarray:
    """The tiles of a picture, 32 pixels wide, read as if they were strips."""
    tiles = stored.reshape(5, 32, 6, 32, -1).swapaxes(1, 2)
    return tiles.reshape(stored.shape)


def tile_shifted(stored: np.ndarray) -> np.ndarray:
    stored[96:128, 128:160] = stored[96:128, 120:152].copy()
    return stored


WRONG = {
    "rows in pairs swapped": rows_swapped,
    "upside down": lambda stored: stored[::-1],
    "shifted by a row": lambda stored: np.roll(stored, 1, axis=0),
    "channels reversed": lambda stored: stored[:, :, ::-1],
    "inverted": lambda stored: 255 - stored,
    "a tile shifted": tile_shifted,
    "tiles as strips": stripes,
}


def test_a_good_file_shows_what_was_meant(data: bytes) -> None:
    edited = edited_of(data)
    assert check_written(encode(edited, data), edited, data) is None


@pytest.mark.parametrize("wrong", WRONG.values(), ids=list(WRONG))
def test_other_samples_than_meant_are_found(data: bytes, wrong: Callable[[np.ndarray], np.ndarray]) -> None:
    edited = edited_of(data)
    assert check_written(wrongly_encoded(edited, data, wrong), edited, data) is not None


def test_an_edit_that_is_not_in_the_file_is_found(photo: np.ndarray, saved: Any) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP"):
        data = saved(photo[80:240, 130:322], kind)
        assert check_written(data, edited_of(data), data) is not None


def test_channels_exchanged_inside_the_edit_alone_are_found(photo: np.ndarray, saved: Any) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP"):
        data = saved(photo[80:240, 130:322], kind)
        file = encode(edited_of(data, (10, 5, 250)), data)
        assert check_written(file, edited_of(data), data) is not None


def test_a_file_cut_short_is_found(data: bytes) -> None:
    edited = edited_of(data)
    file = encode(edited, data)
    assert check_written(file[: len(file) * 2 // 3], edited, data) is not None
    assert check_written(file[:20], edited, data) is not None
    assert check_written(b"", edited, data) is not None


def test_another_size_is_found(photo: np.ndarray, saved: Any) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"):
        data = saved(Image.fromarray(photo[:160, :192]).convert("P" if kind == "GIF" else "RGB"), kind)
        smaller = saved(Image.fromarray(photo[:159, :192]).convert("P" if kind == "GIF" else "RGB"), kind)
        difference = check_written(smaller, edited_of(data), data)
        assert difference == "the written file has another height: 159 instead of 160"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_lost_orientation_or_profile_is_found(photo: np.ndarray, saved: Any, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    picture, options = photo[:160, :192], {"lossless": True} if kind == "WEBP" else {}
    data = saved(picture, kind, exif=exif, icc_profile=ICC, **options)
    edited = edited_of(data)
    assert check_written(encode(edited, data), edited, data) is None
    unturned = encode(edited, saved(picture, kind, icc_profile=ICC, **options))
    assert check_written(unturned, edited, data) == "the written file has another orientation: 1 instead of 6"
    bare = encode(edited, saved(picture, kind, exif=exif, **options))
    assert check_written(bare, edited, data) == "the written file has another profile"


@pytest.mark.parametrize("bits", [8, 16])
def test_tiles_that_were_decoded_as_strips_are_found(photo: np.ndarray, bits: int) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, photo[:64, :96].astype(f"u{bits // 8}") << (bits - 8), photometric="rgb", tile=(16, 16))
    data = buffer.getvalue()
    picture = decode(data, Limits())
    offset, count = first_directory(data).number(324, 0), 64 * 96 * 3
    misread = np.frombuffer(data, picture.stored.dtype, count, offset).reshape(64, 96, 3)
    edited = replace(picture, stored=misread).edited(
        [Edit(30, 20, np.full((20, 40, 3), 9, np.uint8), np.ones((20, 40), np.float32))]
    )
    written = data[:offset] + edited.stored.tobytes() + data[offset + edited.stored.nbytes :]
    difference = check_written(written, edited, data)
    assert difference is not None
    assert "tifffile" in difference


@pytest.mark.parametrize("quality", [5, 30, 75, 95])
@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_noise_in_a_lossy_file_is_no_difference(photo: np.ndarray, saved: Any, kind: str, quality: int) -> None:
    data = saved(photo[80:243, 130:327], kind, quality=quality)
    noise = np.random.default_rng(0).integers(0, 256, (70, 90, 3), dtype=np.uint8)
    edited = decode(data, Limits()).edited([Edit(41, 53, noise, np.ones((70, 90), np.float32))])
    assert check_written(encode(edited, data), edited, data) is None


def test_a_colour_that_a_key_makes_transparent_is_no_difference(photo: np.ndarray, saved: Any) -> None:
    data = saved(photo[80:240, 130:322], "PNG", transparency=(250, 5, 10))
    edited = edited_of(data)
    assert check_written(encode(edited, data), edited, data) is None


def test_pixels_under_full_transparency_may_differ_in_colour(photo: np.ndarray, saved: Any) -> None:
    pixels = np.dstack([photo[80:240, 130:322], np.zeros((160, 192), np.uint8)])
    pixels[:, 80:, 3] = 200
    data = saved(pixels, "WEBP", quality=40)
    edited = edited_of(data)
    assert check_written(encode(edited, data), edited, data) is None
    transparent = replace(edited, stored=np.dstack([edited.stored[:, :, :3], 255 - edited.stored[:, :, 3]]))
    assert check_written(encode(transparent, data), edited, data) == "OpenCV sees another transparency"
