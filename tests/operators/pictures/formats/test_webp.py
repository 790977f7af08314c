"""A WebP keeps its chunks unchanged and in order; a lossless one keeps even hidden colours."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def parts(data: bytes) -> list[tuple[bytes, bytes]]:
    """Name and content of every chunk; the content of the pixels is left out."""
    assert data[:4] == b"RIFF"
    assert int.from_bytes(data[4:8], "little") == len(data) - 8
    result, position = [], 12
    while position < len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        name, content = data[position : position + 4], data[position + 8 : position + 8 + size]
        result.append((name, b"" if name in (b"VP8 ", b"VP8L", b"ALPH") else content))
        position += 8 + size + size % 2
    return result


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("exact", [True, False])
def test_every_chunk_keeps_its_bytes(
    small: np.ndarray, saved: Any, edited_file: Any, exif: Any, mode: str, exact: bool
) -> None:
    image = Image.fromarray(small).convert("RGB")
    if mode == "RGBA":
        image.putalpha(Image.fromarray(np.tile(np.arange(96, dtype=np.uint8), (64, 1))))
    data = saved(image, "WEBP", lossless=exact, exact=True, icc_profile=PROFILE, exif=exif(6), xmp=XMP)
    data = data[:4] + (len(data) - 8 + 13 + 1).to_bytes(4, "little") + data[8:] + b"mine\x05\0\0\0extra\0"
    result, before, after = edited_file(data)
    assert parts(result) == parts(data)
    assert len(parts(data)) >= 6
    assert (after.mode, after.orientation) == (before.mode, 6) == (mode, 6)


def test_a_simple_file_stays_simple(small: np.ndarray, saved: Any, edited_file: Any) -> None:
    for exact, name in ((True, b"VP8L"), (False, b"VP8 ")):
        result, _, _ = edited_file(saved(small, "WEBP", lossless=exact))
        assert [part[0] for part in parts(result)] == [name]


def test_colours_under_full_transparency_are_kept(small: np.ndarray, saved: Any, edited_file: Any) -> None:
    image = Image.fromarray(small)
    image.putalpha(0)
    result, before, after = edited_file(saved(image, "WEBP", lossless=True, exact=True))
    assert np.array_equal(after.stored[40:], before.stored[40:])
    assert before.stored[40:, :, :3].any()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(result)))[40:], before.stored[40:])


def test_a_lossy_file_is_near_its_source_away_from_the_edit(small: np.ndarray, saved: Any, edited_file: Any) -> None:
    _, before, after = edited_file(saved(small, "WEBP", quality=80))
    assert np.abs(after.stored[40:].astype(int) - before.stored[40:]).mean() < 3
