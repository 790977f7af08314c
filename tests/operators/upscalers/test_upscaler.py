from dataclasses import replace

import numpy as np
import pytest

from operators.rows.failure import RunError
from operators.upscalers.catalogue import UPSCALERS, upscaler, weight_files

EVERY = [one for scales in UPSCALERS.values() for one in scales]


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).random((19, 33, 3)).astype(np.float32)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.alias)
def test_a_picture_comes_out_at_its_scale_within_range_and_the_same_every_time(one, picture):
    upscale = one.opened()
    result = upscale(picture)
    assert (result.shape, result.dtype) == ((19 * one.scale, 33 * one.scale, 3), np.float32)
    assert result.min() >= 0
    assert result.max() <= 1
    assert np.array_equal(upscale(picture), result)


@pytest.mark.parametrize("one", EVERY, ids=lambda one: one.alias)
def test_the_result_shows_the_picture_where_the_picture_was(one, photo):
    small = photo[100:132, 200:248].astype(np.float32) / 255
    result = one.opened()(small)
    cells = result.reshape(32, one.scale, 48, one.scale, 3).mean(axis=(1, 3))
    shifted = np.abs(cells[2:-2, 2:-2] - np.roll(small, 1, axis=1)[2:-2, 2:-2]).mean()
    assert np.abs(cells[2:-2, 2:-2] - small[2:-2, 2:-2]).mean() < 0.75 * shifted


@pytest.mark.parametrize(("factor", "scale"), [(1.2, 2), (2, 2), (2.1, 3), (4, 4), (9, 4)])
def test_the_smallest_scale_that_reaches_the_factor_is_chosen(factor, scale):
    assert upscaler("animevideov3", factor).scale == scale


def test_a_name_that_is_none_is_refused_with_the_names_there_are():
    with pytest.raises(RunError, match="option_invalid: no upscaler 'sharp'; there are lanczos, animevideov3, x4plus"):
        upscaler("sharp", 2)


def test_weights_of_another_checksum_are_refused():
    changed = replace(EVERY[-1], sha256={**EVERY[-1].sha256, ".param": "0" * 64})
    with pytest.raises(RunError, match=r"model_changed: .*REALESRGAN_X4PLUS_UP4X.param"):
        weight_files(changed)


def test_the_identity_names_licence_and_checksums():
    identity = upscaler("animevideov3", 4).identity()
    assert identity["licence"] == "BSD-3-Clause"
    assert {len(checksum) for checksum in identity["sha256"].values()} == {64}
