"""Enlarged files: exact pixels in lossless formats, kept metadata, new sizes and resolution."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from operators.pictures import enlarged_file
from operators.pictures.codec import Limits, decode
from operators.rows.failure import Failure


def encode_enlarged(*arguments):
    return enlarged_file.encode_enlarged(*arguments).data


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


def segment(marker, content):
    return b"\xff" + bytes([marker]) + (len(content) + 2).to_bytes(2, "big") + content


def chunk(name, content):
    return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")


XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description dc:format='image/jpeg'/></x:xmpmeta>"
IPTC = b"Photoshop 3.0\0" + b"8BIM\4\4\0\0\0\0\0\x0c\x1c\2t\0\7(c) me!"


def enlarged(source, dots=None):
    """The file at twice its size, every sample repeated."""
    picture = decode(source, Limits())
    stored = np.repeat(np.repeat(picture.stored, 2, axis=0), 2, axis=1)
    result = encode_enlarged(picture, stored, source, dots)
    after = decode(result, Limits())
    assert (after.format, after.size) == (picture.format, (2 * picture.size[0], 2 * picture.size[1]))
    return result, picture, after


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_keeps_every_segment(saved, mode):
    source = saved(Image.new(mode, (16, 16), 90 if mode == "L" else (90,) * len(mode)), "JPEG")
    parts = [segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP), segment(0xED, IPTC), segment(0xE7, b"a maker's own")]
    source = source[:2] + b"".join(parts) + source[2:]
    result, before, after = enlarged(source)
    assert all(part in result for part in parts)
    assert np.abs(after.rgb()[::2, ::2].astype(int) - before.rgb()).max() <= 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"])
def test_what_has_no_exif_and_no_resolution_gets_neither(saved, photo, kind):
    image = Image.fromarray(photo[:32, :32])
    source = saved(image.quantize(16) if kind == "GIF" else image, kind, **({"lossless": True} if kind == "WEBP" else {}))
    if kind == "JPEG":
        source = source[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP) + source[20:]
    if kind == "BMP":
        source = source[:38] + bytes(8) + source[46:]
    result, *_ = enlarged(source)
    assert b"Exif" not in result
    assert b"eXIf" not in result
    before, after = reopened(source), reopened(result)
    assert after.info.get("dpi") == before.info.get("dpi")
    assert dict(after.getexif()) == {} or kind == "TIFF"
    if kind == "TIFF":
        assert not {282, 283, 296} & set(after.tag_v2) - set(before.tag_v2)


def test_a_bmp_keeps_its_alpha_masks_and_resolution():
    rows = np.random.default_rng(1).integers(0, 256, (12, 20, 4), dtype=np.uint8)
    info = struct.pack("<IiiHHIIiiII", 108, 20, 12, 1, 32, 3, rows.size, 2835, 2836, 0, 0)
    info += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    source = struct.pack("<2sIHHI", b"BM", 122 + rows.size, 0, 0, 122) + info + rows.tobytes()
    result, before, after = enlarged(source)
    assert after.mode == before.mode == "RGBA"
    assert np.array_equal(after.stored[::2, ::2], before.stored)
    assert result[38:122] == source[38:122]
    assert int.from_bytes(result[2:6], "little") == len(result)
    assert enlarged(source, 300.0)[0][38:46] == struct.pack("<2i", 11811, 11811)


def test_a_palette_png_keeps_gamma_texts_and_other_chunks(saved, photo):
    source = saved(Image.fromarray(photo[:32, :48]).quantize(64), "PNG")
    place = source.index(b"PLTE") - 4
    kept = [chunk(b"gAMA", (100_000).to_bytes(4, "big")), chunk(b"tEXt", b"Copyright\0mine"), chunk(b"prIv", b"own")]
    source = source[:place] + b"".join(kept) + source[place:]
    result, *_ = enlarged(source)
    assert all(part in result for part in kept)
    assert result.index(b"gAMA") < result.index(b"PLTE") < result.index(b"IDAT")
    after = reopened(result)
    assert (after.mode, after.text["Copyright"], after.info["gamma"]) == ("P", "mine", 1.0)


def test_a_webp_keeps_xmp_exif_and_private_chunks(saved, photo):
    exif = Image.Exif()
    exif[0x010E] = "a plate"
    source = saved(Image.fromarray(photo[:32, :32]), "WEBP", lossless=True, xmp=XMP, exif=exif, icc_profile=PROFILE)
    body = source[12:] + b"prIV" + (4).to_bytes(4, "little") + b"ours"
    source = b"RIFF" + (4 + len(body)).to_bytes(4, "little") + b"WEBP" + body
    result, before, after = enlarged(source)
    assert np.array_equal(after.stored[::2, ::2], before.stored)
    assert XMP in result
    assert result.endswith(b"prIV\4\0\0\0ours")
    assert reopened(result).getexif()[0x010E] == "a plate"


def test_a_gif_keeps_comments_and_extensions(saved, photo):
    source = saved(Image.fromarray(photo[:32, :32]).quantize(16), "GIF", comment=b"by hand")
    own = b"\x21\xff\x0bOWN DATA1.0" + b"\3abc\0"
    source = source[:-1] + own + b";"
    result, *_ = enlarged(source)
    assert reopened(result).info["comment"] == b"by hand"
    assert result.endswith(own + b";")


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "predictor": True, "tile": (16, 16)}, {"bigtiff": True}])
def test_a_tiff_keeps_every_other_tag_and_directory(photo, options):
    buffer = io.BytesIO()
    extra = [(33723, 7, len(IPTC), IPTC, True), (700, 1, len(XMP), XMP, True), (65000, 7, 9, b"a maker's", True)]
    tifffile.imwrite(buffer, photo[:40, :56], photometric="rgb", extratags=extra, metadata=None, **options)
    result, before, after = enlarged(buffer.getvalue())
    assert np.array_equal(after.stored[::2, ::2], before.stored)
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as old, tifffile.TiffFile(io.BytesIO(result)) as new:
        assert np.array_equal(new.asarray(), after.stored)
        for tag in (33723, 700, 65000, 305, 282, 283, 296):
            assert (tag in new.pages[0].tags) == (tag in old.pages[0].tags)
            assert tag not in old.pages[0].tags or new.pages[0].tags[tag].value == old.pages[0].tags[tag].value
    assert len(result) < len(buffer.getvalue()) + 4 * photo[:40, :56].size + 2000


def test_the_exif_of_a_tiff_stays_with_its_makers_note(photo):
    note, start = b"a maker's note at its place", 4096
    directory = struct.pack("<HHHIII", 1, 0x927C, 7, len(note), start + 18, 0) + note
    buffer = io.BytesIO()
    extra = [(0x876A, 4, 1, start, True)]
    tifffile.imwrite(buffer, photo[:16, :24], photometric="rgb", extratags=extra, metadata=None, byteorder="<")
    source = buffer.getvalue().replace(struct.pack("<HH", 0x876A, 4), struct.pack("<HH", 0x8769, 4))
    source = source.ljust(start, b"\0") + directory
    assert reopened(source).getexif().get_ifd(0x8769)[0x927C] == note
    result, *_ = enlarged(source)
    assert reopened(result).getexif().get_ifd(0x8769)[0x927C] == note


def test_a_gain_map_follows_its_enlarged_picture(photo):
    first, second = Image.fromarray(photo[:64, :64]), Image.fromarray(photo[:16, :16])
    buffer = io.BytesIO()
    first.save(buffer, "MPO", save_all=True, append_images=[second])
    result, *_ = enlarged(buffer.getvalue())
    after = reopened(result)
    assert (after.format, after.n_frames) == ("MPO", 2)
    after.seek(1)
    assert after.size == (16, 16)
