"""Candidates: which known colours a hidden pixel of a drawing may take."""

from __future__ import annotations

import numpy as np

from operators.rows.arrays import Pixels
from training.drawn_candidates import (
    AXES,
    CHANNELS,
    COPIED,
    COUNT,
    DEEPER,
    DIRECTIONS,
    MAIN,
    OWN,
    REACH,
    SMOOTH,
    candidates,
    nearest_along,
    network_input,
)

UP, DOWN, LEFT, RIGHT = range(4)
"""The places of these directions: where a colour comes from is against the step."""
FROM_ABOVE, FROM_LEFT = DIRECTIONS.index((1, 0)), DIRECTIONS.index((0, 1))


def with_a_hole(pixels: Pixels, hole: np.ndarray) -> np.ndarray:
    """The candidates of the hole's pixels with a grey smooth fill, a black copy and the crop as
    seen.
    """
    smooth, copied = np.full_like(pixels, 128), np.zeros_like(pixels)
    return candidates(*(array[None] for array in (pixels, hole, smooth, copied, pixels))).colours


def test_the_nearest_known_pixel_lies_against_the_step() -> None:
    known = np.zeros((1, 9, 9), bool)
    known[0, 1, 4] = known[0, 4, 0] = True
    assert nearest_along(known, 1, 0)[0, 6, 4] == 1 * 9 + 4
    assert nearest_along(known, 0, 1)[0, 4, 8] == 4 * 9
    assert nearest_along(known, -1, 0)[0, 6, 4] == -1
    assert nearest_along(known, 1, 0)[0, 1, 4] == 1 * 9 + 4


def test_a_direction_is_followed_to_its_reach_and_no_further() -> None:
    length = 2**REACH
    known = np.zeros((1, 1, length + 1), bool)
    known[0, 0, 0] = True
    found = nearest_along(known, 0, 1)[0, 0]
    assert (found[:length] == 0).all()
    assert found[length] == -1


def test_a_level_line_is_among_the_candidates_exactly_and_so_is_what_lies_above() -> None:
    pixels = np.full((21, 31, 3), 250, np.uint8)
    pixels[10] = (13, 77, 201)
    hole = np.zeros((21, 31), bool)
    hole[6:15, 10:21] = True
    colours = with_a_hole(pixels, hole)
    middle = (10 - 6) * 11 + 5
    assert (colours[middle, FROM_LEFT] == (13, 77, 201)).all()
    assert (colours[middle, FROM_ABOVE] == 250).all()


def test_the_row_of_a_gradient_is_blended_from_both_sides_of_the_hole() -> None:
    ramp = np.arange(40, 61, dtype=np.uint8)
    pixels = np.repeat(np.repeat(ramp[:, None, None], 21, axis=1), 3, axis=2)
    hole = np.zeros((21, 21), bool)
    hole[7:14, 9:12] = True
    colours = with_a_hole(pixels, hole)
    blend = len(DIRECTIONS) + len(MAIN) + [MAIN[2 * axis] for axis in range(AXES)].index((-1, 0))
    assert np.abs(colours[:, blend, 0].astype(int) - pixels[hole][:, 0]).max() <= 1


def test_remains_of_letters_at_the_holes_edge_are_passed_over_by_the_deeper_candidates() -> None:
    pixels = np.full((15, 31, 3), 240, np.uint8)
    pixels[:, 10 : 10 + DEEPER] = 30
    hole = np.zeros((15, 31), bool)
    hole[:, 10 + DEEPER : 20] = True
    colours = with_a_hole(pixels, hole)
    assert (colours[:, FROM_LEFT] == 30).all()
    assert (colours[:, len(DIRECTIONS) + FROM_LEFT] == 240).all()


def test_the_fills_and_the_pixel_itself_are_candidates_and_the_smooth_fill_replaces_what_is_missing() -> None:
    pixels = np.full((8, 8, 3), 9, np.uint8)
    hole = np.ones((8, 8), bool)
    colours = with_a_hole(pixels, hole)
    assert colours.shape == (64, COUNT, 3)
    assert (colours[:, SMOOTH] == 128).all() and (colours[:, COPIED] == 0).all() and (colours[:, OWN] == 9).all()
    assert (colours[:, : len(DIRECTIONS)] == 128).all()


def test_crops_are_independent_of_the_others_in_their_batch(photo: np.ndarray) -> None:
    pictures = np.stack([photo[:40, :40], photo[40:80, 60:100]])
    holes = np.zeros((2, 40, 40), bool)
    holes[0, 10:20, 5:30] = holes[1, 15:30, 15:25] = True
    both = candidates(pictures, holes, pictures // 2, pictures // 3, pictures)
    alone = candidates(*(array[1:] for array in (pictures, holes, pictures // 2, pictures // 3, pictures)))
    assert np.array_equal(both.colours[holes[0].sum() :], alone.colours)
    assert np.array_equal(both.closeness[holes[0].sum() :], alone.closeness)


def test_the_network_sees_nothing_of_the_hole_but_its_candidates(photo: np.ndarray) -> None:
    pixels = np.ascontiguousarray(photo[:32, :32])
    hole = np.zeros((32, 32), bool)
    hole[12:20, 8:24] = True
    mask = np.repeat(np.where(hole, 255, 0).astype(np.uint8)[..., None], 3, axis=2)
    smooth, marks = np.where(hole[..., None], np.uint8(77), pixels), np.zeros((32, 32, 8), np.float32)
    inputs = []
    for shown in (pixels, np.where(hole[..., None], 255 - pixels, pixels)):
        found = candidates(*(array[None] for array in (shown, hole, smooth, smooth, smooth)))
        inputs.append(network_input(*(array[None] for array in (shown, smooth, mask, marks, hole)), found))
    assert inputs[0].shape == (1, 32, 32, CHANNELS)
    assert np.array_equal(*inputs)
    assert (inputs[0][0, ~hole][:, 15:] == 0).all()
