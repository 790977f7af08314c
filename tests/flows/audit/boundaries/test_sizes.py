import math

import numpy as np
import pytest

from flows.audit.boundaries.crossing import compare_pictures
from flows.audit.boundaries.sizes import MULTIPLE, SIZES, model_sizes
from operators.generators.canvas import Canvas


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_of_the_models_own_size_loses_nothing(size):
    picture = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    canvas = Canvas.of(size, size, size, MULTIPLE)
    assert compare_pictures("here", picture, canvas.returned(canvas.picture(picture))).psnr == math.inf


def test_every_crop_is_shown_at_every_size_and_smaller_ones_lose_more(sample):
    crossings = list(model_sizes(sample))
    assert len(crossings) == len(SIZES) * len(sample.softened)
    first = crossings[: len(SIZES)]
    assert [crossing.boundary for crossing in first] == [f"crop to {size} px and back" for size in SIZES]
    finest = [crossing.band_energy[0] for crossing in first]
    assert finest[0] < 0.1 < finest[-1]
    assert finest == sorted(finest)
