"""Bodies and outlines belong to their letters; the hole of an O and the ground do not."""

from __future__ import annotations

import cv2
import numpy as np

from operators.masks.letter_parts import with_bodies, with_outline

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
