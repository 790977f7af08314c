"""The ground of a transparent picture: the grey level that its colours stand out from."""

import numpy as np
import pytest

from operators.pictures.grounds import choose_grounds


def spots(*levels):
    """A clear picture with an opaque spot of each grey level."""
    colours, alpha = np.full((40, 300, 3), 77, np.uint8), np.zeros((40, 300), np.uint8)
    for number, level in enumerate(levels):
        place = np.s_[10:20, 10 + 30 * number : 30 + 30 * number]
        colours[place], alpha[place] = level, 255
    return colours, alpha


@pytest.mark.parametrize(
    ("levels", "ground"), [((0,), 255), ((255,), 0), ((0, 255), 128), ((128,), 255), ((20, 146), 255), ((0, 128, 255), 64)]
)
def test_the_ground_is_far_from_every_visible_colour(levels, ground):
    assert choose_grounds(*spots(*levels)) == (ground,)


def test_a_second_ground_shows_what_the_first_one_hides():
    levels = range(0, 256, 32)
    first, second = choose_grounds(*spots(*levels))
    hidden = [level for level in levels if abs(level - first) < 40]
    assert hidden
    assert all(abs(level - second) >= 40 for level in hidden)


def test_hidden_colours_and_colours_far_from_the_transparency_do_not_count():
    colours, alpha = np.full((200, 200, 3), 255, np.uint8), np.zeros((200, 200), np.uint8)
    colours[:100] = np.random.default_rng(0).integers(0, 256, (100, 200, 3))
    colours[60:100], alpha[:100] = 255, 255
    assert choose_grounds(colours, alpha) == (0,)


def test_a_clear_picture_lies_on_white():
    assert choose_grounds(*spots()) == (255,)
