"""An edited picture as a file of another format: nothing is lost in silence, and nothing shifts."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from operators.pictures.codec import FORMATS, Limits, decode, encode_with_notes
from operators.pictures.converted import TARGETS, check_target, converted, converted_edit, ending_of
from operators.pictures.formats import jpeg_xl
from operators.pictures.picture import Edit, Edited, turned
from operators.pictures.read_back import check_written, recoding_note
from operators.rows.failure import Failure, RunError
from tests.operators.pictures.formats.test_coded_as_a_whole import deep_avif, deep_heic
from tests.operators.pictures.test_formats_page import FILES, PROFILE, saved

PLACE = np.s_[32:64, 32:80]
RED = (250, 5, 10)


def edited(data: bytes, **more: Any) -> Edited:
    fill = np.full((32, 48, 3), RED, np.uint8)
    return decode(data, Limits()).edited([Edit(32, 32, fill, np.ones((32, 48), np.float32), **more)])


def delivered(data: bytes, target: str, work: Edited | None = None) -> tuple[bytes, list[str]]:
    """The converted file and its notes, read back as `compose` does."""
    new, base, notes = converted_edit(work or edited(data), data, target)
    result, more = encode_with_notes(new, base)
    assert check_written(result, new, base) is None
    recoded = recoding_note(result, new, base, len(data))
    return result, [*notes, *([recoded] if recoded else []), *more]


def tags(file: Image.Image) -> Image.Exif:
    file.load()
    return file.getexif()


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", FILES)
def test_every_format_becomes_every_target_with_its_metadata(name: str, target: str, photo: np.ndarray) -> None:
    data = FILES[name](Image.fromarray(photo[:128, :192]))
    work = edited(data)
    result, notes = delivered(data, target, work)
    file = Image.open(io.BytesIO(result))
    assert file.format == TARGETS[target].format
    stays = name.split(" ", maxsplit=1)[0] == file.format
    assert ending_of(result, data) == ("" if stays else FORMATS[file.format].extension)
    said = f"converted: {name.split(' ', maxsplit=1)[0]} to {file.format}"
    assert (said in notes) is not stays
    meant = work.picture.space.to_srgb(work.stored).astype(int)
    off = np.abs(np.asarray(file.convert("RGB")).astype(int) - meant)
    off[14:82, 14:98] = 0
    exact = target in ("png", "tiff") and not (stays and "of JPEG" in name)
    cut = work.picture.space.peak > 255  # Pillow reads only the upper 8 of 16 bits
    assert off.max() == cut if exact else off.mean() < 1.5
    if name != "BMP" and not stays:
        assert (b"<note>seen</note>" in result) or "not_kept: xml" in notes
    if name not in ("BMP", "GIF"):
        assert tags(file).get(0x013B) == "A. Painter"
    if name not in ("BMP", "GIF", "JXL lossless", "JXL lossy"):
        assert file.info["icc_profile"] == PROFILE


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_picture_stands_as_it_stood(orientation: int, target: str, photo: np.ndarray) -> None:
    turn = Image.Exif()
    turn[0x0112] = orientation
    data = saved(
        Image.fromarray(photo[:24, :40]).resize((160, 96)), "AVIF", quality=100, subsampling="4:4:4", exif=turn.tobytes()
    )
    work = edited(data)
    result, _ = delivered(data, target, work)
    seen = decode(result, Limits())
    assert seen.orientation == work.picture.orientation
    assert np.abs(seen.rgb().astype(int) - turned(work.stored, orientation)).mean() < 2


def test_an_orientation_that_only_the_format_knows_goes_into_exif(photo: np.ndarray) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, photo[:96, :128], photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    result, _ = delivered(buffer.getvalue(), "webp")
    assert tags(Image.open(io.BytesIO(result)))[0x0112] == 6


@pytest.mark.parametrize("target", ["png", "tiff"])
def test_sixteen_bits_stay_where_the_target_has_them(target: str) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (80, 96, 3), dtype=np.uint16)
    buffer = io.BytesIO()
    if target == "png":
        tifffile.imwrite(buffer, deep, photometric="rgb")
        data = buffer.getvalue()
    else:
        data = imagecodecs.png_encode(deep)
    result, notes = delivered(data, target)
    after = decode(result, Limits()).stored
    outside = np.ones(after.shape[:2], bool)
    outside[PLACE] = False
    assert after.dtype == np.uint16
    assert np.array_equal(after[outside], deep[outside])
    assert not any("16 bits" in note for note in notes)


def test_what_the_target_cannot_hold_is_named(photo: np.ndarray) -> None:
    deep = imagecodecs.png_encode(np.repeat(photo[:96, :128].astype(np.uint16) * 257, 1, axis=2))
    assert "not_kept: 16 bits a sample" in delivered(deep, "jpeg")[1]
    inks = saved(Image.fromarray(photo[:96, :128]).convert("CMYK"), "JPEG")
    assert "not_kept: inks, converted to sRGB" in delivered(inks, "png")[1]
    assert "not_kept: inks, converted to sRGB" not in delivered(inks, "tiff")[1]
    said = saved(Image.fromarray(photo[:96, :128]), "JPEG", comment=b"by hand")
    assert "not_kept: comment" in delivered(said, "png")[1]
    large = saved(Image.fromarray(photo[:96, :128]), "PNG", exif=_large_exif())
    assert "not_kept: EXIF" in delivered(large, "jpeg")[1]


def _large_exif() -> bytes:
    large = Image.Exif()
    large[0x010E] = "x" * 70_000
    return large.tobytes()


def test_transparency_stays_or_is_laid_on_white(photo: np.ndarray) -> None:
    alpha = np.zeros((96, 128), np.uint8)
    alpha[20:76] = 255
    data = saved(Image.fromarray(np.dstack([photo[:96, :128], alpha])), "PNG")
    kept, notes = delivered(data, "tiff")
    assert np.array_equal(decode(kept, Limits()).stored[:, :, 3], alpha)
    assert not any(note.startswith("not_kept") for note in notes)
    flat, notes = delivered(data, "jpeg")
    assert "not_kept: transparency, laid on white" in notes
    assert decode(flat, Limits()).stored[:16].min() > 250


def test_letters_that_only_the_alpha_draws_are_gone_on_white(photo: np.ndarray) -> None:
    """Their colours are those of the ground; the edit changes nothing but the alpha."""
    alpha = np.zeros((96, 128), np.uint8)
    alpha[36:60, 40:72] = 255
    data = saved(Image.fromarray(np.dstack([np.zeros((96, 128, 3), np.uint8), alpha])), "PNG")
    result, _ = delivered(data, "jpeg", edited(data, alpha=np.zeros((32, 48), np.uint8)))
    assert decode(result, Limits()).stored.min() > 245


def test_a_jpeg_in_a_jpeg_xl_becomes_that_jpeg_and_only_the_edit_is_coded(photo: np.ndarray) -> None:
    data = FILES["JXL of a JPEG"](Image.fromarray(photo[:128, :192]))
    result, notes = delivered(data, "jpeg")
    assert notes == ["converted: JXL to JPEG"]
    before = decode(jpeg_xl.jpeg_of(data), Limits()).stored
    after = decode(result, Limits()).stored
    assert np.array_equal(before[96:], after[96:])


def test_a_lossy_target_says_how_far_it_is_from_the_source(photo: np.ndarray) -> None:
    data = FILES["AVIF"](Image.fromarray(photo[:128, :192]))
    for target in ("jpeg", "webp"):
        assert any(note.startswith("recoded: mean difference") for note in delivered(data, target)[1])
    for target in ("png", "tiff"):
        assert not any(note.startswith("recoded") for note in delivered(data, target)[1])


def test_the_erased_picture_is_in_no_thumbnail_of_the_converted_file(photo: np.ndarray) -> None:
    small = saved(Image.fromarray(photo[:128, :192]).resize((96, 64)), "JPEG", quality=95)
    mark = np.asarray(Image.open(io.BytesIO(small)))
    with_thumbnail = _exif_with_thumbnail(small)
    data = saved(Image.fromarray(photo[:128, :192]), "WEBP", lossless=True, exif=with_thumbnail)
    work = decode(data, Limits()).edited([Edit(0, 0, np.full((128, 192, 3), 128, np.uint8), np.ones((128, 192), np.float32))])
    result, _ = delivered(data, "png", work)
    assert small[-400:] not in result
    shown = result[result.index(b"\xff\xd8\xff") :]
    assert np.abs(np.asarray(Image.open(io.BytesIO(shown))).astype(int) - mark).mean() > 20


def _exif_with_thumbnail(small: bytes) -> bytes:
    """EXIF whose second directory holds a JPEG (CIPA DC-008, 4.5.5)."""
    entries = [(0x0103, 3, 1, 6), (0x0201, 4, 1, 8 + 2 + 4 + 2 + 36 + 4), (0x0202, 4, 1, len(small))]
    second = b"\3\0" + b"".join(
        b"".join(v.to_bytes(n, "little") for v, n in zip(e, (2, 2, 4, 4), strict=True)) for e in entries
    )
    return b"Exif\0\0II*\0\x08\0\0\0" + b"\0\0" + (14).to_bytes(4, "little") + second + bytes(4) + small


def test_an_animation_keeps_its_format_and_says_so(photo: np.ndarray) -> None:
    pictures = [Image.fromarray(photo[top : top + 64, :96]) for top in (0, 64, 128)]
    data = saved(pictures[0], "WEBP", save_all=True, append_images=pictures[1:], duration=100, lossless=True)
    result, notes = delivered(data, "png")
    assert notes == ["not_converted: 3 pictures"]
    assert ending_of(result, data) == ""


def test_a_side_that_the_target_cannot_store_is_a_failure_and_so_is_an_unknown_target() -> None:
    data = saved(Image.new("RGB", (17_000, 80)), "PNG")
    with pytest.raises(Failure) as caught:
        delivered(data, "webp")
    assert caught.value.code == "pixels_over_limit"
    with pytest.raises(RunError) as refused:
        check_target("gif")
    assert "png, tiff, jpeg, webp" in refused.value.message


def test_a_converted_picture_has_the_exact_samples_for_further_work(photo: np.ndarray) -> None:
    data = saved(Image.fromarray(photo[:64, :96]), "PNG")
    result = converted(decode(data, Limits()), data, "jpeg")
    assert (result.picture.format, result.notes) == ("JPEG", ["converted: PNG to JPEG"])
    assert np.array_equal(result.picture.stored, photo[:64, :96])


@pytest.mark.parametrize(("kind", "file_of"), [("AVIF", deep_avif), ("HEIC", deep_heic)])
def test_a_file_whose_colours_only_code_points_describe_keeps_its_format(
    kind: str, file_of: Callable[[Image.Image, str], bytes], photo: np.ndarray
) -> None:
    picture = Image.fromarray(photo[:128, :192])
    data = file_of(picture, "10 bits in HLG")
    result, notes = delivered(data, "png")
    assert ending_of(result, data) == ""
    assert notes[0] == "not_converted: colour primaries 9, transfer function 18"
    plain = file_of(picture, "10 bits")
    work = edited(plain)
    assert delivered(plain, "jpeg", work)[1][:2] == [f"converted: {kind} to JPEG", "not_kept: 10 bits a sample"]
    result, notes = delivered(plain, "png", work)
    wide = np.rint(work.stored * (65535 / 1023))
    assert np.array_equal(decode(result, Limits()).stored, wide)
