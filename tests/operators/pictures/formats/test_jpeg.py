"""An edit of a JPEG recodes the touched blocks and keeps other coefficients and all markers."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jpeglib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from operators.pictures.codec import Limits, decode, decode_reduced, encode
from operators.pictures.formats import jpeg_markers
from operators.pictures.formats.jpeg import rewritten, with_coefficients_of
from operators.pictures.formats.jpeg_markers import with_component_ids
from operators.pictures.picture import Edit as Paste
from operators.pictures.read_back import check_written
from operators.rows.failure import Failure

check = settings(deadline=None, max_examples=20)
FRAMES, SCAN, END = {0xC0, 0xC1, 0xC2}, 0xDA, 0xD9
WITHOUT_LENGTH = {0x00, 0x01, *range(0xD0, 0xD9), 0xFF}
SAMPLINGS = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def encoded(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def decoded(data: bytes) -> np.ndarray:
    """The stored pixels, height x width x 1 or 3."""
    pixels = np.array(Image.open(io.BytesIO(data)))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def picture(height: int, width: int, bands: int, seed: int) -> np.ndarray:
    """A slope of colours under noise."""
    generator = np.random.default_rng(seed)
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    slope = 90 * down[:, :, None] + 90 * across[:, :, None] * generator.random(bands)
    return np.clip(40 + slope + generator.normal(0, generator.choice([1, 20]), slope.shape), 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Edit:
    """An edit of a source file."""

    source: bytes
    before: np.ndarray
    """The stored pixels of the source."""
    after: np.ndarray
    """The new stored pixels."""
    changed: np.ndarray
    """Where they may differ, height x width."""

    @property
    def result(self) -> bytes:
        return rewritten(self.source, self.after, self.changed)


@st.composite
def edits(draw: st.DrawFn, **fixed: Any) -> Edit:
    height, width, seed = draw(st.integers(1, 75)), draw(st.integers(1, 75)), draw(st.integers(0, 2**32 - 1))
    sampling = draw(st.sampled_from(["grey", *SAMPLINGS]))
    options = {"quality": draw(st.integers(3, 98)), "progressive": draw(st.booleans()), **fixed}
    if sampling != "grey":
        options["subsampling"] = SAMPLINGS[sampling]
    source = encoded(picture(height, width, 1 if sampling == "grey" else 3, seed), **options)
    before = decoded(source)
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    changed = np.zeros((height, width), bool)
    changed[top : top + draw(st.integers(1, 30)), left : left + draw(st.integers(1, 30))] = True
    after = before.copy()
    after[changed] = np.random.default_rng(seed).integers(0, 256, after[changed].shape)
    return Edit(source, before, after, changed)


@dataclass(frozen=True)
class Component:
    """One component as `jpeglib` reads it."""

    coefficients: np.ndarray
    table: np.ndarray
    """Quantisation steps, 8 x 8."""
    down: int
    """Pixels that a sample spans vertically."""
    across: int


def components(data: bytes, folder: Path) -> list[Component]:
    path = folder / "read.jpg"
    path.write_bytes(data)
    jpeg = jpeglib.read_dct(str(path))
    factors = np.array(jpeg.samp_factor)
    return [
        Component(
            np.array(getattr(jpeg, name)),
            np.array(jpeg.qt[jpeg.quant_tbl_no[number]]),
            int(factors[:, 0].max() // factors[number][0]),
            int(factors[:, 1].max() // factors[number][1]),
        )
        for number, name in enumerate(("Y", "Cb", "Cr", "K")[: jpeg.num_components])
    ]


def touched(component: Component, changed: np.ndarray) -> np.ndarray:
    """The blocks (rows x columns) of a component in whose span a pixel changed."""
    blocks = np.zeros(component.coefficients.shape[:2], bool)
    for row, column in zip(*np.nonzero(changed), strict=True):
        blocks[row // (8 * component.down), column // (8 * component.across)] = True
    return blocks


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Marker and payload of every segment that has a length."""
    position = 2
    while data[position + 1] != END:
        if data[position] != 0xFF or data[position + 1] in WITHOUT_LENGTH:
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        yield data[position + 1], data[position + 4 : position + 2 + length]
        position += 2 + length


