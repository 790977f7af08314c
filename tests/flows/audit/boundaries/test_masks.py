import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.audit.boundaries.crossing import compare_cells, pooled
from flows.audit.boundaries.masks import coverage, map_to_stored, polygon_to_raster, polygons_stored, stored_to_pixels
from operators.masks.geometry import rasterised
from operators.masks.mask import scaled
from operators.rows.box import Box

check = settings(deadline=None, max_examples=60)


def test_coverage_is_the_area_of_the_polygon():
    box = Box(3, 2, 40, 30)
    diamond = [[20, 5], [35, 15], [20, 25], [5, 15]]
    assert coverage([diamond], box).sum() == pytest.approx(30 * 20 / 2, rel=2e-3)
    assert coverage([diamond[::-1]], box).sum() == pytest.approx(30 * 20 / 2, rel=2e-3)


def test_a_pixel_that_is_half_covered_counts_half():
    # pixel centres lie at whole numbers, so the edge at 4 halves the pixels of column 4
    assert coverage([[[-1, -1], [4, -1], [4, 3], [-1, 3]]], Box(0, 0, 6, 1)).tolist() == [[1, 1, 1, 1, 0.5, 0]]


@check
@given(st.floats(0, math.pi), st.floats(3, 60), st.floats(1, 12), st.floats(30, 34), st.floats(30, 34))
def test_the_raster_loses_no_pixel_that_a_rectangle_of_whole_corners_covers_by_more_than_half(angle, length, height, x, y):
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    polygon = (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [length / 2, height / 2] @ turn + [x, y]).tolist()
    polygon, box = np.rint(polygon).tolist(), Box(0, 0, 70, 70)
    lost = compare_cells("here", coverage([polygon], box) > 0.5, rasterised([polygon], box) > 0)
    assert not lost.lost


def test_real_polygons_lose_neither_corners_nor_pixels(sample):
    assert sample.found
    assert pooled(polygons_stored(sample)).psnr == math.inf
    assert pooled(polygon_to_raster(sample)).cells_lost == 0


@pytest.mark.parametrize("size", [None, (700, 525), (333, 500), (900, 735)])
def test_the_stored_map_is_the_detectors_own_in_steps_of_a_byte(make_sample, size):
    crossing = pooled(map_to_stored(make_sample("photo.png", size)))
    assert 0 < crossing.grey_levels <= 0.5 + 1e-4


@pytest.mark.parametrize("size", [(37, 11), (120, 64), (301, 77)])
def test_a_scaled_map_is_that_of_exact_weights_to_half_a_step(size):
    stored = np.random.default_rng(0).integers(0, 2, (21, 33)).astype(np.uint8) * 255
    exact = cv2.resize(stored.astype(np.float64), size, interpolation=cv2.INTER_LINEAR)
    assert abs(scaled(stored, *size) - exact).max() <= 0.5 + 1e-3
    in_bytes = cv2.resize(stored, size, interpolation=cv2.INTER_LINEAR)
    assert abs(in_bytes - exact).max() > 0.5 + 1e-3


def test_the_stored_map_lies_within_an_eighth_of_its_place(sample):
    assert pooled(stored_to_pixels(sample)).grey_levels <= 255 / 8 + 0.5
