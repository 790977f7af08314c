import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import skimage.data
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps

from operators.failure import CODES, Failure
from operators.image import FRAMES, FrameCache, Limits, decode, encode, opened
from operators.picture import TURNS, Edit, turned

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


def reopened(data):
    file = Image.open(io.BytesIO(data))
    file.load()
    return file


def block(picture, **where):
    return edit_of(picture, **where).stored


def edit_of(picture, colour=(250, 5, 10), corner=(16, 16), side=16):
    edit = Edit(*corner, np.full((side, side, 3), colour, np.uint8), np.ones((side, side), np.float32))
    return picture.edited([edit])


def edited_file(data, **where):
    """The file edited in one square; the picture before; the picture after."""
    picture = decode(data, LIMITS)
    result = encode(edit_of(picture, **where), data)
    return result, picture, decode(result, LIMITS)


@pytest.fixture(scope="module")
def small(photo):
    return np.ascontiguousarray(photo[100:164, 180:276])


# --- orientation


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_upright_is_what_a_viewer_shows(small, saved, orientation):
    data = saved(small, "PNG", exif=exif_of(orientation))
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    picture = decode(data, LIMITS)
    assert picture.orientation == orientation
    assert np.array_equal(picture.upright, shown)
    assert np.array_equal(picture.rgb(5, 7, 20, 30), shown[7:37, 5:25])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_writing_to_the_upright_view_writes_the_stored_pixels(orientation):
    stored = np.zeros((4, 6, 1), np.uint8)
    upright = turned(stored, orientation)
    assert np.shares_memory(upright, stored)
    upright[0, 1] = 9
    shown = ImageOps.exif_transpose(reopened_with(stored, orientation))
    assert np.asarray(shown)[0, 1] == 9
    assert np.count_nonzero(stored) == 1


def reopened_with(stored, orientation):
    buffer = io.BytesIO()
    Image.fromarray(stored[:, :, 0]).save(buffer, "PNG", exif=exif_of(orientation))
    return reopened(buffer.getvalue())


@check
@given(st.sampled_from(ORIENTATIONS), st.integers(1, 9), st.integers(1, 9))
def test_turning_loses_no_pixel(orientation, width, height):
    stored = np.arange(width * height, dtype=np.uint8).reshape(height, width, 1)
    upright = turned(stored, orientation)
    assert sorted(upright.ravel().tolist()) == list(range(width * height))
    assert upright.shape[:2] == ((width, height) if orientation >= 5 else (height, width))


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_an_edit_lands_upright_and_the_orientation_is_kept(small, saved, kind, orientation):
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {"quality": 95} if kind == "JPEG" else {}
    data = saved(small, kind, exif=exif_of(orientation), **options)
    result, before, after = edited_file(data, corner=(8, 24))
    assert after.orientation == orientation
    shown = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(result))).convert("RGB")).astype(int)
    inside, outside = np.abs(shown[24:40, 8:24] - (250, 5, 10)), np.abs(shown - before.rgb())[48:, 32:]
    assert inside.mean() <= (30 if kind == "JPEG" else 0)
    assert outside.mean() <= (1 if kind == "JPEG" else 0)


def test_an_orientation_out_of_range_counts_as_none(small, saved):
    assert decode(saved(small, "PNG", exif=exif_of(9)), LIMITS).orientation == 1


# --- edits


@st.composite
def edit_lists(draw, width=24, height=16):
    edits = []
    for _ in range(draw(st.integers(1, 4))):
        x, y = draw(st.integers(0, width - 1)), draw(st.integers(0, height - 1))
        across, down = draw(st.integers(1, width - x)), draw(st.integers(1, height - y))
        noise = np.random.default_rng(draw(st.integers(0, 2**32)))
        fill = noise.integers(0, 256, (down, across, 3), dtype=np.uint8)
        weight = noise.choice(np.arange(0, 256, 51), (down, across)).astype(np.float32) / np.float32(255)
        edits.append(Edit(x, y, fill, weight))
    return edits


MODES = ["L", "LA", "RGB", "RGBA"]


def noise_picture(mode, orientation=1, size=(16, 24)):
    size = size[::-1] if orientation >= 5 else size
    pixels = np.random.default_rng(3).integers(0, 256, (*size, len(mode)), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if mode == "L" else pixels, mode).save(buffer, "PNG", exif=exif_of(orientation))
    return decode(buffer.getvalue(), LIMITS)


