"""Laying colours on a ground and lifting them off again."""

import numpy as np

from operators.rows.transparency import Transparency, lay, lay_again, lift

ALPHA = np.array([[0, 64, 128, 255]], np.uint8)
COLOURS = np.array([[[9, 9, 9], [200, 0, 0], [0, 200, 0], [0, 0, 200]]], np.uint8)


def test_a_clear_pixel_shows_the_ground_and_an_opaque_one_its_colour():
    seen = lay(COLOURS, ALPHA, 128)
    assert seen[0, 0].tolist() == [128, 128, 128]
    assert seen[0, 2].tolist() == [64, 164, 64]
    assert seen[0, 3].tolist() == [0, 0, 200]


def test_what_is_lifted_off_a_ground_is_the_colour_to_the_rounding_of_its_alpha():
    for ground in (0, 90, 255):
        lifted = lift(lay(COLOURS, ALPHA, ground), Transparency(ALPHA, ground))
        assert np.abs(lifted[0, 1:].astype(int) - COLOURS[0, 1:]).max() <= 2
        assert lifted[0, 0].tolist() == [ground] * 3


def test_pixels_look_on_another_ground_as_if_they_had_been_laid_there():
    seen = Transparency(ALPHA, 255)
    for ground in (0, 128, np.array([[[0], [50], [100], [200]]], np.uint8)):
        again = lay_again(lay(COLOURS, ALPHA, 255), seen, ground)
        assert np.abs(again.astype(int) - lay(COLOURS, ALPHA, ground)).max() <= 1
