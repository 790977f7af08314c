import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flows.audit.boundaries.crossing import compare_cells, pooled
from flows.audit.boundaries.latent import (
    autoencoder,
    latent_mask,
    latent_round_trip,
    max_pooled,
    mean_thresholded,
    nearest,
    touched,
)

strokes = arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@pytest.fixture
def line():
    """A stroke two pixels wide between the points that nearest sampling looks at."""
    mask = np.zeros((64, 64), bool)
    mask[:, 3:5] = True
    return mask


def lost(sampler, mask):
    return compare_cells("here", touched(mask), sampler(mask)).cells_lost


def test_nearest_sampling_loses_a_thin_stroke_whole_and_max_pooling_keeps_it(line):
    assert lost(nearest, line) == 1
    assert lost(mean_thresholded, line) == 1
    assert lost(max_pooled, line) == 0
    assert max_pooled(line).sum() == 8


def test_a_stroke_as_wide_as_a_cell_survives_every_sampling():
    mask = np.zeros((32, 32), bool)
    mask[8:16] = True
    assert [lost(sampler, mask) for sampler in (nearest, mean_thresholded, max_pooled)] == [0, 0, 0]


@settings(deadline=None)
@given(strokes)
def test_max_pooling_masks_exactly_the_cells_that_a_stroke_touches(mask):
    cells = max_pooled(mask)
    assert (cells == touched(mask)).all()
    for row, column in np.ndindex(cells.shape):
        assert cells[row, column] == mask[8 * row : 8 * row + 8, 8 * column : 8 * column + 8].any()


@settings(deadline=None)
@given(strokes)
def test_nearest_sampling_is_what_torch_does(mask):
    from torch import from_numpy
    from torch.nn.functional import interpolate

    cells = nearest(mask)
    whole = np.zeros((8 * cells.shape[0], 8 * cells.shape[1]), np.float32)
    whole[: mask.shape[0], : mask.shape[1]] = mask
    assert np.array_equal(interpolate(from_numpy(whole[None, None]), size=cells.shape)[0, 0].numpy() > 0, cells)


def test_real_strokes_are_lost_by_nearest_sampling_only(sample):
    found = {name: pooled(c for c in latent_mask(sample) if c.boundary.endswith(name)) for name in ("nearest", "max-pooled")}
    assert found["max-pooled"].cells_lost == 0
    assert found["nearest"].cells_lost > 0.1


def test_without_an_autoencoder_nothing_crosses(sample):
    assert list(latent_round_trip(sample)) == []


def test_an_invertible_packing_loses_nothing(with_models):
    from torch import from_numpy
    from torch.nn.functional import pixel_shuffle, pixel_unshuffle

    def packed(pixels):
        down, across = -pixels.shape[0] % 8, -pixels.shape[1] % 8
        whole = np.pad(pixels, ((0, down), (0, across), (0, 0)))
        latents = pixel_unshuffle(from_numpy(whole.astype(np.float32).transpose(2, 0, 1)[None]) / 255, 8)
        back = pixel_shuffle(latents, 8)[0].numpy().transpose(1, 2, 0) * 255
        return np.rint(back).astype(np.uint8)[: pixels.shape[0], : pixels.shape[1]]

    crossing = pooled(latent_round_trip(with_models(autoencoder=packed)))
    assert crossing.psnr == math.inf
    assert crossing.band_energy == (1, 1, 1, 1)


def test_a_model_folders_autoencoder_is_crossed(with_models, tiny_model):
    round_trip = autoencoder(tiny_model)
    odd = np.random.default_rng(0).integers(0, 256, (37, 51, 3), np.uint8)
    back = round_trip(odd)
    assert (back.shape, back.dtype) == (odd.shape, np.uint8)
    crossing = pooled(latent_round_trip(with_models(autoencoder=round_trip)))
    assert crossing.psnr < 20