@check
@given(edit_lists(), st.sampled_from(MODES), st.sampled_from(ORIENTATIONS))
def test_nothing_outside_the_weights_changes(edits, mode, orientation):
    picture = noise_picture(mode, orientation)
    untouched = np.ones(picture.upright.shape[:2], bool)
    for edit in edits:
        untouched[edit.y : edit.y + edit.fill.shape[0], edit.x : edit.x + edit.fill.shape[1]] &= edit.weight == 0
    result = turned(picture.edited(edits).stored, orientation)
    assert np.array_equal(result[untouched], picture.upright[untouched])


@check
@given(edit_lists(), st.sampled_from(MODES), st.randoms(use_true_random=False))
def test_the_order_of_edits_does_not_matter(edits, mode, random):
    picture = noise_picture(mode)
    shuffled = list(edits)
    random.shuffle(shuffled)
    assert np.array_equal(picture.edited(edits).stored, picture.edited(shuffled).stored)


def test_the_order_of_edits_does_not_matter_for_any_of_a_million_values(photo):
    picture, noise = decode_plain(photo), np.random.default_rng(0)
    edits = []
    for _ in range(4):
        fill = noise.integers(0, 256, photo.shape, dtype=np.uint8)
        edits.append(Edit(0, 0, fill, noise.integers(0, 256, photo.shape[:2]).astype(np.float32) / np.float32(255)))
    assert np.array_equal(picture.edited(edits).stored, picture.edited(edits[::-1]).stored)


@check
@given(edit_lists(), st.sampled_from(["LA", "RGBA"]))
def test_alpha_is_kept(edits, mode):
    picture = noise_picture(mode)
    assert np.array_equal(picture.edited(edits).stored[:, :, -1], picture.stored[:, :, -1])


@check
@given(edit_lists(), st.sampled_from(MODES))
def test_an_edit_does_not_write_to_the_source(edits, mode):
    picture = noise_picture(mode)
    before = picture.stored.copy()
    picture.edited(edits)
    assert np.array_equal(picture.stored, before)


def test_full_weight_replaces_and_half_weight_mixes():
    picture = decode_plain(np.full((2, 3, 3), 100, np.uint8))
    weight = np.array([[1, 0.5, 0]], np.float32)
    result = picture.edited([Edit(0, 1, np.full((1, 3, 3), 200, np.uint8), weight)]).stored
    assert result[:, :, 0].tolist() == [[100, 100, 100], [200, 150, 100]]


def decode_plain(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return decode(buffer.getvalue(), LIMITS)


def test_edits_that_overlap_count_by_their_weight():
    picture = decode_plain(np.full((1, 1, 3), 10, np.uint8))
    light = Edit(0, 0, np.full((1, 1, 3), 250, np.uint8), np.full((1, 1), 0.25, np.float32))
    strong = Edit(0, 0, np.full((1, 1, 3), 130, np.uint8), np.full((1, 1), 0.75, np.float32))
    # The strongest weight leaves a quarter of the source; the fills share the rest one to three.
    assert picture.edited([light, strong]).stored[0, 0].tolist() == [round(10 * 0.25 + 0.75 * (0.25 * 250 + 0.75 * 130))] * 3


def test_grey_pictures_take_the_luma_of_a_fill():
    picture = decode_plain(np.zeros((1, 3), np.uint8))
    fill = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert picture.edited([Edit(0, 0, fill, np.ones((1, 3), np.float32))]).stored[0, :, 0].tolist() == [76, 150, 29]


def test_grey_is_shown_as_rgb_and_alpha_is_not_shown():
    pixels = np.array([[[7, 1], [9, 2]]], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels, "LA").save(buffer, "PNG")
    assert decode(buffer.getvalue(), LIMITS).rgb().tolist() == [[[7, 7, 7], [9, 9, 9]]]


# --- lossless formats

LOSSLESS = [
    ("PNG", "L", {}),
    ("PNG", "LA", {}),
    ("PNG", "RGB", {}),
    ("PNG", "RGBA", {}),
    ("TIFF", "L", {}),
    ("TIFF", "LA", {}),
    ("TIFF", "RGB", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}),
    ("TIFF", "RGB", {"compression": "packbits"}),
    ("TIFF", "RGBA", {}),
    ("BMP", "L", {}),
    ("BMP", "RGB", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGBA", {"lossless": True, "exact": True}),
    ("GIF", "P", {}),
    ("PNG", "P", {}),
    ("TIFF", "P", {}),
    ("BMP", "P", {}),
]


@pytest.mark.parametrize(("kind", "mode", "options"), LOSSLESS)
def test_lossless_formats_keep_what_is_not_edited_bit_for_bit(small, saved, kind, mode, options):
    image = Image.fromarray(small).convert("RGBA" if mode.endswith("A") else "RGB")
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(np.arange(64 * 96, dtype=np.uint8).reshape(64, 96)))
    image = image.quantize(64) if mode == "P" else image.convert(mode)
    data = saved(image, kind, **options)
    _result, before, after = edited_file(data)
    outside = np.ones((64, 96), bool)
    outside[16:32, 16:32] = False
    assert (after.file.format, after.file.mode) == (kind, mode)
    assert after.stored.shape == before.stored.shape
    assert np.array_equal(after.stored[outside], before.stored[outside])
    if mode != "P":
        assert np.array_equal(after.stored, block(before))
    assert after.file.info.get("compression") == before.file.info.get("compression")


