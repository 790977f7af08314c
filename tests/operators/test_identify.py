"""`identify` gives the same hash to files of the same pixels, and to no others."""

from __future__ import annotations

import hashlib
import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from operators.generators.seeds import content_sha256
from operators.identify import Identify
from operators.rows.schema import check_schema, complete_rows
from operators.rows.table import row_views

COLOURS = Image.fromarray(np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8))


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def identified(*files: bytes) -> pa.Table:
    count = len(files)
    rows = {
        "image_id": [f"{number:032x}" for number in range(count)],
        "uri": [f"/{number}" for number in range(count)],
        "path": [str(number) for number in range(count)],
        "shard": pa.array([0] * count, pa.int32()),
        "bytes": pa.array(files, pa.large_binary()),
        "source_sha256": [hashlib.sha256(file).hexdigest() for file in files],
    }
    result = Identify().apply(complete_rows(pa.table(rows)))
    check_schema(result, "identify")
    return result


def sums(*files: bytes) -> list[str | None]:
    return identified(*files)["pixels_sha256"].to_pylist()


def test_metadata_and_lossless_compression_do_not_count() -> None:
    info = PngInfo()
    info.add_text("Title", "another one")
    plain, titled, dense = sums(encoded(COLOURS), encoded(COLOURS, pnginfo=info), encoded(COLOURS, compress_level=9))
    assert plain == titled == dense
    assert plain is not None


def test_one_level_of_one_pixel_counts() -> None:
    other = COLOURS.copy()
    red, green, blue = other.getpixel((7, 7))
    other.putpixel((7, 7), (red ^ 1, green, blue))
    one, two = sums(encoded(COLOURS), encoded(other))
    assert one != two


@pytest.mark.parametrize(
    "other",
    [
        encoded(COLOURS, "BMP"),
        encoded(COLOURS.convert("RGBA")),
        encoded(COLOURS.transpose(Image.Transpose.ROTATE_90)),
        encoded(COLOURS.crop((0, 0, 29, 20))),
    ],
    ids=["format", "alpha", "turned", "size"],
)
def test_what_the_pixels_mean_counts(other: bytes) -> None:
    one, two = sums(encoded(COLOURS), other)
    assert one != two


def test_the_orientation_counts() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    one, two = sums(encoded(COLOURS, "JPEG"), encoded(COLOURS, "JPEG", exif=exif))
    assert one != two


def test_an_animation_has_no_hash() -> None:
    frames = [COLOURS, COLOURS.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    (animation,) = sums(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert animation is None


@pytest.mark.parametrize("kind", ["WEBP", "GIF"])
def test_a_format_in_which_an_edit_cannot_be_taken_over_without_loss_has_no_hash(kind: str) -> None:
    assert sums(encoded(COLOURS, kind)) == [None]


def test_seeds_follow_the_pixels_where_they_have_a_hash_and_else_the_bytes() -> None:
    info = PngInfo()
    info.add_text("Title", "another one")
    webps = [encoded(COLOURS, "WEBP", quality=quality) for quality in (70, 80)]
    rows = row_views(identified(encoded(COLOURS), encoded(COLOURS, pnginfo=info), *webps))
    contents = [content_sha256(row) for row in rows]
    assert contents[0] == contents[1] == rows[0]["pixels_sha256"]
    assert contents[2:] == [hashlib.sha256(file).hexdigest() for file in webps]


def test_a_file_that_cannot_be_decoded_fails_with_its_code() -> None:
    result = identified(encoded(COLOURS)[:200], encoded(COLOURS))
    assert [failure and failure["code"] for failure in result["failure"].to_pylist()] == ["truncated", None]