def frame(data: bytes) -> tuple[int, bytes]:
    """Marker and payload of the frame header.

    The payload is precision, size, and the id, sampling and table of every component.
    """
    return next((marker, payload) for marker, payload in segments(data) if marker in FRAMES)


def tables(data: bytes) -> dict[int, bytes]:
    """Every quantisation table by its number."""
    result: dict[int, bytes] = {}
    for payload in (payload for marker, payload in segments(data) if marker == 0xDB):
        position = 0
        while position < len(payload):
            length = 128 if payload[position] >> 4 else 64
            result[payload[position] & 15] = payload[position + 1 : position + 1 + length]
            position += 1 + length
    return result


def metadata(data: bytes) -> list[tuple[int, bytes]]:
    """Every application marker and comment, in order."""
    return [(marker, payload) for marker, payload in segments(data) if 0xE0 <= marker <= 0xEF or marker == 0xFE]


def renamed(data: bytes, ids: list[int]) -> bytes:
    """The file with its components, numbered 1, 2, 3 before, renumbered."""
    changed, start = bytearray(data), 2
    while data[start + 1] != END:
        if data[start] != 0xFF or data[start + 1] in WITHOUT_LENGTH:
            start += 1
            continue
        if data[start + 1] in FRAMES:
            for number in range(data[start + 9]):
                changed[start + 10 + 3 * number] = ids[data[start + 10 + 3 * number] - 1]
        if data[start + 1] == SCAN:
            for number in range(data[start + 4]):
                changed[start + 5 + 2 * number] = ids[data[start + 5 + 2 * number] - 1]
        start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return bytes(changed)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jpeg")


@check
@given(edit=edits())
def test_every_coefficient_of_a_block_without_a_changed_pixel_is_kept(edit: Edit, folder: Path) -> None:
    before, after = components(edit.source, folder), components(edit.result, folder)
    assert len(before) == len(after) == edit.before.shape[2]
    for component, new in zip(before, after, strict=True):
        untouched = ~touched(component, edit.changed)
        assert component.coefficients.shape == new.coefficients.shape
        assert np.array_equal(component.coefficients[untouched], new.coefficients[untouched])


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_blocks_between_two_edits_are_kept_whatever_the_new_pixels_hold(sampling: str, folder: Path) -> None:
    source = encoded(picture(160, 208, 3, 1), quality=90, subsampling=sampling)
    changed = np.zeros((160, 208), bool)
    changed[3:12, 5:20] = changed[140:150, 180:200] = True
    noise = np.random.default_rng(0).integers(0, 256, (160, 208, 3)).astype(np.uint8)
    result = rewritten(source, noise, changed)
    for component, new in zip(components(source, folder), components(result, folder), strict=True):
        hit = touched(component, changed)
        assert hit.any()
        assert np.array_equal(component.coefficients[~hit], new.coefficients[~hit])
        assert not np.array_equal(component.coefficients[hit], new.coefficients[hit])


@check
@given(edit=edits())
def test_pixels_beyond_the_touched_blocks_are_decoded_as_before(edit: Edit, folder: Path) -> None:
    parts = components(edit.source, folder)
    span = np.zeros_like(edit.changed)
    reach = 0 if len({(part.down, part.across) for part in parts}) == 1 else 2
    for part in parts:
        for row, column in zip(*np.nonzero(touched(part, edit.changed)), strict=True):
            top, left, height, width = row * 8 * part.down, column * 8 * part.across, 8 * part.down, 8 * part.across
            span[max(0, top - reach) : top + height + reach, max(0, left - reach) : left + width + reach] = True
    assert np.array_equal(decoded(edit.result)[~span], edit.before[~span])