@pytest.mark.parametrize(
    "layout",
    [
        {"tile": (32, 32)},
        {"rowsperstrip": 7},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"compression": "zlib", "predictor": True},
        {"planarconfig": "separate"},
    ],
    ids="-".join,
)
def test_every_layout_of_a_tiff_is_written_back_right(small, layout):
    pixels = small if "planarconfig" not in layout else np.ascontiguousarray(small.transpose(2, 0, 1))
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", **layout)
    result, before, _ = edited_file(buffer.getvalue())
    assert np.array_equal(before.stored, small)
    read_back = tifffile.imread(io.BytesIO(result))
    assert np.array_equal(read_back if read_back.shape == small.shape else read_back.transpose(1, 2, 0), block(before))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "BMP"])
def test_a_palette_is_kept_and_unchanged_pixels_keep_their_index(small, saved, kind):
    source = Image.fromarray(small).quantize(32)
    _result, before, after = edited_file(saved(source, kind))
    indices, kept = np.array(before.file), np.array(after.file)
    outside = np.ones(indices.shape, bool)
    outside[16:32, 16:32] = False
    assert after.file.mode == "P"
    assert after.file.getpalette()[: 32 * 3] == before.file.getpalette()[: 32 * 3]
    assert np.array_equal(kept[outside], indices[outside])


def test_edited_pixels_take_the_nearest_colour_of_the_palette(saved):
    source = Image.fromarray(np.zeros((40, 40), np.uint8), "P")
    source.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    indices = np.array(source)
    indices[0, :3] = [0, 1, 2]
    source = Image.fromarray(indices, "P")
    source.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    _, _, after = edited_file(saved(source, "PNG"), colour=(180, 30, 20))
    assert (np.array(after.file)[16:32, 16:32] == 1).all()


@pytest.mark.parametrize("transparency", [2, bytes([255, 0, 128])])
def test_a_transparent_palette_entry_stays_transparent(saved, transparency):
    source = Image.fromarray((np.indices((40, 40)).sum(axis=0) % 3).astype(np.uint8), "P")
    source.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    _, before, after = edited_file(saved(source, "PNG", transparency=transparency), colour=(200, 0, 0))
    assert before.stored.shape[2] == 4
    assert np.array_equal(after.stored[:16], before.stored[:16])
    assert np.array_equal(after.stored[:, 32:], before.stored[:, 32:])


def test_an_edit_to_the_transparent_colour_does_not_become_transparent(small, saved):
    data = saved(small, "PNG", transparency=(250, 5, 10))
    result, _, _ = edited_file(data, colour=(250, 5, 10))
    assert (np.asarray(reopened(result).convert("RGBA"))[16:32, 16:32, 3] == 255).all()


# --- metadata


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {}),
    ],
)
def test_exif_and_colour_profile_are_kept(small, saved, kind, options):
    result, _, _ = edited_file(saved(small, kind, exif=exif_of(6), icc_profile=ICC, **options))
    after = reopened(result)
    assert after.info["icc_profile"] == ICC
    exif = Image.open(io.BytesIO(result)).getexif()
    assert (exif[0x0112], exif[0x013B]) == (6, "A. Painter")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "BMP"])
