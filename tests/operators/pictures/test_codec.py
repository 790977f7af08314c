"""Decoding: refused sources and their codes, limits, reduced scale, and the cache."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import skimage.data
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from operators.pictures.codec import FRAME_CACHE, FrameCache, Limits, decode, read_header
from operators.pictures.picture import TURNS
from operators.rows.failure import CODES, Failure

check = settings(deadline=None, max_examples=40)
LIMITS = Limits()
ORIENTATIONS = sorted(TURNS)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def exif_of(orientation=1):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x013B] = "A. Painter"
    return exif


def code_of(data, limits=LIMITS):
    with pytest.raises(Failure) as caught:
        decode(data, limits)
    return caught.value.code


@pytest.fixture(scope="module")
def small(photo):
    return np.ascontiguousarray(photo[100:164, 180:276])


# --- reduced decoding


@check
@given(st.integers(40, 700), st.integers(40, 700), st.integers(8, 400))
def test_a_reduced_jpeg_is_no_smaller_than_asked(width, height, longest):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (90, 120, 30)).save(buffer, "JPEG")
    reduced = reduced_to(buffer.getvalue(), longest).stored
    assert max(reduced.shape[:2]) >= min(longest, max(width, height))
    assert max(reduced.shape[:2]) < max(4 * longest, max(width, height) / 4) or max(width, height) < 2 * longest
    assert reduced.shape[1] / reduced.shape[0] == pytest.approx(width / height, rel=0.2)


def test_only_a_jpeg_is_decoded_at_reduced_scale(photo, saved):
    assert reduced_to(saved(photo, "JPEG"), 100).stored.shape == (128, 128, 3)
    assert reduced_to(saved(photo, "PNG"), 100).stored.shape == (512, 512, 3)


def test_a_reduced_jpeg_is_upright_too(photo, saved):
    data = saved(photo[:256], "JPEG", exif=exif_of(6))
    assert reduced_to(data, 128).upright.shape == (128, 64, 3)


# --- bad inputs


def reduced_to(data, longest):
    return FrameCache().decode_at_least("", data, LIMITS, lambda width, height: min(1.0, longest / max(width, height)))


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def with_wrong_checksum(png, name):
    start = png.index(name)
    end = start + 4 + struct.unpack(">I", png[start - 4 : start])[0]
    return png[:end] + bytes([png[end] ^ 0xFF]) + png[end + 1 :]


def file_of(image, kind, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return buffer.getvalue()


def bad_inputs():
    picture = skimage.data.astronaut()[:128, :128]
    png, jpeg = file_of(picture, "PNG"), file_of(picture, "JPEG")
    frames = [Image.fromarray(picture), Image.fromarray(picture[::-1].copy())]
    paged = {"save_all": True, "append_images": frames[1:]}
    packed = zlib.compress(bytes(30_000_000))
    bomb, profile_bomb = png_chunk(b"zTXt", b"Comment\0\0" + packed), png_chunk(b"iCCP", b"icc\0\0" + packed)
    middle = png.index(b"IDAT") + 2000
    return {
        "zero bytes": (b"", "file_empty"),
        "text as .jpg": (b"This is no image. " * 50, "not_an_image"),
        "html": (b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image"),
        "zero-filled file": (bytes(4096), "not_an_image"),
        "jpeg cut in its pixels": (jpeg[: len(jpeg) // 2], "truncated"),
        "png cut in its pixels": (png[: len(png) // 2], "truncated"),
        "bmp cut in its pixels": (file_of(picture, "BMP")[:20000], "truncated"),
        "webp without its last byte": (file_of(picture, "WEBP")[:-1], "truncated"),
        "gif cut in its pixels": (file_of(picture, "GIF")[:4000], "truncated"),
        "jpeg 2000 without its last 3 bytes": (file_of(picture, "JPEG2000")[:-3], "truncated"),
        "jpeg 2000 without its last byte, a bare stream": (file_of(picture, "JPEG2000", no_jp2=True)[:-1], "truncated"),
        "jpeg 2000 cut in its last tile": (file_of(picture, "JPEG2000", no_jp2=True, tile_size=(64, 64))[:-500], "truncated"),
        "jpeg 2000 cut in its header": (file_of(picture, "JPEG2000")[:60], "truncated"),
        "jpeg 2000 with another end": (file_of(picture, "JPEG2000")[:-2] + b"\0\0", "corrupt"),
        "png with a wrong checksum in its header": (with_wrong_checksum(png, b"IHDR"), "corrupt"),
        "png with a wrong checksum in its pixels": (with_wrong_checksum(png, b"IDAT"), "corrupt"),
        "png with a damaged byte in its pixels": (png[:middle] + bytes([png[middle] ^ 0xFF]) + png[middle + 1 :], "corrupt"),
        "png whose comment unpacks to 30 MB": (png[:33] + bomb + png[33:], "decompression_bomb"),
        "png whose last comment unpacks to 30 MB": (png[:-12] + bomb + png[-12:], "decompression_bomb"),
        "png whose profile unpacks to 30 MB": (png[:33] + profile_bomb + png[33:], "decompression_bomb"),
        "tiff with a smaller copy": (file_of(frames[0], "TIFF", **paged, tiffinfo={254: 1}), "multi_page"),
    }


DAMAGED = bad_inputs()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("data", "expected"), DAMAGED.values(), ids=DAMAGED)
def test_a_bad_input_has_its_code(data, expected):
    assert code_of(data) == expected


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("data", "expected"), DAMAGED.values(), ids=DAMAGED)
def test_a_reduced_decode_meets_the_same_failures(data, expected):
    with pytest.raises(Failure) as caught:
        reduced_to(data, 16)
    assert caught.value.code == expected


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("kind", "options"), [("WEBP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})])
def test_other_formats_cut_short_are_truncated_or_corrupt(photo, saved, kind, options):
    data = saved(photo, kind, **options)
    assert code_of(data[: len(data) // 2]) in {"truncated", "corrupt"}


def with_frame(jpeg, marker, precision=8):
    """The file with another marker or precision in its frame header than its data has."""
    offset = jpeg.index(b"\xff\xc0")
    return jpeg[: offset + 1] + bytes([marker]) + jpeg[offset + 2 : offset + 4] + bytes([precision]) + jpeg[offset + 5 :]


def unsupported():
    picture = skimage.data.astronaut()[:64, :64]
    jpeg = file_of(picture, "JPEG")
    floats, lab = io.BytesIO(), io.BytesIO()
    tifffile.imwrite(floats, picture.astype(np.float32) / 255, photometric="rgb")
    tifffile.imwrite(lab, picture, photometric="cielab")
    return {
        "lossless arithmetic coding": with_frame(jpeg, 0xCB),
        "lossless JPEG": with_frame(jpeg, 0xC3),
        "12-bit JPEG": with_frame(jpeg, 0xC1, 12),
        "float TIFF": floats.getvalue(),
        "Lab TIFF": lab.getvalue(),
        "PPM": file_of(picture, "PPM"),
    }


UNSUPPORTED = unsupported()


@pytest.mark.parametrize("data", UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_a_source_that_cannot_be_edited_without_loss_is_unsupported(data):
    assert code_of(data) == "mode_unsupported"
    with pytest.raises(Failure, match="mode_unsupported"):
        reduced_to(data, 16)


def test_several_pictures_in_a_jpeg_are_its_first_with_others_that_are_edited_alike():
    first = Image.fromarray(skimage.data.astronaut()[:64, :64])
    data = file_of(first, "MPO", save_all=True, append_images=[first.rotate(90)])
    assert decode(data, Limits()).size == (64, 64)


def test_a_tiff_with_pictures_below_the_first_is_several_pages():
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(skimage.data.astronaut(), photometric="rgb", subifds=1)
        writer.write(skimage.data.astronaut()[::2, ::2], photometric="rgb", subfiletype=1)
    assert code_of(buffer.getvalue()) == "multi_page"


def test_the_message_names_the_unsupported_feature():
    with pytest.raises(Failure, match="12 bits a sample"):
        decode(UNSUPPORTED["12-bit JPEG"], LIMITS)
    with pytest.raises(Failure, match="frame type 11"):
        decode(UNSUPPORTED["lossless arithmetic coding"], LIMITS)


def test_the_pixel_limit_is_met_before_any_pixel_is_decoded(photo, saved):
    png = saved(photo, "PNG")
    header_only = png[: png.index(b"IDAT") + 100]
    assert code_of(header_only, Limits(max_pixels=512 * 512 - 1)) == "pixels_over_limit"
    _, header = read_header(png, Limits(max_pixels=512 * 512))
    assert (header.width, header.height) == (512, 512)


def test_five_hundred_megapixels_are_over_the_limit_of_a_run(saved):
    png = saved(Image.new("1", (16, 16)), "PNG")
    vast = png_chunk(b"IHDR", struct.pack(">II", 25000, 20000) + png[24:29])
    assert code_of(png[:8] + vast + png[33:]) == "pixels_over_limit"


KINDS = ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000"]


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_of_a_run_alone_decides_on_a_size_that_pillow_refuses(monkeypatch, photo, saved, kind):
    data = saved(photo, kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert decode(data, Limits(max_pixels=512 * 512)).size == (512, 512)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert code_of(data, Limits(max_pixels=512 * 512 - 1)) == "pixels_over_limit"


def test_importing_the_decoder_leaves_pillows_limit_alone():
    statements = (
        "from PIL import Image",
        "limit = Image.MAX_IMAGE_PIXELS",
        "import operators.pictures.codec, operators.pictures.enlarged_file",
        "print(Image.MAX_IMAGE_PIXELS == limit != None)",
    )
    result = subprocess.run([sys.executable, "-c", "\n".join(statements)], check=True, capture_output=True, text=True)
    assert result.stdout.strip() == "True"


def test_the_byte_limit_is_met_before_the_header_is_read():
    assert code_of(b"not an image", Limits(max_bytes=11)) == "bytes_over_limit"
    assert code_of(b"not an image", Limits(max_bytes=12)) == "not_an_image"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_no_damage_raises_anything_but_a_failure_with_a_code(saved, small, kind, frames, data):
    options = {} if kind in {"GIF", "BMP"} else {"exif": exif_of(6)}
    # Pillow crashes when it writes small animations as AVIF.
    if frames > 1 and kind not in {"JPEG", "BMP", "AVIF", "JPEG2000"}:
        options |= {"save_all": True, "append_images": [Image.fromarray(small[32:, :32].copy())]}
    whole = saved(small[:32, :32], kind, **options)
    damaged = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if damaged:
            damaged[data.draw(st.integers(0, min(len(damaged) - 1, 400)))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(damaged), Limits(max_pixels=1_000_000))
    except Failure as failure:
        assert failure.code in CODES


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
def test_a_file_cut_in_its_second_frame_is_a_failure_with_a_code(saved, small, kind):
    frames = [Image.fromarray(small[:32, :32].copy()), Image.fromarray(small[32:, :32].copy())]
    whole = saved(frames[0], kind, save_all=True, append_images=frames[1:])
    for length in range(len(whole) // 2, len(whole), 7):
        try:
            decode(whole[:length], LIMITS)
        except Failure as failure:
            assert failure.code in {"truncated", "corrupt", "multi_page"}


# --- the frame cache


def test_one_picture_is_decoded_once(photo, saved):
    frames = FrameCache()
    data = saved(photo, "PNG")
    first = frames.decode("a", data, LIMITS)
    assert frames.decode("a", data, LIMITS) is first
    assert frames.decode("b", data, LIMITS) is not first
    assert frames.decode("a", data, LIMITS) is not first


def test_a_cached_picture_still_meets_a_lower_limit(photo, saved):
    data = saved(photo, "PNG")
    FRAME_CACHE.decode("a", data, LIMITS)
    with pytest.raises(Failure, match="pixels_over_limit"):
        FRAME_CACHE.decode("a", data, Limits(max_pixels=10))


def test_a_failed_decode_is_not_remembered(photo, saved):
    frames = FrameCache()
    with pytest.raises(Failure, match="file_empty"):
        frames.decode("a", b"", LIMITS)
    assert frames.decode("a", saved(photo, "PNG"), LIMITS).stored.shape == (512, 512, 3)
