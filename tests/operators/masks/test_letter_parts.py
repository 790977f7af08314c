"""Bodies and outlines belong to their letters; the hole of an O and the ground do not."""

from __future__ import annotations

import cv2
import numpy as np

from operators.masks.letter_parts import with_bodies, with_letters_colour, with_outline, with_soft_edges

GROUND, INK, RIM = (200, 200, 200), (20, 60, 160), (250, 250, 250)


def block(body: tuple[int, int, int], outline: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A block letter with an outline on plain ground, and the pixels of the letter alone."""
    picture, letter = np.full((140, 200, 3), GROUND, np.uint8), np.zeros((140, 200), np.uint8)
    letter[30:110, 40:100] = 255
    if outline:
        picture[cv2.dilate(letter, np.ones((2 * outline + 1, 2 * outline + 1))) > 0] = RIM
    picture[letter > 0] = body
    return picture, letter


def hollow(letter: np.ndarray) -> np.ndarray:
    """The letter as a network sees it that misses the inside."""
    seen = letter.copy()
    seen[36:104, 46:94] = 0
    return seen


def test_a_body_of_another_colour_than_the_ground_is_taken_in() -> None:
    picture, letter = block(INK)
    assert np.array_equal(with_bodies(picture, hollow(letter)), letter)


def test_the_hole_of_an_o_shows_the_ground_and_stays() -> None:
    picture, letter = block(INK)
    picture[36:104, 46:94] = GROUND
    assert np.array_equal(with_bodies(picture, hollow(letter)), hollow(letter))


def test_an_outline_is_taken_in_up_to_its_edge() -> None:
    picture, letter = block(INK, outline=8)
    found = with_outline(picture, letter, 80.0)
    outlined = (picture == RIM).all(axis=2) | (letter > 0)
    assert ((found > 0) & outlined).sum() > 0.95 * outlined.sum()
    assert not found[(picture == GROUND).all(axis=2) & (cv2.dilate(outlined.astype(np.uint8), np.ones((5, 5))) == 0)].any()


def test_plain_ground_around_letters_is_no_outline() -> None:
    picture, letter = block(INK)
    assert np.array_equal(with_outline(picture, letter, 80.0), letter)


def test_a_band_around_letters_is_no_outline() -> None:
    picture, letters = np.full((140, 320, 3), GROUND, np.uint8), np.zeros((140, 320), np.uint8)
    picture[14:126] = RIM
    letters[30:110, 40:280] = 255
    picture[letters > 0] = INK
    assert np.array_equal(with_outline(picture, letters, 80.0), letters)


def blurred_letter(noise: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A blurred letter on a ground with noise, the part that is seen, and how far it reaches."""
    picture, letter = block(INK)
    picture = cv2.GaussianBlur(picture, (0, 0), 1.5)
    touched = (picture != GROUND).any(axis=2)
    if noise:
        picture = np.clip(picture + np.random.default_rng(0).normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
    return picture, cv2.erode(letter, np.ones((3, 3), np.uint8)), touched


def test_pixels_mixed_with_the_letters_colour_belong_to_them() -> None:
    picture, seen, touched = blurred_letter(noise=0)
    found = with_soft_edges(picture, seen, cv2.dilate(seen, np.ones((13, 13), np.uint8)) > 0) > 0
    assert np.abs(picture.astype(int) - GROUND)[~found].max() <= 20
    assert not found[~touched].any()


def test_a_share_that_the_grounds_noise_explains_is_not_taken_in() -> None:
    picture, seen, touched = blurred_letter(noise=40)
    near = cv2.dilate(seen, np.ones((13, 13), np.uint8)) > 0
    found = with_soft_edges(picture, seen, near) > 0
    assert found[near & ~touched].mean() < 0.06
    assert found[seen > 0].all()


def test_soft_edges_are_looked_for_only_nearby() -> None:
    picture, seen, _ = blurred_letter(noise=0)
    assert np.array_equal(with_soft_edges(picture, seen, np.zeros(seen.shape, bool)), seen)


def three_letters() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three block letters of which the network saw two, and the polygon around all."""
    picture, seen, inside = (np.zeros((200, 300, *depth), np.uint8) for depth in ((3,), (), ()))
    picture[:] = GROUND
    for left in (40, 110, 180):
        picture[70:130, left : left + 40] = INK
        seen[70:130, left : left + 40] = 255 if left < 180 else 0
    inside[64:136, 34:226] = 255
    return picture, seen, inside


def test_a_letter_that_was_not_seen_is_taken_in_by_the_colour_of_the_others() -> None:
    picture, seen, inside = three_letters()
    found = with_letters_colour(picture, seen, inside, 72.0)
    assert np.array_equal(found > 0, (picture == INK).all(axis=2))


def test_a_colour_that_the_picture_has_outside_the_polygon_too_is_not_that_of_the_letters() -> None:
    picture, seen, inside = three_letters()
    picture[160:195] = INK
    assert np.array_equal(with_letters_colour(picture, seen, inside, 72.0), seen)


def test_nothing_of_the_letters_colour_is_taken_in_outside_the_polygon() -> None:
    picture, seen, inside = three_letters()
    picture[20:24, 60:64] = INK
    assert not with_letters_colour(picture, seen, inside, 72.0)[inside == 0].any()


def test_a_thing_of_the_letters_colour_that_is_larger_than_they_are_stays() -> None:
    picture, seen, inside = three_letters()
    picture[64:136, 150:226] = INK
    assert np.array_equal(with_letters_colour(picture, seen, inside, 72.0), seen)


def test_a_line_in_the_letters_colour_that_goes_on_beyond_the_polygon_stays() -> None:
    picture, seen, inside = three_letters()
    picture[126:134, 5:39] = INK
    found = with_letters_colour(picture, seen, inside, 72.0)
    assert not found[131:134].any() and found[100, 200]


def test_the_colour_of_a_panel_behind_the_text_is_not_that_of_the_letters_though_rims_show_it() -> None:
    picture, seen, inside = three_letters()
    picture[inside > 0] = np.where((picture[inside > 0] == INK).all(axis=1)[:, None], INK, RIM)
    seen[68:132, 36:84] = 255
    found = with_letters_colour(picture, seen, inside, 72.0)
    assert not ((found > 0) & (seen == 0) & (picture == RIM).all(axis=2)).any()


def test_a_thin_seam_of_the_letters_colour_away_from_them_stays() -> None:
    picture, seen, inside = three_letters()
    picture[67, 160:170] = INK
    found = with_letters_colour(picture, seen, inside, 72.0)
    assert not found[67].any() and found[100, 200]