def test_resolution_is_kept(small, saved, kind):
    _result, before, after = edited_file(saved(small, kind, dpi=(300, 150)))
    assert tuple(after.file.info["dpi"]) == pytest.approx(tuple(before.file.info["dpi"]))
    assert tuple(after.file.info["dpi"]) == pytest.approx((300, 150), abs=0.02)


def test_png_texts_are_kept(small, saved):
    from PIL.PngImagePlugin import PngInfo

    texts = PngInfo()
    texts.add_text("Author", "A. Painter")
    texts.add_itxt("Title", "Größe", "de", "Titel")
    result, _, _ = edited_file(saved(small, "PNG", pnginfo=texts))
    kept = reopened(result).text
    assert kept == {"Author": "A. Painter", "Title": "Größe"}
    assert (kept["Title"].lang, kept["Title"].tkey) == ("de", "Titel")


def test_a_jpeg_comment_is_kept(small, saved):
    result, _, _ = edited_file(saved(small, "JPEG", comment=b"by hand"))
    assert reopened(result).info["comment"] == b"by hand"


# --- JPEG


def camera_jpeg(pixels, factors=0x221111, quality=88, progressive=0):
    options = [
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors,
        cv2.IMWRITE_JPEG_QUALITY, quality,
        cv2.IMWRITE_JPEG_PROGRESSIVE, progressive,
    ]  # fmt: skip
    return cv2.imencode(".jpg", pixels[:, :, ::-1] if pixels.ndim == 3 else pixels, options)[1].tobytes()


@pytest.mark.parametrize("quality", [30, 75, 95])
@pytest.mark.parametrize("progressive", [0, 1])
def test_a_jpeg_keeps_its_quantisation_tables_and_its_scan_order(small, quality, progressive):
    _result, before, after = edited_file(camera_jpeg(small, quality=quality, progressive=progressive))
    assert after.file.quantization == before.file.quantization
    assert after.file.info.get("progressive") == before.file.info.get("progressive")


@pytest.mark.parametrize(
    "factors", [0x111111, 0x211111, 0x221111, 0x121111, 0x411111], ids=["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1"]
)
def test_a_jpeg_keeps_its_chroma_subsampling(small, factors):
    _result, before, after = edited_file(camera_jpeg(small, factors))
    assert [layer[:3] for layer in after.file.layer] == [layer[:3] for layer in before.file.layer]


def test_a_grey_jpeg_stays_grey(small, saved):
    _result, before, after = edited_file(saved(Image.fromarray(small).convert("L"), "JPEG", quality=90))
    assert after.file.mode == "L"
    assert after.file.quantization == before.file.quantization


def test_a_jpeg_of_the_highest_quality_can_be_written_back(saved):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    _result, before, after = edited_file(saved(noise, "JPEG", quality=100, subsampling=0))
    assert np.abs(after.stored[64:].astype(int) - before.stored[64:]).max() <= 2


@pytest.mark.parametrize("factors", [0x111111, 0x221111], ids=["4:4:4", "4:2:0"])
def test_a_jpeg_does_not_change_in_blocks_away_from_the_edit(photo, factors):
    _, before, after = edited_file(camera_jpeg(photo, factors))
    assert np.array_equal(after.stored[64:], before.stored[64:])
    assert np.array_equal(after.stored[:, 64:], before.stored[:, 64:])


