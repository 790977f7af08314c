"""Every format, mode and layout: samples or coefficients without weight keep their values."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import jpeglib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.picture import TURNS, Edit, turned
from operators.pictures.read_back import check_written
from operators.pictures.second_decoder import second_decoders

check = settings(deadline=None, max_examples=15)
HEIGHT, WIDTH = 40, 56


@st.composite
def edit_lists(draw: st.DrawFn) -> list[Edit]:
    """One to four soft edits that may overlap, on a picture of the test files' size."""
    edits = []
    for _ in range(draw(st.integers(1, 4))):
        x, y = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
        across, down = draw(st.integers(1, WIDTH - x)), draw(st.integers(1, HEIGHT - y))
        noise = np.random.default_rng(draw(st.integers(0, 2**32)))
        fill = noise.integers(0, 256, (down, across, 3), dtype=np.uint8)
        weight = noise.choice(np.arange(0, 256, 51), (down, across)).astype(np.float32) / np.float32(255)
        edits.append(Edit(x, y, fill, weight))
    return edits


def weighed(edits: list[Edit]) -> np.ndarray:
    """Pixels in which any edit has weight, height x width."""
    support = np.zeros((HEIGHT, WIDTH), bool)
    for edit in edits:
        support[edit.y : edit.y + edit.fill.shape[0], edit.x : edit.x + edit.fill.shape[1]] |= edit.weight > 0
    return support


def test_a_source_is_read_as_another_reader_reads_it(every: Any) -> None:
    data = every.make()
    picture = decode(data, Limits())
    assert picture.mode == every.mode
    stored = picture.stored if picture.indexed is None else picture.indexed.indices[:, :, None]
    read = every.read(data)
    if "opencv" in every.read.__name__:
        read = read[:, :, [2, 1, 0, 3][: read.shape[2]]]
    assert np.array_equal(stored, read)


@check
@given(edits=edit_lists())
def test_lossless_files_keep_every_sample_outside_the_weights(lossless: Any, edits: list[Edit]) -> None:
    data = lossless.make()
    picture = decode(data, Limits())
    edited = picture.edited(edits)
    result = encode(edited, data)
    before, after = lossless.read(data), lossless.read(result)
    assert before.shape == after.shape
    assert np.array_equal(before[~weighed(edits)], after[~weighed(edits)])
    again = decode(result, Limits())
    assert (again.mode, replace(again.space, black=1.0)) == (picture.mode, replace(picture.space, black=1.0))
    if b"tRNS" not in data:
        assert np.array_equal(again.stored, edited.stored)


@check
@given(edits=edit_lists())
def test_palette_files_keep_every_colour_outside_the_weights(palette: Any, edits: list[Edit]) -> None:
    data = palette.make()
    result = encode(decode(data, Limits()).edited(edits), data)
    before, after = (np.asarray(Image.open(io.BytesIO(file)).convert("RGBA")) for file in (data, result))
    assert np.array_equal(before[~weighed(edits)], after[~weighed(edits)])
    assert np.array_equal(before[:, :, 3], after[:, :, 3])


