"""Conversion between a file's space and sRGB: formulas, profiles both ways, broken profiles."""

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageCms

from operators.pictures.codec import Limits, decode, encode
from operators.pictures.colour import Space, black_generation, profile_to_apply
from operators.pictures.picture import Edit

check = settings(deadline=None, max_examples=40)
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
CMYK_PROFILES = [Path("/usr/share/color/icc/ghostscript/default_cmyk.icc")]
"""Debian package libgs-common."""
colours = arrays(np.uint8, (5, 7, 3))


def icc(colour_space: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A monitor profile of version 2 (ICC.1:2001-04) made of the given tags."""
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += struct.pack(">4sII", name, start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    white = struct.pack(">3i", 63190, 65536, 54061)
    header = struct.pack(">I4sI4s4s4s", start + len(body), bytes(4), 0x02100000, b"mntr", colour_space, b"XYZ ")
    header += struct.pack(">6H4s", 2020, 1, 1, 0, 0, 0, b"acsp") + bytes(28) + white
    return header.ljust(128, b"\0") + table + body


def curve(gamma: float) -> bytes:
    return struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256))


def point(x: float, y: float, z: float) -> bytes:
    return struct.pack(">4sI3i", b"XYZ ", 0, *(round(value * 65536) for value in (x, y, z)))


WHITE = point(0.9642, 1, 0.8249)
ADOBE_RED, ADOBE_GREEN, ADOBE_BLUE = (0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446)
WIDE = icc(
    b"RGB ",
    {b"wtpt": WHITE, b"rXYZ": point(*ADOBE_RED), b"gXYZ": point(*ADOBE_GREEN), b"bXYZ": point(*ADOBE_BLUE)}
    | {name: curve(2.2) for name in (b"rTRC", b"gTRC", b"bTRC")},
)
GREY = icc(b"GRAY", {b"wtpt": WHITE, b"kTRC": curve(1.8)})
"""The grey scale of old Macintoshes."""
SRGB_COLUMNS = np.array([[0.4361, 0.2225, 0.0139], [0.3851, 0.7169, 0.0971], [0.1431, 0.0606, 0.7142]]).T
WIDE_COLUMNS = np.array([ADOBE_RED, ADOBE_GREEN, ADOBE_BLUE]).T


def srgb_of_light(light):
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


# --- without a profile


@check
@given(colours)
def test_rgb_of_eight_bits_is_seen_as_it_is(samples):
    assert np.array_equal(Space("rgb").to_srgb(samples), samples)
    assert np.array_equal(Space("rgb").from_srgb(samples, samples), samples)


@check
@given(colours, st.sampled_from([1, 3, 15, 65535]))
def test_deeper_and_shallower_samples_are_scaled_both_ways(fill, peak):
    space = Space("rgb", peak)
    stored = space.from_srgb(fill, fill)
    assert np.allclose(stored, fill.astype(float) * peak / 255, atol=peak * 1e-6)
    samples = np.rint(stored).astype(np.uint16 if peak > 255 else np.uint8)
    assert np.array_equal(space.to_srgb(samples), np.rint(samples.astype(float) * 255 / peak))


def test_grey_is_the_luma_of_a_fill_and_is_shown_thrice():
    fill = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert np.allclose(Space("grey").from_srgb(fill, fill)[0, :, 0], [76.245, 149.685, 29.07])
    assert Space("grey").to_srgb(np.array([[[7, 1]]], np.uint8)).tolist() == [[[7, 7, 7]]]


def test_white_is_zero_where_a_file_says_so():
    space = Space("grey", 15, inverted=True)
    assert space.to_srgb(np.array([[[0], [15], [5]]], np.uint8))[0, :, 0].tolist() == [255, 0, 170]
    assert space.from_srgb(np.full((1, 1, 3), 255, np.uint8), np.zeros((1, 1, 1), np.uint8)).tolist() == [[[0]]]


@check
@given(colours, st.floats(0, 1), st.booleans())
def test_inks_without_a_profile_are_their_documented_formula(fill, black, inverted):
    space = Space("cmyk", black=black, inverted=inverted)
    inks = space.from_srgb(fill, fill) / 255
    inks = 1 - inks if inverted else inks
    rgb = fill / 255
    assert np.allclose(inks[:, :, 3], black * (1 - rgb.max(axis=2)), atol=1e-4)
    assert np.allclose((1 - inks[:, :, :3]) * (1 - inks[:, :, 3:]), rgb, atol=1e-4)
    assert ((inks >= -1e-6) & (inks <= 1 + 1e-6)).all()


@check
@given(colours, st.floats(0, 1))
def test_a_fill_comes_back_from_ink_within_the_rounding_of_its_samples(fill, black):
    space = Space("cmyk", 65535, black=black)
    assert np.abs(space.to_srgb(np.rint(space.from_srgb(fill, fill)).astype(np.uint16)).astype(int) - fill).max() <= 2


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_black_is_printed_as_the_picture_prints_it(photo, share):
    inks = np.rint(Space("cmyk", black=share).from_srgb(photo, photo)).astype(np.uint8)
    assert black_generation(inks) == pytest.approx(share, abs=0.02)


def test_a_picture_without_ink_prints_grey_in_black():
    assert black_generation(np.zeros((4, 4, 4), np.uint8)) == 1.0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_half_of_a_fill_that_is_like_the_picture_does_not_show(photo, share):
    space = Space("cmyk", black=share)
    stored = np.rint(space.from_srgb(photo, photo)).astype(np.uint8)
    same = space.from_srgb(space.to_srgb(stored), stored)
    seen = space.to_srgb(np.rint((stored + same) / 2).astype(np.uint8))
    assert np.abs(seen.astype(int) - space.to_srgb(stored)).max() <= 2


# --- profiles


def test_srgb_is_not_applied_because_it_moves_no_colour():
    assert profile_to_apply(SRGB, "rgb") == (None, None)
    assert profile_to_apply(None, "rgb") == (None, None)
    assert profile_to_apply(b"", "rgb") == (None, None)


def test_another_space_is_applied():
    assert profile_to_apply(WIDE, "rgb") == (WIDE, None)
    assert profile_to_apply(GREY, "grey") == (GREY, None)


@pytest.mark.parametrize(
    ("profile", "model"), [(b"nonsense", "rgb"), (WIDE[:200], "rgb"), (WIDE, "grey"), (GREY, "cmyk"), (SRGB, "cmyk")]
)
def test_a_broken_or_unfit_profile_is_ignored_and_noted(profile, model):
    applied, note = profile_to_apply(profile, model)
    assert applied is None
    assert "cannot be applied" in note


def test_operators_see_the_colours_of_a_profile_in_srgb():
    samples = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    light = (samples / 255) ** 2.2 @ WIDE_COLUMNS.T @ np.linalg.inv(SRGB_COLUMNS).T
    inside = ((light > 0.002) & (light < 0.998)).all(axis=2)
    rendered = Space("rgb", profile=WIDE).to_srgb(samples)
    assert inside.sum() > 300
    assert np.abs(rendered[inside] - srgb_of_light(light)[inside]).max() <= 2


def test_sixteen_bits_are_seen_through_their_profile_too():
    samples = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    deep = samples.astype(np.uint16) * 257
    assert np.array_equal(Space("rgb", 65535, WIDE).to_srgb(deep), Space("rgb", profile=WIDE).to_srgb(samples))


def test_grey_of_another_gamma_is_seen_at_the_right_brightness():
    ramp = np.arange(256, dtype=np.uint8)[None, :, None]
    rendered = Space("grey", profile=GREY).to_srgb(ramp)
    assert np.abs(rendered[0, :, 0] - srgb_of_light((np.arange(256) / 255) ** 1.8)).max() <= 1
    assert (rendered[:, :, 0] == rendered[:, :, 2]).all()


@check
@given(colours)
def test_a_fill_comes_back_from_a_wider_space(fill):
    space = Space("rgb", profile=WIDE)
    stored = np.rint(space.from_srgb(fill, fill)).astype(np.uint8)
    assert np.abs(space.to_srgb(stored).astype(int) - fill).mean() <= 2
    # The wide space moves only the green primary, so red and blue may be stored as they are.
    assert np.abs(stored.astype(int) - fill).max() > 0 or (fill[:, :, 1] - fill.min(axis=2) < 40).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_an_edit_of_a_file_with_a_wide_profile_has_the_colour_that_was_meant(kind, photo, saved):
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    data = saved(photo, kind, icc_profile=WIDE, **options)
    picture = decode(data, Limits())
    assert picture.space.profile == WIDE
    fill = np.full((64, 64, 3), (200, 120, 90), np.uint8)
    result = encode(picture.edited([Edit(64, 64, fill, np.ones((64, 64), np.float32))]), data)
    file = Image.open(io.BytesIO(result))
    wide, srgb = ImageCms.ImageCmsProfile(io.BytesIO(WIDE)), ImageCms.createProfile("sRGB")
    seen = ImageCms.profileToProfile(file, wide, srgb, outputMode="RGB")
    assert np.abs(np.asarray(seen)[72:120, 72:120].astype(int) - fill[0, 0]).max() <= 4
    assert file.info["icc_profile"] == WIDE
    if kind != "JPEG":
        outside = np.ones(photo.shape[:2], bool)
        outside[64:128, 64:128] = False
        assert np.array_equal(np.asarray(file)[outside], photo[outside])


def test_a_broken_profile_stays_in_the_file_and_is_noted(photo, saved):
    data = saved(photo, "PNG", icc_profile=b"no profile at all")
    picture = decode(data, Limits())
    assert "cannot be applied" in picture.note
    edit = Edit(0, 0, np.zeros((9, 9, 3), np.uint8), np.ones((9, 9), np.float32))
    file = Image.open(io.BytesIO(encode(picture.edited([edit]), data)))
    assert file.info["icc_profile"] == b"no profile at all"


@pytest.mark.parametrize("path", CMYK_PROFILES, ids=lambda path: path.name)
def test_inks_follow_a_printers_profile(path, photo):
    if not path.exists():
        pytest.skip("needs Debian's libgs-common: run `make system-packages` as root")
    profile = path.read_bytes()
    assert profile_to_apply(profile, "cmyk") == (profile, None)
    space = Space("cmyk", profile=profile)
    stored = np.rint(space.from_srgb(photo, photo)).astype(np.uint8)
    back = space.to_srgb(stored).astype(int)
    again = space.to_srgb(np.rint(space.from_srgb(back.astype(np.uint8), stored)).astype(np.uint8))
    assert stored.shape == (512, 512, 4)
    assert np.abs(back - photo).mean() < 8
    assert np.abs(again - back).mean() < 2