@check
@given(edit=edits())
def test_the_luma_of_touched_blocks_equals_that_of_a_plain_encoder(edit: Edit, folder: Path) -> None:
    whole = {number: list(table) for number, table in Image.open(io.BytesIO(edit.source)).quantization.items()}
    options = {} if edit.after.shape[2] == 1 else {"subsampling": 0}
    expected = components(encoded(edit.after, qtables=whole, **options), folder)[0]
    result = components(edit.result, folder)[0]
    for row, column in zip(*np.nonzero(touched(result, edit.changed)), strict=True):
        if max(row * 8 + 8 - edit.after.shape[0], column * 8 + 8 - edit.after.shape[1]) <= 0:
            difference = result.coefficients[row, column].astype(int) - expected.coefficients[row, column]
            assert (np.abs(difference * result.table) <= np.maximum(result.table, 3)).all()


@check
@given(edit=edits())
def test_tables_sampling_component_ids_and_the_progressive_flag_are_kept(edit: Edit) -> None:
    result = edit.result
    assert tables(result) == tables(edit.source)
    assert frame(result) == frame(edit.source)


@check
@given(edit=edits())
def test_nothing_changed_gives_the_same_coefficients_and_pixels(edit: Edit, folder: Path) -> None:
    same = rewritten(edit.source, edit.before, np.zeros_like(edit.changed))
    assert np.array_equal(decoded(same), edit.before)
    for component, new in zip(components(edit.source, folder), components(same, folder), strict=True):
        assert np.array_equal(component.coefficients, new.coefficients)


