"""Straight edges count if they enter a text on one side and come out on the other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from operators.masks.mask import dilated, ring
from operators.metrics.straight_edges import straight_edges

HEIGHT, WIDTH = 200, 320
HOLE = np.zeros((HEIGHT, WIDTH), bool)
HOLE[80:120, 70:250] = True
SEEN = ring(HOLE, dilated(HOLE.astype(np.uint8), 2) > 0, 24)


def counted(picture: np.ndarray) -> int:
    return straight_edges(picture, SEEN, HOLE)[0]


@pytest.fixture
def flat() -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), 120, np.uint8)


def test_a_flat_surface_has_none(flat: np.ndarray) -> None:
    assert straight_edges(flat, SEEN, HOLE) == (0, 0.0)


@pytest.mark.parametrize("angle", [0, 10, 25, 45, 70, 90, 110, 150])
@pytest.mark.parametrize("middle", [(160, 100), (130, 90)])
def test_a_step_at_any_angle_is_one_edge(flat: np.ndarray, angle: int, middle: tuple[int, int]) -> None:
    down, across = np.mgrid[:HEIGHT, :WIDTH]
    turn = np.deg2rad(angle)
    flat[(down - middle[1]) * np.cos(turn) - (across - middle[0]) * np.sin(turn) > 0] = 60
    count, steepness = straight_edges(flat, SEEN, HOLE)
    assert count == 1
    assert 10 < steepness < 60


def test_a_line_has_two_edges_and_a_crossing_of_steps_too(flat: np.ndarray) -> None:
    line = flat.copy()
    cv2.line(line, (0, 40), (WIDTH - 1, 160), (20, 20, 20), 5)
    assert counted(line) == 2
    flat[100:] = 60
    flat[:, 150:] += 50
    assert counted(flat) == 2


def test_an_edge_that_ends_behind_the_text_or_passes_by_it_does_not_cross(flat: np.ndarray) -> None:
    ending, passing = flat.copy(), flat.copy()
    ending[:, :] = np.linspace(120, 180, WIDTH)[None, :, None].astype(np.uint8)
    ending[100:, :160] = 40
    ending = cv2.GaussianBlur(ending, (0, 0), 1)
    ending[:, 160:] = 120
    ending[:, 150:170] = cv2.GaussianBlur(ending, (0, 0), 8)[:, 150:170]
    passing[:60] = 60
    assert counted(ending) == 0
    assert counted(passing) == 0


def test_an_edge_that_is_seen_on_one_side_only_or_on_too_few_pixels_does_not_count(flat: np.ndarray) -> None:
    flat[100:] = 60
    narrow = ring(HOLE, dilated(HOLE.astype(np.uint8), 2) > 0, 7)
    assert straight_edges(flat, SEEN & (np.arange(WIDTH) < 160), HOLE)[0] == 0
    assert straight_edges(flat, narrow, HOLE)[0] == 0
    assert straight_edges(flat, SEEN, HOLE)[0] == 1


@pytest.mark.parametrize("name", ["grass", "gravel"])
def test_texture_without_straight_edges_has_none(name: str) -> None:
    grey = getattr(skimage.data, name)()[100 : 100 + HEIGHT, 100 : 100 + WIDTH]
    assert counted(np.ascontiguousarray(np.repeat(grey[:, :, None], 3, axis=2))) == 0


def test_noise_has_none() -> None:
    noise = np.random.default_rng(0).normal(120, 30, (HEIGHT, WIDTH, 3))
    assert counted(np.clip(noise, 0, 255).astype(np.uint8)) == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (9, 9), (40, 8)])
def test_a_crop_of_any_size_is_measured(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    hole = np.zeros(size, bool)
    hole[size[0] // 2, :] = True
    count, steepness = straight_edges(picture, ~hole, hole)
    assert count >= 0
    assert np.isfinite(steepness)
