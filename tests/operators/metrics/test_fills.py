"""Measurements say how a fill fits its surroundings, and how hard the place is to fill."""

from __future__ import annotations

import math

import numpy as np
import pytest

from operators.masks.ground import estimate_ground
from operators.masks.mask import BLEND, CORE
from operators.metrics.fills import Surroundings, measure_fill, side_fill_error, structure_in_fill


def mask(hole: np.ndarray) -> np.ndarray:
    """A region's mask whose core and blend are the hole."""
    result = np.zeros((*hole.shape, 4), np.uint8)
    result[hole, CORE] = result[hole, BLEND] = 255
    return result


HOLE = np.zeros((120, 160), bool)
HOLE[45:75, 50:110] = True
NOISE = np.random.default_rng(1).integers(60, 200, (120, 160, 3)).astype(np.uint8)
"""A picture with the same noise everywhere, so that it needs no better fill."""
USUAL = measure_fill(NOISE, NOISE, mask(HOLE), 0.0)


def test_a_fill_like_its_surroundings_measures_as_no_edit_at_all() -> None:
    assert all(abs(USUAL[f"band_{octave}"]) < 0.2 for octave in range(2))
    assert abs(USUAL["band_2"]) < 0.5
    assert abs(USUAL["band_3"]) < 1
    assert USUAL["seam"] == pytest.approx(1.0, abs=0.1)
    assert USUAL["colour_shift"] < 1.5
    assert USUAL["residual_text"] == 0.0


def test_what_is_far_from_an_edit_does_not_change_its_measurements() -> None:
    wide = np.random.default_rng(2).normal(120, 2, (400, 700, 3)).astype(np.uint8)
    another, place = wide.copy(), np.zeros((400, 700), bool)
    place[45:75, 50:110] = True
    another[:, 300:] = np.random.default_rng(3).integers(0, 256, another[:, 300:].shape)
    alone, beside_a_text = mask(place), mask(place)
    beside_a_text[200:260, 400:600, CORE] = 255
    assert measure_fill(wide, wide, alone, 0.0) == measure_fill(another, another, beside_a_text, 0.0)


def test_a_flat_picture_has_nothing_to_measure() -> None:
    flat = np.full((120, 160, 3), 90, np.uint8)
    measurements = measure_fill(flat, flat, mask(HOLE), 0.25)
    for octave in range(4):
        assert measurements[f"band_{octave}"] == pytest.approx(0, abs=1e-9)
        assert measurements[f"ring_{octave}"] == pytest.approx(0, abs=1e-9)
    assert measurements["seam"] == 1.0
    assert measurements["colour_shift"] == pytest.approx(0, abs=0.01)
    assert measurements["spread"] == 0.0
    assert measurements["trial"] == 0.0
    assert measurements["residual_text"] == 0.25


def test_the_place_is_measured_by_its_area_and_thickness_in_octaves() -> None:
    assert USUAL["area"] == pytest.approx(math.log2(30 * 60 + 1), abs=1e-9)
    assert USUAL["thickness"] == pytest.approx(math.log2(15 + 1), abs=0.1)
    assert USUAL["coverage"] == pytest.approx(math.log2(30 * 60 / (62 * 92) + 0.01), abs=1e-9)


def test_a_smear_lacks_fine_detail_and_a_foreign_patch_shows_its_colour_and_seam() -> None:
    smear, patch = NOISE.copy(), NOISE.copy()
    smear[HOLE], patch[HOLE] = 130, (255, 0, 0)
    smooth, foreign, fine = (measure_fill(NOISE, picture, mask(HOLE), 0.0) for picture in (smear, patch, NOISE))
    assert smooth["band_0"] < -3
    assert foreign["colour_shift"] > 40
    assert foreign["seam"] > smooth["seam"]
    assert smooth["ring_0"] == pytest.approx(fine["ring_0"], abs=0.02)


def test_the_trial_says_how_hard_the_place_is_and_not_how_good_the_fill_is() -> None:
    slope = np.repeat(np.linspace(60, 200, 160)[None], 120, axis=0)
    slope = np.repeat(slope[:, :, None], 3, axis=2).astype(np.uint8)
    blotted = NOISE.copy()
    blotted[HOLE] = 255
    easy, hard, filled_badly = (measure_fill(picture, picture, mask(HOLE), 0.0)["trial"] for picture in (slope, NOISE, blotted))
    assert 0 <= easy < 5
    assert hard > 9
    assert filled_badly == pytest.approx(hard, abs=0.5)


