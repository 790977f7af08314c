"""Every shipped upscaler keeps the promises of the interface."""

import numpy as np
import pytest

from operators.upscalers.catalogue import UPSCALERS, find_upscaler

EVERY = [shipped for scales in UPSCALERS.values() for shipped in scales]


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).random((19, 33, 3)).astype(np.float32)


@pytest.mark.parametrize("shipped", EVERY, ids=lambda shipped: shipped.alias)
def test_a_picture_comes_out_at_its_scale_within_range_and_the_same_every_time(shipped, picture):
    upscale = shipped.opened()
    result = upscale(picture)
    assert (result.shape, result.dtype) == ((19 * shipped.scale, 33 * shipped.scale, 3), np.float32)
    assert result.min() >= 0
    assert result.max() <= 1
    assert np.array_equal(upscale(picture), result)


@pytest.mark.parametrize("shipped", EVERY, ids=lambda shipped: shipped.alias)
def test_the_result_shows_the_picture_where_the_picture_was(shipped, photo):
    small = photo[100:132, 200:248].astype(np.float32) / 255
    result = shipped.opened()(small)
    cells = result.reshape(32, shipped.scale, 48, shipped.scale, 3).mean(axis=(1, 3))
    shifted = np.abs(cells[2:-2, 2:-2] - np.roll(small, 1, axis=1)[2:-2, 2:-2]).mean()
    assert np.abs(cells[2:-2, 2:-2] - small[2:-2, 2:-2]).mean() < 0.75 * shifted


def test_the_identity_names_licence_and_checksums():
    identity = find_upscaler("animevideov3", 4).identity()
    assert identity["licence"] == "BSD-3-Clause"
    assert {len(checksum) for checksum in identity["sha256"].values()} == {64}
