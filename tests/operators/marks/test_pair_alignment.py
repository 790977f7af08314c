"""Pictures that carry the same mark at different places are aligned to the pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from operators.marks.mark import Mark
from operators.marks.pair_alignment import aligned_groups, parts_of, reduced
from operators.masks.overlay import overlaid
from operators.rows.box import Box
from operators.rows.overlay import Overlay
from tests.operators.marks.conftest import letters

PLACES = [(20, 30), (140, 200), (60, 90), (200, 11), (101, 157), (17, 210), (180, 66)]
"""Top and left of the mark in each picture."""


@pytest.fixture(scope="module")
def strong_mark() -> Mark:
    return letters("Studio Nord", (255, 255, 255), 0.75)


@pytest.fixture(scope="module")
def marked(photographs: dict[str, np.ndarray], strong_mark: Mark) -> list[np.ndarray]:
    pictures = []
    for number, (top, left) in enumerate(PLACES):
        picture = list(photographs.values())[number % 4]
        picture = picture[:, ::-1] if number >= 4 else picture
        alpha = np.zeros(picture.shape[:2], np.float32)
        alpha[top : top + strong_mark.alpha.shape[0], left : left + strong_mark.alpha.shape[1]] = strong_mark.alpha
        seen = overlaid(np.ascontiguousarray(picture), Overlay(alpha, np.float32([[[255, 255, 255]]])))
        pictures.append(np.rint(seen).astype(np.uint8))
    return pictures


def test_pictures_with_the_same_mark_are_moved_to_the_same_place(marked: list[np.ndarray]) -> None:
    (group,) = aligned_groups([reduced(picture, 1.0) for picture in marked])
    top, left = PLACES[group.seed]
    assert set(group.moves) == set(range(len(PLACES)))
    for number, move in group.moves.items():
        assert move == (top - PLACES[number][0], left - PLACES[number][1])


def test_reduced_copies_are_followed_up_to_whole_pixels(marked: list[np.ndarray], strong_mark: Mark) -> None:
    odd = {1, 5}
    twice = [cv2.resize(picture, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for picture in marked]
    large = [np.roll(picture, number in odd, axis=1) for number, picture in enumerate(twice)]
    (group,) = aligned_groups([reduced(picture, 0.5) for picture in large])
    top, left = PLACES[group.seed]
    box = Box(left, top, strong_mark.alpha.shape[1], strong_mark.alpha.shape[0])
    members = {number: large[number] for number in group.moves}
    found = parts_of(group, members, box, 0.5)
    assert odd & set(found) and group.seed not in odd
    for number, part in found.items():
        down, right = 2 * PLACES[number][0], 2 * PLACES[number][1] + (number in odd)
        assert np.array_equal(part, large[number][down:, right:][: 2 * box.height, : 2 * box.width])


def test_unrelated_pictures_have_nothing_in_common(photographs: dict[str, np.ndarray]) -> None:
    pictures = [reduced(turned, 1.0) for one in photographs.values() for turned in (one, np.ascontiguousarray(one[::-1]))]
    assert aligned_groups(pictures) == []


def test_fewer_pictures_than_tell_a_mark_have_none(marked: list[np.ndarray]) -> None:
    assert aligned_groups([reduced(picture, 1.0) for picture in marked[:5]]) == []