def test_a_fill_that_a_smooth_one_agrees_with_is_not_apart_and_one_with_an_object_of_its_own_is() -> None:
    slope = np.repeat(np.linspace(110, 150, 160)[None], 120, axis=0)
    slope = np.repeat(slope[:, :, None], 3, axis=2).astype(np.uint8)
    with_object = slope.copy()
    with_object[52:68, 70:90] = 20
    agreed, apart = (measure_fill(slope, picture, mask(HOLE), 0.0) for picture in (slope, with_object))
    assert agreed["flat_apart"] < 3 and agreed["stain_apart"] < 3
    assert apart["flat_apart"] > 60 and apart["stain_apart"] > 40


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_edit_without_surroundings_cannot_be_compared() -> None:
    measurements = measure_fill(NOISE, NOISE, mask(np.ones((120, 160), bool)), 0.0)
    assert math.isnan(measurements["seam"])
    assert math.isnan(measurements["colour_shift"])
    assert all(math.isnan(measurements[f"band_{octave}"]) for octave in range(4))
    assert math.isnan(measurements["trial"])


def test_a_side_fill_of_a_flat_picture_has_no_error_and_without_room_there_is_none() -> None:
    flat = np.full((120, 160, 3), 90, np.uint8)
    assert side_fill_error(flat, mask(HOLE)) == 0.0
    assert math.isnan(side_fill_error(flat, mask(np.zeros((120, 160), bool))))
    nearly_all = np.ones((120, 160), bool)
    nearly_all[:2] = False
    assert math.isnan(side_fill_error(flat, mask(nearly_all)))


def test_the_border_of_an_edit_is_its_faded_rim_and_no_stroke_of_another_region() -> None:
    mask = np.zeros((40, 40, 4), np.uint8)
    mask[8:22, 8:22, CORE], mask[8:22, 8:22, BLEND], mask[10:20, 10:20, BLEND] = 255, 60, 255
    mask[10:20, 22:30, CORE] = 255
    place = Surroundings.of(mask)
    assert place.edited.sum() == 100
    assert place.border[9, 10:20].all() and place.border[10:20, 20].all()
    assert not place.border[10:20, 22:30].any()


def structure(result: np.ndarray, truth: np.ndarray) -> float:
    return structure_in_fill(result, mask(HOLE), estimate_ground(truth, HOLE, 24))


def grained(level: float) -> np.ndarray:
    """A plain ground with grain of two grey levels."""
    noise = np.random.default_rng(3).normal(0, 2, (120, 160, 3))
    return np.clip(np.rint(level + noise), 0, 255).astype(np.uint8)


def test_the_true_picture_shows_no_structure_on_plain_ground() -> None:
    flat = np.full((120, 160, 3), 90, np.uint8)
    assert structure(flat, flat) == 0.0
    assert structure(grained(150), grained(150)) < 1


def test_a_ghost_in_a_fill_of_plain_ground_is_measured_in_grey_levels() -> None:
    flat = np.full((120, 160, 3), 90, np.uint8)
    for step in (10, 30):
        ghost = flat.copy()
        ghost[52:68, 60:100] += np.uint8(step)
        assert structure(ghost, flat) == pytest.approx(step, abs=0.1)


def test_a_ghost_near_black_counts_double() -> None:
    black, ghost = np.full((120, 160, 3), 8, np.uint8), np.full((120, 160, 3), 8, np.uint8)
    ghost[52:68, 60:100] += np.uint8(10)
    assert structure(ghost, black) == pytest.approx(20, abs=0.2)


def test_a_ghost_no_stronger_than_the_grain_is_hidden_by_it() -> None:
    picture = grained(150)
    ghost = picture.copy()
    ghost[52:68, 60:100] += np.uint8(10)
    assert 7 < structure(ghost, picture) < 10
    ghost[52:68, 60:100] -= np.uint8(9)
    assert structure(ghost, picture) < 2


def test_the_straight_stems_of_a_letter_are_no_lines_of_the_page() -> None:
    flat = np.full((120, 160, 3), 90, np.uint8)
    ghost = flat.copy()
    ghost[48:72, 60:64] = ghost[48:72, 76:80] = ghost[58:62, 60:80] = 130
    assert structure(ghost, flat) > 20


def test_a_straight_line_that_goes_on_through_the_fill_is_no_structure() -> None:
    ruled = np.full((120, 160, 3), 200, np.uint8)
    ruled[60] = 90
    assert structure(ruled, ruled) < 1


def test_texture_has_no_known_ground_to_compare_a_fill_with() -> None:
    assert math.isnan(structure(NOISE, NOISE))
    assert measure_fill(NOISE, NOISE, mask(HOLE), 0.0)["plain"] == 0.0
    flat = np.full((120, 160, 3), 90, np.uint8)
    assert measure_fill(flat, flat, mask(HOLE), 0.0)["plain"] == 1.0


def test_an_edit_on_a_label_is_compared_with_the_label_alone() -> None:
    label = NOISE.copy()
    label[38:82, 42:118] = (30, 80, 160)
    measured = measure_fill(label, label, mask(HOLE), 0.0)
    assert measured["colour_shift"] == pytest.approx(0, abs=0.01)
    assert measured["spread"] == 0.0
    assert measured["plain"] == 1.0
    assert measured["structure"] == pytest.approx(0, abs=0.01)
    assert USUAL["spread"] > 20