@check
@given(edit=edits())
def test_the_same_edit_gives_the_same_bytes(edit: Edit) -> None:
    assert edit.result == edit.result


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_metadata_is_kept_byte_for_byte_and_in_order(sampling: str, progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "a description", 6
    before = picture(50, 70, 3, 1)
    options = {
        "exif": exif.tobytes(),
        "icc_profile": PROFILE + bytes(range(256)) * 400,
        "comment": b"a remark \xff\xd9 with marker bytes",
        "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>",
        "dpi": (300, 200),
    }
    source = encoded(before, quality=80, subsampling=SAMPLINGS[sampling], progressive=progressive, **options)
    assert len(metadata(source)) >= 5
    changed = np.zeros((50, 70), bool)
    changed[10:30, 20:40] = True
    result = rewritten(source, np.where(changed[:, :, None], 255 - decoded(source), decoded(source)), changed)
    assert metadata(result) == metadata(source)
    file_after, file_before = Image.open(io.BytesIO(result)), Image.open(io.BytesIO(source))
    assert file_after.getexif() == file_before.getexif() == exif
    for name in ("icc_profile", "comment", "dpi"):
        assert file_after.info[name] == file_before.info[name]
    assert file_after.info.get("progressive") == file_before.info.get("progressive")


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("ids", [[0, 1, 2], [5, 9, 200], [3, 2, 1]])
def test_components_keep_unusual_numbers(ids: list[int], progressive: bool, folder: Path) -> None:
    source = renamed(encoded(picture(40, 60, 3, 2), quality=80, progressive=progressive), ids)
    before = decoded(source)
    changed = np.zeros((40, 60), bool)
    changed[5:15, 5:20] = True
    result = rewritten(source, np.where(changed[:, :, None], 200, before).astype(np.uint8), changed)
    assert frame(result) == frame(source)
    assert [frame(result)[1][6 + 3 * number] for number in range(3)] == ids
    assert np.array_equal(decoded(result)[:, 40:], before[:, 40:])
    for component, new in zip(components(source, folder), components(result, folder), strict=True):
        untouched = ~touched(component, changed)
        assert np.array_equal(component.coefficients[untouched], new.coefficients[untouched])


@pytest.mark.parametrize("progressive", [False, True])
def test_components_that_are_red_green_and_blue_are_kept(progressive: bool) -> None:
    before = picture(40, 56, 3, 3)
    source = encoded(before, quality=95, keep_rgb=True, progressive=progressive)
    stored = decoded(source)
    changed = np.zeros((40, 56), bool)
    changed[8:24, 8:32] = True
    after = np.where(changed[:, :, None], np.array([200, 30, 90], np.uint8), stored)
    rendered = decoded(rewritten(source, after, changed))
    assert np.array_equal(rendered[~changed], stored[~changed])
    assert np.abs(rendered[changed].astype(int) - [200, 30, 90]).max() <= 6


@pytest.mark.parametrize("ids", [b"\0\1\2", b"\1\2\3", b"RGB"])
def test_adobes_marker_says_what_components_are_whatever_their_numbers(ids: bytes) -> None:
    source = with_component_ids(encoded(picture(40, 56, 3, 3), quality=95, keep_rgb=True), ids)
    stored, changed = decoded(source), np.zeros((40, 56), bool)
    changed[8:24, 8:32] = True
    after = np.where(changed[:, :, None], np.array([200, 30, 90], np.uint8), stored)
    assert np.abs(decoded(rewritten(source, after, changed))[changed].astype(int) - [200, 30, 90]).max() <= 6


def test_a_profile_that_follows_the_frame_header_is_read_and_kept() -> None:
    data = encoded(picture(40, 56, 3, 3), quality=95, icc_profile=PROFILE)
    places = dict(jpeg_markers.segments(data))
    start = places[0xE2]
    end = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    late = data[:start] + data[end : places[0xDA]] + data[start:end] + data[places[0xDA] :]
    assert jpeg_markers.profile_of(late) == PROFILE
    opened = decode(late, Limits())
    done = opened.edited([Paste(8, 8, np.full((8, 8, 3), 90, np.uint8), np.ones((8, 8), np.float32))])
    result = encode(done, late)
    assert check_written(result, done, late) is None
    assert jpeg_markers.profile_of(result) == PROFILE


@pytest.mark.parametrize("progressive", [False, True])
def test_rgb_files_keep_exactly_one_adobe_marker(progressive: bool) -> None:
    source = encoded(picture(40, 56, 3, 3), quality=95, keep_rgb=True, progressive=progressive)
    result = rewritten(source, 255 - decoded(source), np.ones((40, 56), bool))
    assert metadata(result) == metadata(source)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_camera_file_without_a_jfif_header_gains_nothing_but_that_header(progressive: bool) -> None:
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    source = encoded(picture(40, 56, 3, 6), quality=90, progressive=progressive, exif=exif.tobytes())
    length = int.from_bytes(source[4:6], "big")
    source = source[:2] + source[4 + length :]
    assert [marker for marker, _ in metadata(source)] == [0xE1]
    result = metadata(rewritten(source, 255 - decoded(source), np.ones((40, 56), bool)))
    assert [part for part in result if not part[1].startswith(b"JFIF")] == metadata(source)
    assert len(result) <= 2


def test_a_file_with_restart_markers_keeps_its_untouched_pixels() -> None:
    source = encoded(picture(64, 80, 3, 4), quality=85, subsampling=0, restart_marker_blocks=3)
    before = decoded(source)
    changed = np.zeros((64, 80), bool)
    changed[16:24, 16:24] = True
    rendered = decoded(rewritten(source, np.where(changed[:, :, None], 0, before).astype(np.uint8), changed))
    assert np.array_equal(rendered[~changed], before[~changed])
    assert rendered[changed].max() <= 12


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_new_pixels_are_visible(sampling: str, photo: np.ndarray) -> None:
    source = encoded(photo, quality=90, subsampling=SAMPLINGS[sampling])
    before = decoded(source)
    changed = np.zeros(photo.shape[:2], bool)
    changed[100:164, 200:300] = True
    after = np.where(changed[:, :, None], np.array([60, 120, 180], np.uint8), before)
    rendered = decoded(rewritten(source, after, changed)).astype(int)
    inside = np.zeros_like(changed)
    inside[112:144, 208:288] = True
    assert np.abs(rendered[inside] - [60, 120, 180]).max() <= 3
    assert np.abs(rendered[changed] - [60, 120, 180]).mean() < 4


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_small_edit_of_a_photograph_hardly_changes_the_size_of_its_file(
    sampling: str, progressive: bool, photo: np.ndarray
) -> None:
    source = encoded(photo, quality=85, subsampling=SAMPLINGS[sampling], progressive=progressive)
    before = decoded(source)
    changed = np.zeros(photo.shape[:2], bool)
    changed[200:230, 100:200] = True
    after = np.where(changed[:, :, None], np.roll(before, 37, axis=1), before)
    assert len(rewritten(source, after, changed)) <= 1.05 * len(source)


def test_coefficients_that_damage_made_too_large_are_named() -> None:
    """Each block of a file adds 2,047 to the mean of the one before; decoders clip them."""
    buffer = io.BytesIO()
    Image.new("L", (128, 8)).save(buffer, "JPEG")
    source = buffer.getvalue()
    kept = [(marker, offset) for marker, offset in jpeg_markers.segments(source) if marker in (0xE0, 0xDB, 0xC0, 0xDA)]
    parts = {
        marker: source[offset : offset + 2 + int.from_bytes(source[offset + 2 : offset + 4], "big")] for marker, offset in kept
    }
    one_code = b"\x01" + bytes(15)
    tables = b"\xff\xc4\x00\x26" + b"\x00" + one_code + b"\x0b" + b"\x10" + one_code + b"\x00"
    bits = ("0" + "1" * 11 + "0") * 16
    data = int(bits.ljust(208, "1"), 2).to_bytes(26, "big").replace(b"\xff", b"\xff\0")
    damaged = b"\xff\xd8" + parts[0xE0] + parts[0xDB] + parts[0xC0] + tables + parts[0xDA] + data + b"\xff\xd9"
    picture = decode(damaged, Limits())
    edited = picture.edited([Paste(0, 0, np.zeros((8, 8, 3), np.uint8), np.ones((8, 8), np.float32))])
    with pytest.raises(OSError, match="damaged data, which give coefficients that no JPEG can hold"):
        encode(edited, damaged)


def test_a_file_of_other_components_than_its_pixels_is_refused() -> None:
    source = encoded(picture(16, 16, 3, 1))
    with pytest.raises(ValueError, match="3 components"):
        rewritten(source, np.zeros((16, 16, 4), np.uint8), np.ones((16, 16), bool))


@pytest.mark.parametrize("kind", ["JPEG CMYK", "JPEG CMYK progressive", "JPEG YCCK", "JPEG CMYK without Adobe's marker"])
def test_four_components_are_all_coded_again(kinds: dict[str, Any], kind: str, folder: Path) -> None:
    source = kinds[kind].make()
    before = decoded(source)
    changed = np.zeros(before.shape[:2], bool)
    changed[8:24, 16:40] = True
    after = np.where(changed[:, :, None], np.array([10, 182, 218, 47], np.uint8), before)
    result = rewritten(source, after, changed)
    assert np.abs(decoded(result)[changed].astype(int) - [10, 182, 218, 47]).max() <= 4
    assert np.array_equal(decoded(result)[~changed], before[~changed])
    assert metadata(result) == metadata(source)
    assert frame(result) == frame(source)
    for component, new in zip(components(source, folder), components(result, folder), strict=True):
        hit = touched(component, changed)
        assert np.array_equal(component.coefficients[~hit], new.coefficients[~hit])
        assert not np.array_equal(component.coefficients[hit], new.coefficients[hit])


def test_scans_name_components_in_the_order_of_the_frame(kinds: dict[str, Any]) -> None:
    source = kinds["JPEG CMYK"].make()
    result = rewritten(source, 255 - decoded(source), np.ones(decoded(source).shape[:2], bool))
    ids = [frame(result)[1][6 + 3 * number] for number in range(4)]
    scans = [payload for marker, payload in segments(result) if marker == SCAN]
    assert [[scan[1 + 2 * number] for number in range(scan[0])] for scan in scans] == [ids]


@pytest.mark.parametrize(("first", "then"), [(30, 97), (30, 75), (60, 90)])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_file_once_compressed_harder_grows_by_at_most_a_twentieth(
    photo: np.ndarray, first: int, then: int, share: float
) -> None:
    poor = decoded(encoded(photo, quality=first))
    source = encoded(poor, quality=then, optimize=True)
    rows = round(512 * share)
    fill = np.roll(photo, (133, 51), axis=(0, 1))[100 : 100 + rows]
    edited = decode(source, Limits()).edited([Paste(0, 100, fill, np.ones(fill.shape[:2], np.float32))])
    assert len(rewritten(source, edited.stored, edited.changed)) > 1.05 * len(source)
    result = encode(edited, source)
    assert len(result) <= 1.05 * len(source)
    error = decoded(result)[104 : 96 + rows].astype(int) - fill[4:-4]
    assert 10 * np.log10(255**2 / (error**2).mean()) > 20


def test_at_the_coarsest_threshold_a_new_block_keeps_its_mean(photo: np.ndarray) -> None:
    source = encoded(photo[:64, :64], quality=90, subsampling=0)
    result = decoded(rewritten(source, 255 - photo[:64, :64], np.ones((64, 64), bool), least=1e9)).astype(int)
    blocks = (255 - photo[:64, :64]).reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))
    assert np.ptp(result.reshape(8, 8, 8, 8, 3), axis=(1, 3)).max() == 0
    assert np.abs(result.reshape(8, 8, 8, 8, 3)[:, 0, :, 0] - blocks).max() <= 4


