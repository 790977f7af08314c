"""Enlarged files: exact pixels in lossless formats, kept metadata, new sizes and resolution."""

import io

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from operators.pictures.codec import Limits, decode
from operators.pictures.enlarged_file import encode_enlarged
from operators.rows.failure import Failure

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def reopened(data):
    return Image.open(io.BytesIO(data))


def larger(shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)])
@pytest.mark.parametrize("height", [1, 64, 130])
def test_a_png_holds_the_new_pixels_exactly(saved, mode, channels, height):
    source = saved(Image.new(mode, (3, 3)), "PNG")
    stored = larger((height, 37, channels))
    after = reopened(encode_enlarged(decode(source, Limits()), stored, source))
    assert (after.format, after.mode) == ("PNG", mode)
    assert np.array_equal(np.asarray(after).reshape(stored.shape), stored)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_png_of_sixteen_bits_keeps_them(saved, channels):
    stored = larger((70, 33, channels), np.uint16)
    _, data = cv2.imencode(".png", stored[:2, :2])
    source = data.tobytes()
    after = encode_enlarged(decode(source, Limits()), stored, source)
    seen = cv2.imdecode(np.frombuffer(after, np.uint8), cv2.IMREAD_UNCHANGED).reshape(stored.shape)
    assert seen.dtype == np.uint16
    assert np.array_equal(seen if channels == 1 else seen[:, :, [2, 1, 0, 3][:channels]], stored)


def test_a_png_keeps_profile_and_text_and_takes_the_new_resolution(saved):
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a plate")
    source = saved(Image.new("RGB", (3, 3)), "PNG", icc_profile=PROFILE, pnginfo=text, dpi=(72, 72))
    after = reopened(encode_enlarged(decode(source, Limits()), larger((12, 12, 3)), source, 300.0))
    after.load()
    assert after.info["icc_profile"] == PROFILE
    assert after.text["Title"] == "a plate"
    assert after.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_stays_and_its_sizes_and_resolution_are_the_new_ones(saved, kind):
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a plate"
    exif.get_ifd(0x8769)[0xA002] = 3
    source = saved(Image.new("RGB", (3, 3)), kind, exif=exif)
    after = reopened(encode_enlarged(decode(source, Limits()), larger((16, 12, 3)), source, 240.0)).getexif()
    assert (after[0x0112], after[0x010E]) == (6, "a plate")
    assert after.get_ifd(0x8769)[0xA002] == 12
    assert float(after[0x011A]) == 240


@pytest.mark.parametrize(("mode", "channels"), [("L", 1), ("RGB", 3), ("CMYK", 4)])
def test_a_jpeg_keeps_mode_profile_resolution_and_comment(saved, mode, channels):
    source = saved(Image.new(mode, (8, 8)), "JPEG", icc_profile=PROFILE, dpi=(96, 96), comment=b"hello")
    stored = np.full((32, 32, channels), 90, np.uint8)
    after = reopened(encode_enlarged(decode(source, Limits()), stored, source))
    assert (after.format, after.mode, after.size) == ("JPEG", mode, (32, 32))
    assert after.info["icc_profile"] == PROFILE
    assert after.info["dpi"] == (96, 96)
    assert after.info["comment"] == b"hello"
    assert np.abs(np.asarray(after).astype(int) - 90).max() <= 2


@pytest.mark.parametrize(
    ("mode", "channels", "dtype"),
    [("L", 1, np.uint8), ("RGB", 3, np.uint8), ("RGBA", 4, np.uint8), ("CMYK", 4, np.uint8), ("I;16", 1, np.uint16)],
)
def test_a_tiff_holds_the_new_pixels_exactly_with_its_profile(saved, mode, channels, dtype):
    source = saved(Image.new(mode, (4, 4)), "TIFF", icc_profile=PROFILE, compression="tiff_lzw")
    stored = larger((70, 20, channels), dtype)
    data = encode_enlarged(decode(source, Limits()), stored, source, 300.0)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert np.array_equal(file.asarray().reshape(stored.shape), stored)
    after = reopened(data)
    assert (after.mode, after.info["icc_profile"], after.info["dpi"]) == (mode, PROFILE, (300, 300))


def test_a_tiff_of_three_times_sixteen_bits_keeps_them():
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, larger((4, 4, 3), np.uint16), photometric="rgb")
    source, stored = buffer.getvalue(), larger((40, 40, 3), np.uint16)
    assert np.array_equal(tifffile.imread(io.BytesIO(encode_enlarged(decode(source, Limits()), stored, source))), stored)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
@pytest.mark.parametrize("transparent", [False, True])
def test_a_palette_picture_stays_one_and_its_transparency_too(saved, kind, transparent):
    image = Image.new("P", (8, 8))
    image.putpalette([200, 30, 30, 0, 0, 255])
    source = saved(image, kind, **({"transparency": 1} if transparent else {}))
    stored = np.zeros((32, 32, 4 if transparent else 3), np.uint8)
    stored[:, :, 0] = 200
    if transparent:
        stored[:, 16:, 3] = 255
    after = reopened(encode_enlarged(decode(source, Limits()), stored, source))
    assert (after.format, after.mode) == (kind, "P")
    rendered = np.asarray(after.convert("RGBA"))
    assert tuple(rendered[0, -1]) == (200, 0, 0, 255)
    assert rendered[0, 0, 3] == (0 if transparent else 255)


@pytest.mark.parametrize("profile", [b"", PROFILE], ids=["plain", "with a profile before its pixels"])
@pytest.mark.parametrize("lossless", [False, True])
def test_a_webp_stays_lossless_if_it_was(saved, photo, lossless, profile):
    source = saved(photo[:16, :16], "WEBP", lossless=lossless, icc_profile=profile)
    stored = np.ascontiguousarray(photo[:64, :64])
    after = np.asarray(reopened(encode_enlarged(decode(source, Limits()), stored, source)))
    assert np.array_equal(after, stored) == lossless


def test_a_side_that_the_format_cannot_count_is_refused(saved):
    source = saved(Image.new("RGB", (2, 2)), "WEBP")
    with pytest.raises(Failure, match="pixels_over_limit: WEBP holds 16383 pixels a side, not 16384"):
        encode_enlarged(decode(source, Limits()), np.zeros((1, 16_384, 3), np.uint8), source)