def test_encoding_twice_gives_the_same_bytes(small, saved):
    for kind in ("JPEG", "PNG", "TIFF", "WEBP"):
        data = saved(small, kind)
        assert edited_file(data)[0] == edited_file(data)[0]


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
    return FrameCache().at_least("", data, LIMITS, lambda width, height: min(1.0, longest / max(width, height)))


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
        "gif cut in its pixels": (file_of(picture, "GIF")[:4000], "truncated"),
        "png with a wrong checksum in its header": (with_wrong_checksum(png, b"IHDR"), "corrupt"),
        "png with a wrong checksum in its pixels": (with_wrong_checksum(png, b"IDAT"), "corrupt"),
        "png with a damaged byte in its pixels": (png[:middle] + bytes([png[middle] ^ 0xFF]) + png[middle + 1 :], "corrupt"),
        "png whose comment unpacks to 30 MB": (png[:33] + bomb + png[33:], "decompression_bomb"),
        "png whose last comment unpacks to 30 MB": (png[:-12] + bomb + png[-12:], "decompression_bomb"),
        "png whose profile unpacks to 30 MB": (png[:33] + profile_bomb + png[33:], "decompression_bomb"),
        "animated gif": (file_of(frames[0], "GIF", **paged), "animated"),
        "animated webp": (file_of(frames[0], "WEBP", **paged), "animated"),
        "animated png": (file_of(frames[0], "PNG", **paged), "animated"),
        "multi-page tiff": (file_of(frames[0], "TIFF", **paged), "multi_page"),
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


NOT_YET_EDITED = {
    "16-bit grey png": ("PNG", lambda photo: Image.fromarray(photo[:, :, 0].astype(np.uint16) * 257)),
    "cmyk jpeg": ("JPEG", lambda photo: Image.fromarray(photo).convert("CMYK")),
}


@pytest.mark.parametrize("case", NOT_YET_EDITED)
def test_pixel_formats_that_are_not_edited_yet_are_skipped(saved, photo, case):
    kind, converted = NOT_YET_EDITED[case]
    assert code_of(saved(converted(photo), kind)) == "mode_unsupported"


def test_the_pixel_limit_is_met_before_any_pixel_is_decoded(photo, saved):
    png = saved(photo, "PNG")
    header_only = png[: png.index(b"IDAT") + 100]
    assert code_of(header_only, Limits(max_pixels=512 * 512 - 1)) == "pixels_over_limit"
    assert open_file(png, Limits(max_pixels=512 * 512)).size == (512, 512)


def test_five_hundred_megapixels_are_over_the_limit_of_a_run(saved):
    png = saved(Image.new("1", (16, 16)), "PNG")
    vast = png_chunk(b"IHDR", struct.pack(">II", 25000, 20000) + png[24:29])
    assert code_of(png[:8] + vast + png[33:]) == "pixels_over_limit"


def test_the_byte_limit_is_met_before_the_header_is_read():
    assert code_of(b"not an image", Limits(max_bytes=11)) == "bytes_over_limit"
    assert code_of(b"not an image", Limits(max_bytes=12)) == "not_an_image"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
@settings(deadline=None, max_examples=50)
@given(data=st.data())
def test_no_damage_raises_anything_but_a_failure_with_a_code(saved, small, kind, frames, data):
    options = {} if kind in {"GIF", "BMP"} else {"exif": exif_of(6)}
    if frames > 1 and kind not in {"JPEG", "BMP"}:
        options |= {"save_all": True, "append_images": [Image.fromarray(small[32:, :32].copy())]}
    whole = saved(small[:32, :32], kind, **options)
    hurt = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for _ in range(data.draw(st.integers(0, 3))):
        if hurt:
            hurt[data.draw(st.integers(0, min(len(hurt) - 1, 400)))] = data.draw(st.integers(0, 255))
    try:
        decode(bytes(hurt), Limits(max_pixels=1_000_000))
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
            assert failure.code in {"truncated", "corrupt", "animated", "multi_page"}


# --- the frame cache


def test_one_picture_is_decoded_once(photo, saved):
    frames = FrameCache()
    data = saved(photo, "PNG")
    first = frames.decoded("a", data, LIMITS)
    assert frames.decoded("a", data, LIMITS) is first
    assert frames.decoded("b", data, LIMITS) is not first
    assert frames.decoded("a", data, LIMITS) is not first


def test_a_cached_picture_still_meets_a_lower_limit(photo, saved):
    data = saved(photo, "PNG")
    FRAMES.decoded("a", data, LIMITS)
    with pytest.raises(Failure, match="pixels_over_limit"):
        FRAMES.decoded("a", data, Limits(max_pixels=10))


def test_a_failed_decode_is_not_remembered(photo, saved):
    frames = FrameCache()
    with pytest.raises(Failure, match="file_empty"):
        frames.decoded("a", b"", LIMITS)
    assert frames.decoded("a", saved(photo, "PNG"), LIMITS).stored.shape == (512, 512, 3)