def camera_jpeg(pixels: np.ndarray, factors: int = 0x221111, quality: int = 88, progressive: int = 0) -> bytes:
    options = [
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors,
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_PROGRESSIVE, progressive,
    ]  # fmt: skip
    return cv2.imencode(".jpg", pixels[:, :, ::-1] if pixels.ndim == 3 else pixels, options)[1].tobytes()


@pytest.mark.parametrize(
    "factors", [0x111111, 0x211111, 0x221111, 0x121111, 0x411111], ids=["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1"]
)
def test_a_jpeg_does_not_change_in_blocks_away_from_the_edit(photo: np.ndarray, factors: int, edited_file: Any) -> None:
    source = camera_jpeg(photo, factors)
    result, before, after = edited_file(source)
    assert np.array_equal(after.stored[64:], before.stored[64:])
    assert np.array_equal(after.stored[:, 64:], before.stored[:, 64:])
    assert Image.open(io.BytesIO(result)).layer == Image.open(io.BytesIO(source)).layer


def test_a_jpeg_of_the_highest_quality_can_be_written_back(edited_file: Any) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    _, before, after = edited_file(encoded(noise, quality=100, subsampling=0))
    assert np.abs(after.stored[64:].astype(int) - before.stored[64:]).max() <= 2


def test_bands_of_blocks_are_coded_as_one(monkeypatch: pytest.MonkeyPatch, photo: np.ndarray) -> None:
    source = encoded(photo[:200], quality=90, subsampling=2)
    changed = np.zeros((200, 512), bool)
    changed[3:9, 5:50] = changed[70:190, 300:470] = True
    whole = rewritten(source, 255 - photo[:200], changed)
    monkeypatch.setattr("operators.pictures.formats.jpeg.BAND", 1)
    assert rewritten(source, 255 - photo[:200], changed) == whole


