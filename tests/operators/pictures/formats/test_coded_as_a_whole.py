"""AVIF, HEIC, JPEG 2000 and JPEG XL: coded again as a whole, near the source, with its metadata."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import cv2
import imagecodecs
import numpy as np
import pillow_heif
import pytest
from PIL import Image, ImageCms

from operators.pictures import codec
from operators.pictures.codec import Limits, decode, encode
from operators.pictures.formats import iso_media, jpeg2000, jpeg_xl
from operators.pictures.formats.media_items import Item, Property, assembled, items_of
from operators.pictures.picture import Edit
from operators.pictures.read_back import check_written
from operators.rows.failure import Failure

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"></x:xmpmeta>'
RED = (250, 5, 10)
LUMA_OF_RED = 0.299 * RED[0] + 0.587 * RED[1] + 0.114 * RED[2]
FARTHEST = 2.0
"""Levels, 0..255, by which a pixel outside of the edit may differ on average."""


def by_pillow(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def heic(picture: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture = picture.copy()
    picture.info.update({"exif": exif(), "icc_profile": PROFILE, "xmp": XMP})
    pillow_heif.from_pillow(picture).save(buffer, quality=80, **options)
    return buffer.getvalue()


def exif(orientation: int = 1) -> bytes:
    tags = Image.Exif()
    tags[0x013B], tags[0x0112] = "A. Painter", orientation
    return tags.tobytes()


FILES: dict[str, Callable[[Image.Image], bytes]] = {
    "AVIF": lambda picture: by_pillow(picture, "AVIF", quality=80),
    "AVIF with alpha": lambda picture: by_pillow(picture.convert("RGBA"), "AVIF", quality=80),
    "HEIC": heic,
    "HEIC, grey": lambda picture: heic(picture.convert("L")),
    "HEIC 4:4:4": lambda picture: heic(picture, chroma=444),
    "JPEG 2000": lambda picture: by_pillow(picture, "JPEG2000", irreversible=True, quality_mode="dB", quality_layers=[42]),
    "JPEG XL": lambda picture: bytes(imagecodecs.jpegxl_encode(np.asarray(picture), distance=1.0)),
}


@pytest.fixture(scope="module")
def picture(photo: np.ndarray) -> Image.Image:
    return Image.fromarray(photo[:160, :240])


def edit_file(data: bytes) -> tuple[bytes, Any]:
    """A file with one square of red, and what was meant."""
    edit = Edit(32, 32, np.full((48, 64, 3), RED, np.uint8), np.ones((48, 64), np.float32))
    edited = decode(data, Limits()).edited([edit])
    return encode(edited, data), edited


@pytest.mark.parametrize("name", FILES)
def test_an_edit_shows_and_the_rest_stays_near_the_source(name: str, picture: Image.Image) -> None:
    data = FILES[name](picture)
    result, edited = edit_file(data)
    after = decode(result, Limits())
    assert codec.format_of(result) is codec.format_of(data)
    assert check_written(result, edited, data) is None
    off = np.abs(after.stored.astype(int) - edited.stored)
    assert off[36:76, 36:92].mean() < 4
    assert off[~edited.changed].mean() < FARTHEST
    assert (after.size, after.mode) == (edited.picture.size, edited.picture.mode)
    assert edit_file(data)[0] == result


def test_a_bad_encoder_is_found(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    data = FILES["AVIF"](picture)
    monkeypatch.setattr("operators.pictures.formats.iso_media.AVIF_QUALITY", 1)
    result, edited = edit_file(data)
    assert "our own decoder sees" in str(check_written(result, edited, data)) or "OpenCV sees" in str(
        check_written(result, edited, data)
    )


@pytest.mark.parametrize("orientation", [1, 6])
def test_avif_keeps_its_metadata_and_orientation(picture: Image.Image, orientation: int) -> None:
    result, edited = edit_file(by_pillow(picture, "AVIF", exif=exif(orientation), icc_profile=PROFILE, xmp=XMP))
    file = Image.open(io.BytesIO(result))
    assert (file.getexif()[0x013B], file.info["icc_profile"], file.info["xmp"]) == ("A. Painter", PROFILE, XMP)
    assert decode(result, Limits()).orientation == edited.picture.orientation == orientation


def test_heic_keeps_its_metadata_and_names_what_it_does_not_keep(picture: Image.Image) -> None:
    buffer = io.BytesIO()
    small = pillow_heif.from_pillow(picture)
    small.info.update({"exif": exif(), "icc_profile": PROFILE, "xmp": XMP, "thumbnails": [64]})
    small.save(buffer, quality=80)
    assert decode(buffer.getvalue(), Limits()).losses == ("thumbnails",)
    result, _ = edit_file(buffer.getvalue())
    info = pillow_heif.open_heif(result).info
    assert (info["icc_profile"], info["xmp"], info["thumbnails"]) == (PROFILE, XMP, [])
    assert b"A. Painter" in info["exif"]


def box(name: bytes, *content: bytes) -> bytes:
    inner = b"".join(content)
    return struct.pack(">I4s", 8 + len(inner), name) + inner


@pytest.mark.parametrize("name", ["AVIF", "HEIC"])
def test_what_stands_behind_the_picture_is_named(name: str, picture: Image.Image) -> None:
    manifest = box(b"uuid", iso_media.MANIFEST, bytes(99))
    data = FILES[name](picture) + box(b"free", bytes(9)) + box(b"mpvd", b"a film") + box(b"sefd", bytes(9)) + manifest
    done = decode(data, Limits()).edited([Edit(8, 8, np.full((8, 8, 3), 9, np.uint8), np.ones((8, 8), np.float32))])
    result, notes = codec.encode_with_notes(done, data)
    assert notes == ["not_kept: box mpvd", "not_kept: box sefd", "c2pa_removed"]
    assert b"a film" not in result
    assert iso_media.MANIFEST not in result
    assert iso_media.losses_of(result) == ()


def test_second_pictures_of_a_box_file_are_named() -> None:
    def meta(*properties: bytes, items: tuple[bytes, ...] = (), references: tuple[bytes, ...] = ()) -> bytes:
        listed = b"".join(box(b"infe", bytes([2, 0, 0, 0]), bytes([0, 1, 0, 0]), item) for item in items)
        parts = [box(b"iinf", bytes(4), struct.pack(">H", len(items)), listed), box(b"iref", bytes(4), *references)]
        return box(b"meta", bytes(4), *parts, box(b"iprp", box(b"ipco", *properties)))

    alpha, depth = (box(b"auxC", bytes(4), b"urn:mpeg:hevc:2015:auxid:" + number + b"\0") for number in (b"1", b"2"))
    apple = box(b"auxC", bytes(4), b"urn:com:apple:photo:2020:aux:hdrgainmap\0")
    assert iso_media.losses_of(meta(alpha, items=(b"av01", b"Exif"))) == ()
    assert iso_media.losses_of(meta(alpha, depth)) == ("auxiliary pictures",)
    assert iso_media.losses_of(meta(apple, items=(b"hvc1",))) == ("auxiliary pictures",)
    assert iso_media.losses_of(meta(items=(b"av01", b"tmap"))) == ("gain map",)
    assert iso_media.losses_of(meta(references=(box(b"thmb", bytes(6)),))) == ("thumbnails",)


BRIGHT = {"max_content_light_level": 1000, "max_pic_average_light_level": 203}
POINTS = ("color_primaries", "transfer_characteristics", "matrix_coefficients", "full_range_flag")
DEEP: dict[str, tuple[str, int, int, tuple[int, int, int, int]]] = {
    "10 bits": ("RGB", 10, 420, (1, 13, 6, 1)),
    "10 bits in PQ, 4:2:2 and a narrow range": ("RGB", 10, 422, (9, 16, 9, 0)),
    "10 bits in HLG": ("RGB", 10, 420, (9, 18, 9, 1)),
    "10 bits of Display P3 with alpha": ("RGBA", 10, 444, (12, 13, 6, 1)),
    "12 bits of grey": ("L", 12, 420, (1, 13, 6, 1)),
    "8 bits of Display P3": ("RGB", 8, 420, (12, 13, 6, 1)),
}
"""Channels, bits a sample, subsampling and code points of colours."""


def deep_heic(picture: Image.Image, name: str) -> bytes:
    """A HEIC of more bits, whose lowest bits are not those of a picture of 8 bits."""
    channels, depth, chroma, points = DEEP[name]
    stored = deep_samples(picture, channels, depth)
    if channels == "RGBA":
        stored[:, :, 3] = 2**depth - 1
    mode = channels if depth == 8 else f"{channels};{depth}"
    file: Any = pillow_heif.from_bytes(mode, picture.size, stored.tobytes())
    file[0].info.update({"exif": exif(), "xmp": XMP, "bit_depth": depth, "content_light_level": BRIGHT})
    file[0].info["nclx_profile"] = dict(zip(POINTS, points, strict=True))
    buffer = io.BytesIO()
    file.save(buffer, quality=90, chroma=chroma)
    return buffer.getvalue()


@pytest.mark.parametrize("name", DEEP)
def test_a_heic_keeps_its_bits_and_the_meaning_of_its_colours(name: str, picture: Image.Image) -> None:
    channels, depth, chroma, points = DEEP[name]
    data, peak = deep_heic(picture, name), 2**depth - 1
    result, edited = edit_file(data)
    assert check_written(result, edited, data) is None
    before, after = (pillow_heif.open_heif(file, convert_hdr_to_8bit=False, hdr_to_16bit=False) for file in (data, result))
    assert (after.mode, after.info["bit_depth"]) == (before.mode, depth)
    assert [file.info.get("chroma", chroma) for file in (before, after)] == [chroma, chroma]
    assert tuple(int(after.info["nclx_profile"][point]) for point in POINTS) == points
    assert after.info["content_light_level"] == BRIGHT
    assert (b"A. Painter" in after.info["exif"], after.info["xmp"]) == (True, XMP)
    old, new = (np.asarray(file[0]).reshape(edited.picture.stored.shape).astype(int) for file in (before, after))
    assert np.array_equal(old, edited.picture.stored)
    assert len(np.unique(old[:, :, 0])) > 256 or depth == 8
    outside = np.abs(new - old)[~edited.changed] * 255 / peak
    assert outside.mean() < FARTHEST / 2
    fill = np.array({"L": (LUMA_OF_RED,), "RGB": RED, "RGBA": (*RED, 255)}[channels])
    assert np.abs(new[40:72, 40:88] * 255 / peak - fill).mean() < 4
    assert edit_file(data)[0] == result


def test_colours_that_code_points_describe_are_looked_at_as_srgb_and_the_figures_say_so(picture: Image.Image) -> None:
    deep = decode(deep_heic(picture, "10 bits in PQ, 4:2:2 and a narrow range"), Limits())
    assert deep.note == "colour primaries 9, transfer function 16"
    assert (deep.mode, deep.space.peak) == ("RGB;10", 1023)
    assert np.array_equal(deep.rgb(), np.rint(deep.stored * (255 / 1023)).astype(np.uint8))
    assert decode(deep_heic(picture, "10 bits"), Limits()).note is None


DEEP_AVIF: dict[str, tuple[str, int, str, tuple[int, int, int]]] = {
    "10 bits": ("RGB", 10, "420", (1, 13, 6)),
    "10 bits in PQ and 4:2:2": ("RGB", 10, "422", (9, 16, 9)),
    "10 bits in HLG": ("RGB", 10, "420", (9, 18, 9)),
    "10 bits of Display P3 with alpha": ("RGBA", 10, "444", (12, 13, 6)),
    "12 bits": ("RGB", 12, "444", (1, 13, 6)),
    "12 bits of RGB that is not converted": ("RGB", 12, "444", (1, 13, 0)),
    "12 bits of grey": ("L", 12, "400", (1, 13, 6)),
    "8 bits of Display P3": ("RGB", 8, "420", (12, 13, 6)),
}
"""Channels, bits a sample, subsampling and code points of colours."""


def deep_samples(picture: Image.Image, channels: str, depth: int) -> np.ndarray:
    """Samples whose lowest bits are not those of a picture of 8 bits."""
    fine = np.asarray(picture.convert(channels)).astype(np.uint16).reshape(picture.height, picture.width, -1)
    slope = np.linspace(0, 1, picture.width)[None, :, None]
    stored = np.rint((fine * 0.9 + slope * 20) * ((2**depth - 1) / 255)).astype(np.uint16 if depth > 8 else np.uint8)
    if channels == "RGBA":
        stored[:, :, 3] = np.rint(slope[:, :, 0] * (2**depth - 1))
    return stored


def deep_avif(picture: Image.Image, name: str) -> bytes:
    channels, depth, subsampling, points = DEEP_AVIF[name]
    options = dict(zip(("primaries", "transfer", "matrix"), points, strict=True))
    stored = deep_samples(picture, channels, depth)
    stored = stored[:, :, 0] if channels == "L" else stored
    return bytes(imagecodecs.avif_encode(stored, level=90, bitspersample=depth, pixelformat=subsampling, **options))


def coding_bits(data: bytes) -> bytes:
    """More than 8 bits, 12 bits, grey, and subsampling, as the file says them of its picture."""
    return bytes([next(iso_media.properties(data, b"av1C"))[2] & 0x7C])


@pytest.mark.parametrize("name", DEEP_AVIF)
def test_an_avif_keeps_its_bits_and_the_meaning_of_its_colours(name: str, picture: Image.Image) -> None:
    channels, depth, _, points = DEEP_AVIF[name]
    data, peak = deep_avif(picture, name), 2**depth - 1
    result, edited = edit_file(data)
    assert check_written(result, edited, data) is None
    assert coding_bits(result) == coding_bits(data)
    assert struct.unpack_from(">3H", next(iso_media.properties(result, b"colr")), 4) == points
    read = cv2.imdecode(np.frombuffer(result, np.uint8), cv2.IMREAD_UNCHANGED)
    read = read if read.ndim == 3 else read[:, :, None]
    seen = read[:, :, [2, 1, 0, 3][: read.shape[2]]] if channels != "L" else read
    assert seen.dtype == (np.uint16 if depth > 8 else np.uint8)
    off = np.abs(seen.astype(int) - edited.picture.stored)[~edited.changed] * 255 / peak
    assert off.mean() < (FARTHEST / 2 if depth > 8 else FARTHEST)
    if channels == "RGBA":
        assert np.array_equal(seen[:, :, 3], edited.stored[:, :, 3])
    fill = np.array({"L": (LUMA_OF_RED,), "RGB": RED, "RGBA": RED}[channels])
    opaque = np.s_[40:72, 40:88, :3]
    assert np.abs(seen[opaque] * (255 / peak) - fill).mean() < 4
    assert len(np.unique(seen[:, :, 0])) > 256 or depth == 8
    assert edit_file(data)[0] == result


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("depth", [10, 12])
def test_a_deep_avif_keeps_its_metadata_and_orientation(picture: Image.Image, orientation: int, depth: int) -> None:
    stored = deep_samples(picture, "RGB", depth)[:, :, ::-1]
    content = [np.frombuffer(each, np.uint8) for each in (exif(orientation)[6:], XMP, PROFILE)]
    kinds = [cv2.IMAGE_METADATA_EXIF, cv2.IMAGE_METADATA_XMP, cv2.IMAGE_METADATA_ICCP]
    data = bytes(cv2.imencodeWithMetadata(".avif", stored, kinds, content, [cv2.IMWRITE_AVIF_DEPTH, depth])[1])
    result, edited = edit_file(data)
    file = Image.open(io.BytesIO(result))
    assert (file.getexif()[0x013B], file.info["icc_profile"], file.info["xmp"]) == ("A. Painter", PROFILE, XMP)
    assert decode(result, Limits()).orientation == edited.picture.orientation == orientation
    assert list(iso_media.properties(result, b"irot")) == list(iso_media.properties(data, b"irot"))
    assert check_written(result, edited, data) is None


@pytest.mark.parametrize("kinds", [(), ("EXIF",), ("XMP",), ("ICCP",), ("EXIF", "XMP"), ("EXIF", "XMP", "ICCP")])
@pytest.mark.parametrize("xmp", [XMP, XMP + b" " * 9000])
def test_a_second_decoder_reads_a_deep_avif_with_any_metadata(kinds: tuple[str, ...], xmp: bytes, picture: Image.Image) -> None:
    """OpenCV looks at the first 500 bytes, within which it must not miss metadata."""
    texts = {"EXIF": exif()[6:], "XMP": xmp, "ICCP": PROFILE}
    content = [np.frombuffer(texts[kind], np.uint8) for kind in kinds]
    numbers = [getattr(cv2, f"IMAGE_METADATA_{kind}") for kind in kinds]
    stored = deep_samples(picture, "RGB", 10)[:, :, ::-1]
    data = bytes(cv2.imencodeWithMetadata(".avif", stored, numbers, content, [cv2.IMWRITE_AVIF_DEPTH, 10])[1])
    result, edited = edit_file(data)
    assert check_written(result, edited, data) is None


def test_what_an_avif_says_of_a_bright_screen_stays_and_the_rest_is_named(picture: Image.Image) -> None:
    bare = items_of(deep_avif(picture, "10 bits in PQ and 4:2:2"))
    light, words = Property(b"clli", struct.pack(">HH", 1000, 203), False), Property(b"udes", bytes(8), False)
    shown = bare.item(bare.primary)
    small = shown._replace(reference=b"thmb")
    data = assembled(b"avif\0\0\0\0mif1", [shown._replace(properties=(*shown.properties, light, words)), small])
    picture_of_file = decode(data, Limits())
    assert picture_of_file.losses == ("thumbnails", "property udes")
    assert picture_of_file.note == "colour primaries 9, transfer function 16"
    result, edited = edit_file(data)
    assert list(iso_media.properties(result, b"clli")) == [light.content]
    assert list(iso_media.properties(result, b"udes")) == []
    assert len(items_of(result).kinds) == 1
    assert check_written(result, edited, data) is None


def test_metadata_of_more_bytes_than_a_file_can_hold_are_not_copied(
    picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = items_of(deep_avif(picture, "10 bits"))
    text = Item(b"Exif", b"", bytes(4) + exif()[6:], (), b"cdsc")
    data = assembled(b"avif\0\0\0\0mif1", [shown.item(shown.primary), text, text])
    assert edit_file(data)[0].count(b"A. Painter") == 2
    monkeypatch.setattr("operators.pictures.formats.avif_items.MOST_METADATA", 2 * len(text.content) - 1)
    with pytest.raises(ValueError, match="metadata overlap"):
        edit_file(data)


def test_a_deep_avif_needs_a_package_and_one_of_8_bits_does_not(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert decode(FILES["AVIF"](picture), Limits()).mode == "RGB"
    with pytest.raises(Failure, match=r"mode_unsupported: AVIF files of 10 bits .*pip install 'cleanplate\[avif\]'"):
        decode(deep_avif(picture, "10 bits"), Limits())


def test_several_pictures_more_bits_and_wide_colours_are_named(picture: Image.Image) -> None:
    several = io.BytesIO()
    two = pillow_heif.from_pillow(picture)
    two.add_from_pillow(picture)
    two.save(several)
    deep_lost = deep_avif(picture, "10 bits").replace(b"colrnclx", b"freenclx")
    for data, message in (
        (several.getvalue(), "multi_page: 2 pictures"),
        (deep_lost, "mode_unsupported: AVIF, colours that only its stream describes"),
        (imagecodecs.jpegxl_encode(np.zeros((64, 64, 3), np.uint16), lossless=True), "mode_unsupported: JPEG XL, 16 bits"),
        (by_pillow(picture.convert("I;16"), "JPEG2000"), "mode_unsupported: JPEG 2000, components"),
    ):
        with pytest.raises(Failure, match=message):
            decode(data, Limits())


def test_a_jpeg_xl_made_of_a_jpeg_changes_only_in_the_blocks_of_the_edit(picture: Image.Image) -> None:
    jpeg = by_pillow(picture, "JPEG", quality=88, exif=exif())
    data = bytes(imagecodecs.jpegxl_encode_jpeg(jpeg))
    result, edited = edit_file(data)
    inner = jpeg_xl.jpeg_of(result)
    before, after = (np.asarray(Image.open(io.BytesIO(file))).astype(int) for file in (jpeg, inner))
    assert np.array_equal(before[96:], after[96:])
    assert np.abs(after[36:76, 36:92] - edited.stored[36:76, 36:92]).mean() < 4
    assert b"A. Painter" in inner
    assert len(result) < len(inner)


def test_boxes_beside_the_stream_are_kept(picture: Image.Image) -> None:
    stream = FILES["JPEG XL"](picture)
    boxes = [(b"Exif", b"\0\0\0\0" + exif()[6:]), (b"jxlp", b"\0\0\0\0" + stream[:99]), (b"jxlp", b"\x80\0\0\1" + stream[99:])]
    boxes.append((b"xml ", XMP))
    head = jpeg_xl.CONTAINER + struct.pack(">I4s4sI4s", 20, b"ftyp", b"jxl ", 0, b"jxl ")
    data = head + b"".join(struct.pack(">I4s", 8 + len(content), name) + content for name, content in boxes)
    result, _ = edit_file(data)
    assert result.startswith(head + struct.pack(">I4s", 8 + len(boxes[0][1]), b"Exif") + boxes[0][1])
    assert result.endswith(XMP)
    jp2 = by_pillow(picture, "JPEG2000", comment="a note")
    note = struct.pack(">I4s", 8 + len(XMP), b"xml ") + XMP
    result, _ = edit_file(jp2 + note)
    assert result.endswith(note)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_file_fails_with_a_code(name: str, share: float, picture: Image.Image) -> None:
    data = FILES[name](picture)
    try:
        decode(data[: int(share * len(data))], Limits())
    except Failure as failure:
        assert failure.code in ("truncated", "corrupt", "mode_unsupported")
        assert failure.code == "truncated" or "JPEG XL" not in name or share == 0.1


@pytest.mark.parametrize(("package", "name"), [("pillow_heif", "HEIC"), ("imagecodecs", "JPEG XL")])
def test_without_its_package_a_format_is_named_with_what_to_install(
    package: str, name: str, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = FILES[name](picture)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Failure, match=f"mode_unsupported: {name} files need .*pip install 'cleanplate"):
        decode(data, Limits())


def test_a_size_that_the_stream_contradicts_costs_no_memory(picture: Image.Image) -> None:
    data = bytearray(FILES["JPEG 2000"](picture))
    place = data.index(b"ihdr") + 4
    data[place] = 88
    with pytest.raises(Failure, match=r"corrupt: .* pixels by its header, .* by its stream"):
        decode(bytes(data), Limits())


def test_what_an_encoder_refuses_is_no_unexpected_error(picture: Image.Image, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(imagecodecs.jpegxl_encode_jpeg(by_pillow(picture, "JPEG")))
    done = decode(data, Limits()).edited([Edit(8, 8, np.full((8, 8, 3), 9, np.uint8), np.ones((8, 8), np.float32))])

    def refuse(*_: object, **__: object) -> bytes:
        raise imagecodecs.JpegxlError("JxlEncoderAddJPEGFrame", "error")

    monkeypatch.setattr(imagecodecs, "jpegxl_encode_jpeg", refuse)
    with pytest.raises(ValueError, match="JxlEncoderAddJPEGFrame"):
        encode(done, data)


@pytest.mark.parametrize("quality", [30, 1])
def test_what_coding_explains_is_the_same_for_10_bits_as_for_8(
    quality: int, picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operators.pictures.formats.iso_media.HEIC_QUALITY", quality)
    found = []
    for data in (heic(picture), deep_heic(picture, "10 bits")):
        result, edited = edit_file(data)
        found.append(check_written(result, edited, data) is None)
    assert found == [quality == 30] * 2


@pytest.mark.parametrize(
    ("tile", "reversible", "levels"), [((64, 48), False, 5), ((56, 48), False, 3), ((56, 48), True, 5), ((63, 48), False, 0)]
)
def test_a_narrow_last_tile_of_a_jpeg_2000_is_halved_as_often_as_it_can_be(
    tile: tuple[int, int], reversible: bool, levels: int
) -> None:
    assert jpeg2000.levels_of(jpeg2000.Coding(reversible, 5, True, tile), 64, 48) == levels


def test_openjpeg_survives_a_narrow_last_tile() -> None:
    # OpenJPEG would end this process, so the picture is written in another one.
    script = """
import io
from PIL import Image
from operators.pictures.formats.jpeg2000 import Coding, levels_of
levels = levels_of(Coding(False, 5, True, (56, 48)), 64, 48)
Image.new("RGB", (64, 48), "red").save(
    io.BytesIO(), "JPEG2000", irreversible=True, num_resolutions=levels + 1, tile_size=(56, 48)
)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
