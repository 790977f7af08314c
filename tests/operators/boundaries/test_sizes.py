import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.boundaries.crossing import of_pictures
from operators.boundaries.sizes import MULTIPLE, SIZES, model_size, model_sizes, resized


@settings(deadline=None)
@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from(SIZES))
def test_the_longer_side_is_the_models_and_both_are_whole_multiples(width, height, size):
    across, down = model_size(width, height, size)
    assert max(across, down) == size
    assert across % MULTIPLE == down % MULTIPLE == 0
    assert min(across, down) >= MULTIPLE


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_of_the_models_own_size_loses_nothing(size):
    picture = np.random.default_rng(0).integers(0, 256, (size // 2, size, 3), np.uint8)
    back = resized(resized(picture, *model_size(size, size // 2, size)), size, size // 2)
    assert of_pictures("here", picture, back).psnr == math.inf


def test_every_crop_is_shown_at_every_size_and_smaller_ones_lose_more(sample):
    crossings = list(model_sizes(sample))
    assert len(crossings) == len(SIZES) * len(sample.softened)
    first = crossings[: len(SIZES)]
    assert [crossing.boundary for crossing in first] == [f"crop to {size} px and back" for size in SIZES]
    finest = [crossing.band_energy[0] for crossing in first]
    assert finest[0] < 0.1 < finest[-1]
    assert finest == sorted(finest)