def test_a_view_of_bytes_gives_the_same_as_bytes() -> None:
    source = encoded(picture(30, 30, 3, 5), quality=80)
    changed = np.ones((30, 30), bool)
    after = 255 - decoded(source)
    assert rewritten(memoryview(source), after, changed) == rewritten(source, after, changed)


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_file_without_its_end_marker_is_read_and_gets_one(options: dict[str, Any], edited_file: Any) -> None:
    whole = encoded(picture(120, 160, 3, 0), quality=85, **options)
    assert np.array_equal(decode(whole[:-2], Limits()).stored, decoded(whole))
    result, before, after = edited_file(whole[:-2])
    assert result.endswith(b"\xff\xd9")
    assert np.array_equal(after.stored[64:], before.stored[64:])


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["no end marker", "an end marker"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_pixels_that_end_early_are_truncated_whatever_follows(
    end: bytes, options: dict[str, Any], bands: int, kept: float
) -> None:
    whole = encoded(picture(120, 160, bands, 0), quality=85, **options)
    start = whole.index(b"\xff\xda")
    with pytest.raises(Failure, match=r"^truncated: "):
        decode(whole[: start + round(kept * (len(whole) - start))] + end, Limits())


def test_a_large_picture_that_ends_early_is_truncated_at_reduced_scale_too() -> None:
    whole = encoded(picture(1200, 1600, 3, 0), quality=85)
    cut = whole[: len(whole) // 2] + b"\xff\xd9"
    with pytest.raises(Failure, match=r"^truncated: "):
        decode_reduced(cut, Limits(), lambda width, height: 0.25)


def test_a_progressive_picture_without_its_last_scans_is_truncated() -> None:
    whole = encoded(picture(120, 160, 3, 0), quality=85, progressive=True)
    cut = whole[: whole.rindex(b"\xff\xda")] + b"\xff\xd9"
    with pytest.raises(Failure, match=r"^truncated: scans are missing"):
        decode(cut, Limits())


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("level", [127, 128])
def test_a_picture_that_ends_in_grey_is_complete(mode: str, level: int) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (120, 90), (level, level, level)).convert(mode).save(buffer, "JPEG")
    assert decode(buffer.getvalue(), Limits()).stored.shape[:2] == (90, 120)


def test_a_file_of_many_markers_keeps_them_all(edited_file: Any) -> None:
    plain = encoded(picture(120, 160, 3, 0), quality=85)
    notes = b"".join(b"\xff\xe1\0\x0anote %03d" % number for number in range(120))
    result, *_ = edited_file(plain[:2] + notes + plain[2:])
    assert notes in result


def test_no_message_names_a_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="coefficients") as caught:
        rewritten(b"\xff\xd8\xff\xe0\0\x04ab", picture(8, 8, 3, 0), np.ones((8, 8), bool))
    assert "/" not in str(caught.value)
    assert ".jpg" not in str(caught.value)


