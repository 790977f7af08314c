import math

import numpy as np
import pytest

from flows.audit.boundaries import BOUNDARIES
from flows.audit.boundaries.crossing import Crossing, compare_cells, compare_values
from flows.audit.contracts import BOUNDS, breaches, psnr_of


def test_every_boundary_that_is_crossed_has_its_bound_and_every_bound_says_why(sample):
    crossed = {crossing.boundary for boundary in BOUNDARIES for crossing in boundary(sample)}
    assert crossed <= set(BOUNDS)
    assert all(bound.why for bound in BOUNDS.values())


def test_an_identity_breaks_no_bound():
    picture = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    for boundary in BOUNDS:
        assert list(breaches(compare_values(boundary, picture, picture, 255))) == []


def test_what_was_not_measured_breaks_no_bound():
    assert [list(breaches(Crossing(boundary))) for boundary in BOUNDS] == [[] for _ in BOUNDS]


def test_half_a_level_is_allowed_and_a_whole_one_is_not():
    zero = np.zeros(4)
    assert list(breaches(compare_values("soft mask to bytes", zero, zero + 0.5, 255))) == []
    broken = list(breaches(compare_values("soft mask to bytes", zero, zero + 1, 255)))
    assert [str(breach) for breach in broken] == [
        "PSNR 48.1 dB, bound 54.2 dB",
        "largest error 1 levels, bound 0.501 levels",
    ]


def test_a_single_lost_cell_breaks_the_latent_masks_bound():
    before = np.ones(100, bool)
    after = before.copy()
    after[7] = False
    (breach,) = breaches(compare_cells("strokes to latent cells, max-pooled", before, after))
    assert (breach.figure, breach.value, breach.limit) == ("cells", pytest.approx(0.99), 1)
    assert list(breaches(compare_cells("strokes to latent cells, nearest", before, after))) == []


def test_a_band_below_its_bound_is_named():
    crossing = Crossing("latent round trip", weighed=1, sent=(9.0,) * 4, arrived=(0.0, 0.0, 0.0, 6.0))
    (breach,) = breaches(crossing)
    assert str(breach) == "16-32 px 0.444 of its energy, bound 0.5 of its energy"


def test_larger_models_promise_more_bands():
    promised = [
        sum(least is not None for least in BOUNDS[f"crop to {size} px and back"].band_energy) for size in (128, 256, 512, 1024)
    ]
    assert promised == [1, 2, 3, 4]


def test_the_psnr_of_an_error_everywhere():
    assert psnr_of(255) == 0
    assert psnr_of(0.5) == pytest.approx(54.15, abs=0.01)
    assert math.isclose(psnr_of(1), 48.13, abs_tol=0.01)


def test_a_boundary_without_a_bound_is_an_error():
    with pytest.raises(KeyError):
        list(breaches(Crossing("nowhere")))