@check
@given(edits=edit_lists())
def test_jpegs_keep_every_coefficient_of_blocks_without_weight(jpeg: Any, edits: list[Edit], tmp_path_factory: Any) -> None:
    data = jpeg.make()
    folder = tmp_path_factory.mktemp("jpeg")
    result = encode(decode(data, Limits()).edited(edits), data)
    before, after = _coefficients(data, folder), _coefficients(result, folder)
    support = weighed(edits)
    assert len(before) == len(after)
    for blocks_before, blocks_after in zip(before, after, strict=True):
        assert blocks_before.shape == blocks_after.shape
        rows, columns = blocks_before.shape[:2]
        down, across = -(-HEIGHT // rows // 8) * 8, -(-WIDTH // columns // 8) * 8
        for row in range(rows):
            for column in range(columns):
                if not support[row * down : (row + 1) * down, column * across : (column + 1) * across].any():
                    assert np.array_equal(blocks_before[row, column], blocks_after[row, column])


def _coefficients(data: bytes, folder: Path) -> list[np.ndarray]:
    path = folder / "read.jpg"
    path.write_bytes(data)
    jpeg = jpeglib.read_dct(str(path))
    return [np.array(getattr(jpeg, name)) for name in ("Y", "Cb", "Cr", "K")[: jpeg.num_components]]


def test_a_full_edit_is_visible(every: Any) -> None:
    data = every.make()
    picture = decode(data, Limits())
    fill = np.full((24, 32, 3), (200, 60, 30) if picture.space.model != "grey" else (250, 250, 250), np.uint8)
    rendered = decode(encode(picture.edited([Edit(8, 8, fill, np.ones((24, 32), np.float32))]), data), Limits()).colours()
    inside = rendered[8:32, 8:40].reshape(-1, 3).astype(int)
    step = 255 / picture.space.peak / 2
    most = max(1, step)
    if picture.mode == "P":
        most = 40
    elif picture.format == "JPEG" or every.lossy:
        most = 8
    seen = inside[picture.stored[8:32, 8:40, 3].ravel() > 4000] if picture.space.premultiplied else inside
    assert np.abs(seen - fill[0, 0]).mean() <= most


@pytest.mark.parametrize("orientation", sorted(TURNS))
@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_an_edit_lands_upright_and_the_orientation_is_kept(
    small: np.ndarray, saved: Any, exif: Any, edited_file: Any, name: str, orientation: int
) -> None:
    options = {"WEBP": {"lossless": True, "exact": True}, "JPEG": {"quality": 95}}
    data = saved(small, name, exif=exif(orientation), **options.get(name, {}))
    result, before, after = edited_file(data, corner=(8, 24))
    assert before.orientation == after.orientation == orientation
    assert Image.open(io.BytesIO(result)).getexif()[0x0112] == orientation
    inside = np.abs(after.rgb()[24:40, 8:24].astype(int) - (250, 5, 10))
    outside = np.abs(after.rgb().astype(int) - before.rgb())[48:, 32:]
    assert inside.mean() <= (30 if name == "JPEG" else 0)
    assert outside.mean() <= (1 if name == "JPEG" else 0)


@check
@given(edits=edit_lists())
def test_a_second_decoder_reads_every_edited_file_as_it_was_meant(every: Any, edits: list[Edit]) -> None:
    data = every.make()
    edited = decode(data, Limits()).edited(edits)
    assert check_written(encode(edited, data), edited, data) is None


def test_every_kind_but_a_rare_one_has_a_second_decoder(kinds: dict[str, Any]) -> None:
    lacking = set()
    for name, kind in kinds.items():
        data = kind.make()
        picture = decode(data, Limits())
        expected = [(decoder.read(data, picture), decoder.view(picture.stored)) for decoder in second_decoders(picture, data)]
        if not any(read is not None and np.abs(read.astype(int) - meant).max() <= 2 for read, meant in expected):
            lacking.add(name)
    assert lacking == {"JPEG XL L", "JPEG XL RGB", "JPEG XL RGBA"}


def test_an_edit_that_changes_nothing_gives_the_source(every: Any) -> None:
    data = every.make()
    picture = decode(data, Limits())
    nothing = Edit(3, 4, np.zeros((5, 6, 3), np.uint8), np.zeros((5, 6), np.float32))
    assert encode(picture.edited([nothing]), data) == data


def test_the_same_edit_gives_the_same_bytes(every: Any, edited_file: Any) -> None:
    data = every.make()
    assert edited_file(data)[0] == edited_file(data)[0]


def test_edits_of_turned_files_touch_only_pixels_with_weight(small: np.ndarray, saved: Any, exif: Any) -> None:
    for orientation in TURNS:
        data = saved(small, "TIFF", exif=exif(orientation), compression="tiff_lzw")
        picture = decode(data, Limits())
        edit = Edit(2, 3, np.zeros((7, 9, 3), np.uint8), np.ones((7, 9), np.float32))
        after = decode(encode(picture.edited([edit]), data), Limits())
        outside = np.ones(picture.upright.shape[:2], bool)
        outside[3:10, 2:11] = False
        assert np.array_equal(turned(after.stored, orientation)[outside], picture.upright[outside])


# --- transparency


def test_an_alpha_is_written_where_an_edit_has_one(transparent: Any) -> None:
    data = transparent.make()
    picture = decode(data, Limits())
    alpha = np.where(np.arange(32) % 2, 255, 0).astype(np.uint8)[None].repeat(16, axis=0)
    edited = picture.edited([Edit(8, 8, np.full((16, 32, 3), 90, np.uint8), np.ones((16, 32), np.float32), alpha)])
    again = decode(encode(edited, data), Limits())
    assert again.space == picture.space
    assert np.array_equal(again.stored, edited.stored)
    opacity = again.space.opacity(again.stored)
    assert opacity is not None
    assert np.array_equal(opacity[8:24, 8:40] * 255, alpha)


def dotted(*hidden: int) -> Image.Image:
    """A dark square on nothing, whose hidden colour is as given."""
    pixels = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    pixels[:, :, :3] = hidden
    pixels[10:20, 10:20] = (30, 20, 10, 255)
    pixels[30:36, 40:50] = (200, 160, 90, 255)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("PNG", {}),
        ("PNG", {"palette": True}),
        ("GIF", {}),
        ("WEBP", {"lossless": True, "exact": True}),
        ("WEBP", {"quality": 80}),
        ("TIFF", {}),
    ],
    ids=["PNG", "PNG palette", "GIF", "WebP lossless", "WebP lossy", "TIFF"],
)
def test_a_spot_that_becomes_clear_is_clear_for_every_reader(saved: Any, name: str, options: dict[str, Any]) -> None:
    image = dotted(90, 120, 200)
    if options.pop("palette", False):
        image = image.quantize(8, Image.Quantize.FASTOCTREE)
    data = saved(image, name, **options)
    picture = decode(data, Limits())
    shape = (14, 14)
    edit = Edit(8, 8, np.full((*shape, 3), 255, np.uint8), np.ones(shape, np.float32), np.zeros(shape, np.uint8))
    before, after = (
        np.asarray(Image.open(io.BytesIO(file)).convert("RGBA")) for file in (data, encode(picture.edited([edit]), data))
    )
    assert before[15, 15, 3] == 255
    assert not after[8:22, 8:22, 3].any()
    assert np.array_equal(after[25:, :, 3], before[25:, :, 3])
    if options.get("quality") is None:
        assert np.array_equal(after[25:], before[25:])
        assert (np.ptp(after[8:22, 8:22, :3].reshape(-1, 3), axis=0) == 0).all()