@pytest.mark.skipif(shutil.which("jpegtran") is None, reason="jpegtran, which writes arithmetic coding, is not installed")
@pytest.mark.parametrize("more", [[], ["-progressive"]], ids=["sequential", "progressive"])
def test_arithmetic_coding_becomes_huffman_coding_and_other_blocks_stay(
    more: list[str], tmp_path: Path, edited_file: Any
) -> None:
    plain = encoded(picture(120, 160, 3, 0), quality=85)
    (tmp_path / "plain.jpg").write_bytes(plain)
    command = ["jpegtran", "-arithmetic", *more, "-outfile", str(tmp_path / "coded.jpg"), str(tmp_path / "plain.jpg")]
    subprocess.run(command, check=True)
    source = (tmp_path / "coded.jpg").read_bytes()
    assert (b"\xff\xca" if more else b"\xff\xc9") in source
    result, before, after = edited_file(source)
    assert (b"\xff\xc2" if more else b"\xff\xc0") in result
    assert np.array_equal(before.stored, decoded(plain))
    assert np.array_equal(after.stored[64:], before.stored[64:])
    with pytest.raises(Failure, match=r"^(truncated|corrupt)"):
        decode(source[: len(source) // 2] + b"\xff\xd9", Limits())


def test_the_coefficients_of_another_file_of_the_same_compression_are_taken_whole() -> None:
    own, other = (encoded(picture(64, 80, 3, seed), quality=85) for seed in (1, 2))
    result = with_coefficients_of(own, other)
    assert np.array_equal(decoded(result), decoded(other))


@pytest.mark.parametrize("options", [{"quality": 80}, {"quality": 85, "subsampling": 2}], ids=["tables", "sampling"])
def test_the_coefficients_of_a_file_of_another_compression_are_refused(options: dict[str, Any]) -> None:
    own = encoded(picture(64, 80, 3, 1), quality=85, subsampling=0)
    with pytest.raises(ValueError, match="files of different compression"):
        with_coefficients_of(own, encoded(picture(64, 80, 3, 2), **{"subsampling": 0, **options}))
