"""Pictures and edits: the upright view, blending in the source's depth, independence of order."""

import dataclasses
import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from operators.pictures.codec import Limits, decode
from operators.pictures.colour import Space
from operators.pictures.picture import BAND, TURNS, Edit, Picture, turned, upright_size

check = settings(deadline=None, max_examples=40)
LIMITS = Limits()
ORIENTATIONS = sorted(TURNS)


def exif_of(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


@pytest.fixture(scope="module")
def small(photo):
    return np.ascontiguousarray(photo[100:164, 180:276])


# --- orientation


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_upright_is_what_a_viewer_shows(small, saved, orientation):
    data = saved(small, "PNG", exif=exif_of(orientation))
    rendered = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    picture = decode(data, LIMITS)
    assert picture.orientation == orientation
    assert np.array_equal(picture.upright, rendered)
    assert np.array_equal(picture.rgb(5, 7, 20, 30), rendered[7:37, 5:25])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_writing_to_the_upright_view_writes_the_stored_pixels(orientation):
    stored = np.zeros((4, 6, 1), np.uint8)
    upright = turned(stored, orientation)
    assert np.shares_memory(upright, stored)
    upright[0, 1] = 9
    rendered = ImageOps.exif_transpose(reopened_with(stored, orientation))
    assert np.asarray(rendered)[0, 1] == 9
    assert np.count_nonzero(stored) == 1


def reopened_with(stored, orientation):
    buffer = io.BytesIO()
    Image.fromarray(stored[:, :, 0]).save(buffer, "PNG", exif=exif_of(orientation))
    return Image.open(buffer)


@check
@given(st.sampled_from(ORIENTATIONS), st.integers(1, 9), st.integers(1, 9))
def test_turning_loses_no_pixel(orientation, width, height):
    stored = np.arange(width * height, dtype=np.uint8).reshape(height, width, 1)
    upright = turned(stored, orientation)
    assert sorted(upright.ravel().tolist()) == list(range(width * height))
    assert upright.shape[:2] == ((width, height) if orientation >= 5 else (height, width))


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


SPACES = {
    "bilevel": (Space("grey", 1), 1),
    "grey of 4 bits": (Space("grey", 15), 1),
    "grey": (Space("grey"), 1),
    "grey and alpha": (Space("grey", alpha=True), 2),
    "RGB": (Space("rgb"), 3),
    "RGBA": (Space("rgb", alpha=True), 4),
    "CMYK": (Space("cmyk", black=0.5), 4),
    "inverted CMYK": (Space("cmyk", inverted=True), 4),
    "white is zero, 16 bits": (Space("grey", 65535, inverted=True), 1),
    "RGB, 16 bits": (Space("rgb", 65535), 3),
    "RGBA, 16 bits": (Space("rgb", 65535, alpha=True), 4),
    "premultiplied RGBA, 16 bits": (Space("rgb", 65535, premultiplied=True, alpha=True), 4),
    "CMYK, 16 bits": (Space("cmyk", 65535), 4),
}
KINDS = list(SPACES)


def noise_picture(kind, orientation=1, size=(16, 24)):
    space, channels = SPACES[kind]
    size = size[::-1] if orientation >= 5 else size
    pixels = np.random.default_rng(3).integers(0, space.peak + 1, (*size, channels))
    if space.premultiplied:
        pixels[:, :, :3] = pixels[:, :, :3] * pixels[:, :, 3:] // space.peak
    stored = pixels.astype(np.uint16 if space.peak > 255 else np.uint8)
    return Picture("PNG", "", stored, space, orientation, upright_size(size[1], size[0], orientation))


@check
@given(edit_lists(), st.sampled_from(KINDS), st.sampled_from(ORIENTATIONS))
def test_nothing_outside_the_weights_changes(edits, mode, orientation):
    picture = noise_picture(mode, orientation)
    untouched = np.ones(picture.upright.shape[:2], bool)
    for edit in edits:
        untouched[edit.y : edit.y + edit.fill.shape[0], edit.x : edit.x + edit.fill.shape[1]] &= edit.weight == 0
    result = turned(picture.edited(edits).stored, orientation)
    assert np.array_equal(result[untouched], picture.upright[untouched])


@check
@given(edit_lists(), st.sampled_from(KINDS), st.randoms(use_true_random=False))
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
@given(edit_lists(), st.sampled_from(["grey and alpha", "RGBA", "RGBA, 16 bits", "premultiplied RGBA, 16 bits"]))
def test_alpha_is_kept(edits, mode):
    picture = noise_picture(mode)
    assert np.array_equal(picture.edited(edits).stored[:, :, -1], picture.stored[:, :, -1])


@check
@given(edit_lists(), st.sampled_from(KINDS))
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


def test_grey_is_shown_as_rgb_and_the_colours_do_not_depend_on_alpha():
    pixels = np.array([[[7, 1], [9, 2]]], np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels, "LA").save(buffer, "PNG")
    assert decode(buffer.getvalue(), LIMITS).colours().tolist() == [[[7, 7, 7], [9, 9, 9]]]


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_blended_alike_wherever_the_bands_begin(kind, orientation):
    picture = noise_picture(kind, orientation, (2 * BAND + 20, 30))
    height, width = picture.upright.shape[:2]
    noise = np.random.default_rng(1)
    fill = noise.integers(0, 256, (height, width, 3), dtype=np.uint8)
    weight = noise.choice([0, 0.25, 1], (height, width)).astype(np.float32)
    whole = picture.edited([Edit(0, 0, fill, weight)])
    expected = picture.upright.copy()
    colours = picture.space.colours
    target = picture.space.from_srgb(fill, picture.upright)
    blended = expected[:, :, :colours] * (1 - weight[:, :, None]) + weight[:, :, None] * target
    expected[:, :, :colours] = np.clip(np.rint(blended), 0, picture.space.peak)
    expected[weight == 0] = picture.upright[weight == 0]
    assert np.abs(turned(whole.stored, orientation).astype(int) - expected).max() <= 1
    assert (turned(whole.stored, orientation) != expected).mean() < 1e-3
    assert np.array_equal(whole.changed, (whole.stored != picture.stored).any(axis=2))


def test_sixteen_bits_are_mixed_in_sixteen_bits():
    stored = np.full((1, 2, 3), 1000, np.uint16)
    picture = Picture("PNG", "RGB;16", stored, Space("rgb", 65535), 1, (2, 1))
    edit = Edit(0, 0, np.full((1, 1, 3), 200, np.uint8), np.full((1, 1), 0.5, np.float32))
    assert picture.edited([edit]).stored[0, :, 0].tolist() == [(1000 + 200 * 257) // 2, 1000]


def test_one_bit_takes_the_nearer_of_black_and_white():
    picture = Picture("PNG", "1", np.array([[[0], [1], [0], [1]]], np.uint8), Space("grey", 1), 1, (4, 1))
    fill = np.repeat(np.array([[[120], [120], [140], [255]]], np.uint8), 3, axis=2)
    assert picture.edited([Edit(0, 0, fill, np.ones((1, 4), np.float32))]).stored.ravel().tolist() == [0, 0, 1, 1]


def test_premultiplied_colours_follow_their_alpha():
    stored = np.array([[[0, 0, 0, 65535], [0, 0, 0, 32768], [0, 0, 0, 0]]], np.uint16)
    picture = Picture("TIFF", "RGBA;16", stored, Space("rgb", 65535, premultiplied=True), 1, (3, 1))
    result = picture.edited([Edit(0, 0, np.full((1, 3, 3), 255, np.uint8), np.ones((1, 3), np.float32))])
    assert result.stored[0, :, 0].tolist() == [65535, 32768, 0]
    assert Picture("TIFF", "", result.stored, picture.space, 1, (3, 1)).rgb()[0, :, 0].tolist() == [255, 255, 0]


def test_a_preview_shows_the_edit_and_keeps_the_shape_on_black():
    picture = Picture("PNG", "RGB", np.full((100, 200, 3), 90, np.uint8), Space("rgb"), 6, (100, 200))
    edited = picture.edited([Edit(0, 0, np.full((200, 50, 3), 250, np.uint8), np.ones((200, 50), np.float32))])
    exact = edited.preview(40, 20)
    assert exact[0, :, 0].tolist() == [90] * 40
    assert exact[15, :, 0].tolist() == [250] * 40
    boxed = edited.preview(40, 30)
    assert (boxed[[0, 4, 25, 29]] == 0).all()
    assert np.array_equal(boxed[5:25], exact)


def test_edits_in_opposite_corners_cost_no_floats_of_the_whole_picture():
    picture = Picture("PNG", "RGB", np.zeros((3000, 4000, 3), np.uint8), Space("rgb"), 1, (4000, 3000))
    fill, weight = np.full((90, 300, 3), 200, np.uint8), np.ones((90, 300), np.float32)
    tracemalloc.start()
    try:
        picture.edited([Edit(0, 0, fill, weight), Edit(3700, 2910, fill, weight)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    copy_and_marks = picture.stored.nbytes + 3000 * 4000
    assert peak < copy_and_marks + 16_000_000


# --- transparent pictures


def clear_picture(kind="RGBA", colour=(40, 80, 120), size=(8, 12)):
    """A picture without any visible pixel, its hidden colour as given."""
    space, channels = SPACES[kind]
    stored = np.zeros((*size, channels), np.uint16 if space.peak > 255 else np.uint8)
    if not space.premultiplied:
        stored[:, :, : space.colours] = np.array(colour[: space.colours]) * (space.peak // 255)
    return Picture("PNG", "", stored, space, 1, size[::-1])


def dotted(kind, colour=(200, 10, 10), at=(slice(2, 5), slice(3, 7))):
    """A clear picture with an opaque spot."""
    picture = clear_picture(kind)
    fill = np.full((*picture.stored.shape[:2], 3), colour, np.uint8)
    weight = np.zeros(fill.shape[:2], np.float32)
    weight[at] = 1
    return dataclasses.replace(
        picture, stored=picture.edited([Edit(0, 0, fill, weight, np.full(weight.shape, 255, np.uint8))]).stored
    )


TRANSPARENT = ["grey and alpha", "RGBA", "RGBA, 16 bits", "premultiplied RGBA, 16 bits"]


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_an_edit_with_alpha_zero_brings_back_the_clear_picture_with_its_hidden_colours(kind):
    picture = dotted(kind)
    height, width = picture.stored.shape[:2]
    weight = np.zeros((height, width), np.float32)
    weight[1:6, 2:8] = 1
    fill = np.full((height, width, 3), 255, np.uint8)
    edited = picture.edited([Edit(0, 0, fill, weight, np.zeros((height, width), np.uint8))])
    assert np.array_equal(edited.stored, clear_picture(kind).stored)
    assert np.array_equal(edited.changed, (edited.stored != picture.stored).any(axis=2))


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_half_a_weight_leaves_half_the_alpha_and_the_colour_of_what_is_left(kind):
    picture = dotted(kind)
    space, spot = picture.space, picture.stored[3, 4].astype(float)
    edit = Edit(3, 3, np.full((1, 1, 3), 255, np.uint8), np.full((1, 1), 0.5, np.float32), np.zeros((1, 1), np.uint8))
    result = picture.edited([edit]).stored[3, 3].astype(float)
    assert abs(result[-1] - spot[-1] / 2) <= 0.5
    expected = spot[: space.colours] * (0.5 if space.premultiplied else 1)
    assert np.abs(result[: space.colours] - expected).max() <= max(1, 0.001 * space.peak)


@check
@given(edit_lists(), st.sampled_from(TRANSPARENT))
def test_where_all_is_opaque_an_edit_with_alpha_is_an_edit_without(edits, kind):
    picture = noise_picture(kind)
    picture.stored[:, :, -1] = picture.space.peak
    opaque = [dataclasses.replace(edit, alpha=np.full(edit.weight.shape, 255, np.uint8)) for edit in edits]
    plain, layered = picture.edited(edits), picture.edited(opaque)
    assert np.abs(plain.stored.astype(int) - layered.stored).max() <= (1 if picture.space.peak == 255 else 2)
    assert (layered.stored[:, :, -1] == picture.space.peak).all()


def test_a_clear_pixel_that_stays_clear_keeps_its_hidden_colour():
    picture = noise_picture("RGBA")
    picture.stored[:, :, 3] = 0
    picture.stored[0, 0, 3] = 255
    fill = np.zeros((*picture.stored.shape[:2], 3), np.uint8)
    edit = Edit(0, 0, fill, np.ones(fill.shape[:2], np.float32), np.zeros(fill.shape[:2], np.uint8))
    edited = picture.edited([edit])
    assert np.argwhere(edited.changed).tolist() == [[0, 0]]


def test_with_a_key_clear_pixels_take_its_colour_and_no_other_pixel_does():
    stored = np.full((1, 4, 3), 9, np.uint8)
    stored[0, 0] = (255, 255, 255)
    picture = Picture("PNG", "RGB", stored, Space("rgb", key=(255, 255, 255)), 1, (4, 1))
    alpha = np.array([[0, 0, 255, 255]], np.uint8)
    result = picture.edited([Edit(0, 0, np.full((1, 4, 3), 255, np.uint8), np.ones((1, 4), np.float32), alpha)]).stored
    assert result[0].tolist() == [[255, 255, 255], [255, 255, 255], [255, 255, 254], [255, 255, 254]]


def test_a_transparent_picture_lies_on_a_ground_that_shows_it():
    white, black = dotted("RGBA", (255, 255, 255)), dotted("RGBA", (0, 0, 0))
    assert white.rgb()[0, 0].tolist() == [0, 0, 0]
    assert white.rgb()[3, 4].tolist() == [255, 255, 255]
    assert black.rgb()[0, 0].tolist() == [255, 255, 255]
    assert np.array_equal(white.transparency().alpha, white.stored[:, :, 3])
    assert white.transparency(3, 2, 4, 3) is None


@pytest.mark.parametrize("alpha", [0, 255])
def test_an_alpha_that_says_nothing_is_no_transparency(alpha):
    picture = noise_picture("RGBA")
    picture.stored[:, :, 3] = alpha
    assert picture.transparency() is None
    assert np.array_equal(picture.rgb(), picture.stored[:, :, :3])
    assert len(picture.views()) == 1


def test_the_sample_after_the_colours_is_alpha_only_where_the_space_says_so():
    picture = dataclasses.replace(noise_picture("RGBA"), space=Space("rgb"))
    assert picture.transparency() is None
