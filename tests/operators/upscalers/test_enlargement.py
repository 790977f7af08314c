"""Pictures of every layout are enlarged tile by tile, without seams."""

import numpy as np
import pytest

from operators.enlarge import assemble
from operators.upscalers import enlargement
from operators.upscalers.detail_guard import Guard
from operators.upscalers.enlargement import Enlargement, Routing

EVERYTHING, NOTHING = Routing(threshold=-1.0), Routing(threshold=float("inf"))


def enlarged(stored, size, routing=Routing(), inks=False):
    return assemble(Enlargement(stored, inks, size, routing))


@pytest.fixture(scope="module")
def small(photo):
    return np.ascontiguousarray(photo[0:96, 180:276])


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("channels", "inks"), [(1, False), (2, False), (3, False), (4, False), (4, True)])
@pytest.mark.parametrize("size", [(80, 64), (33, 27), (100, 80)])
def test_every_layout_keeps_its_type_and_channels(small, dtype, channels, inks, size):
    stored = np.dstack([small[:16, :20], small[:16, :20, :1]])[:, :, :channels].astype(dtype)
    result = enlarged(stored, size, EVERYTHING, inks)
    assert (result.shape, result.dtype) == ((size[1], size[0], channels), dtype)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(4, 4), (2, 2), (7, 3)])
def test_a_single_pixel_becomes_a_field_of_its_colour(channels, size):
    pixel = np.arange(10, 10 + 50 * channels, 50, dtype=np.uint8)[None, None]
    assert (enlarged(pixel, size) == pixel).all()


def test_sixteen_bits_hold_more_than_eight():
    ramp = np.broadcast_to(np.linspace(20_000, 21_000, 40), (24, 40)).astype(np.uint16)[:, :, None]
    result = enlarged(ramp, (160, 96), NOTHING)
    assert len(np.unique(result)) > 100
    assert abs(int(result.min()) - 20_000) < 30
    assert abs(int(result.max()) - 21_000) < 30


def test_flat_blocks_are_resampled_and_textured_ones_go_to_the_network(small):
    picture = np.full((96, 192, 3), 120, np.uint8)
    picture[:, 96:] = small
    made = Enlargement(picture, False, (768, 384), Routing())
    assert not made.routed[:, :5].any()
    assert made.routed[:, 7:].any()
    assert 0 < made.network_pixels() < Enlargement(picture, False, (768, 384), EVERYTHING).network_pixels()
    assert (assemble(made)[:, : 4 * 80] == 120).all()


def test_thresholds_at_both_ends_send_everything_or_nothing(small):
    assert Enlargement(small, False, (384, 384), EVERYTHING).routed.all()
    nothing = Enlargement(small, False, (384, 384), NOTHING)
    assert not nothing.routed.any()
    assert nothing.network_pixels() == 0


def test_lanczos_needs_no_network(small):
    made = Enlargement(small, False, (384, 384), Routing(model="lanczos", threshold=0.0))
    assert made.network_pixels() == 0
    assert assemble(made).shape == (384, 384, 3)


@pytest.mark.parametrize("size", [(384, 384), (317, 317)])
def test_tiles_join_as_if_there_were_none(small, monkeypatch, size):
    whole = enlarged(small, size, EVERYTHING).astype(int)
    monkeypatch.setattr(enlargement, "TILE", 32)
    tiled = enlarged(small, size, EVERYTHING).astype(int)
    assert np.abs(tiled - whole).mean() < 0.1
    assert np.quantile(np.abs(tiled - whole), 0.999) <= 3


def test_the_same_picture_twice_gives_the_same_bits(small):
    assert np.array_equal(enlarged(small, (384, 384)), enlarged(small, (384, 384)))


def test_colours_under_full_transparency_do_not_show_at_the_edges():
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[:, :, :3] = (255, 0, 0)
    picture[:, 16:] = (0, 0, 255, 0)
    picture[:, :16, 3] = 255
    result = enlarged(picture, (128, 128), EVERYTHING)
    visible = result[:, :, 3] > 0
    assert result[visible][:, 0].min() > 240
    assert result[visible][:, 2].max() < 15
    assert set(np.unique(result[:, :56, 3])) == {255}
    assert set(np.unique(result[:, 72:, 3])) == {0}


def test_inks_are_enlarged_as_the_picture_they_print():
    dark = np.zeros((24, 24, 4), np.uint8)
    dark[:, 12:, 3] = 200
    result = enlarged(dark, (96, 96), EVERYTHING, inks=True)
    assert (result[:, :, :3] < 6).all()
    assert np.abs(result[:, 60:, 3].astype(int) - 200).max() < 6
    assert result[:, :36, 3].max() < 6


def test_noise_is_taken_out_where_it_is_measured_and_only_there(small):
    rng = np.random.default_rng(0)
    flat = np.full((96, 96, 3), 128.0)
    noisy = np.clip(np.rint(flat + rng.normal(0, 6, flat.shape)), 0, 255).astype(np.uint8)
    made = Enlargement(noisy, False, (384, 384), Routing())
    assert made.noise > 2
    assert assemble(made).std() < 0.6 * noisy.std()
    assert Enlargement(flat.astype(np.uint8), False, (384, 384), Routing()).noise == 0


def test_the_guard_is_part_of_the_result(small):
    loose, tight = (
        Routing(threshold=-1.0, least_noise=99, guard=Guard(overshoot=overshoot, stroke_overshoot=0.0))
        for overshoot in (1e9, 0.0)
    )
    free, kept = (enlarged(small, (384, 384), routing) for routing in (loose, tight))
    cells = small.reshape(96, 96, 3)
    low, high = (np.kron(edge(cells), np.ones((4, 4, 1), int)) for edge in (_lowest, _highest))
    assert ((kept >= low - 1) & (kept <= high + 1)).all()
    assert not ((free >= low - 1) & (free <= high + 1)).all()


def _neighbours(picture):
    padded = np.pad(picture, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = picture.shape[:2]
    return np.stack([padded[y : y + height, x : x + width] for y in range(3) for x in range(3)])


def _lowest(picture):
    return _neighbours(picture).min(axis=0).astype(int)


def _highest(picture):
    return _neighbours(picture).max(axis=0).astype(int)
