"""Measure the loss from the detector's corners and map to the pixels of a mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from flows.audit.boundaries.crossing import Crossing, compare_cells, compare_values
from flows.audit.boundaries.sample import Sample
from operators.masks.geometry import Polygon, bounding_box, rasterised
from operators.masks.mask import scaled
from operators.rows.box import Box

Positions = npt.NDArray[np.floating[Any]]

SUBSAMPLES = 16
"""Points along each side of a pixel on which the exact coverage is counted."""


def coverage(polygons: Sequence[Polygon], box: Box) -> npt.NDArray[np.float32]:
    """The share of each pixel of a box that convex polygons cover, on 16 x 16 points per pixel.

    Pixel centres lie at whole numbers. A point belongs to a polygon if it lies on the inner side
    of every edge.
    """
    offsets = ((np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5).astype(np.float32)
    across = (np.arange(box.width, dtype=np.float32)[:, None] + offsets).ravel()
    rows = (_covered_points(polygons, box, across, (row + offsets)[:, None]) for row in range(box.height))
    return np.array([row.mean(axis=(1, 2)) for row in rows], np.float32)


def _covered_points(polygons: Sequence[Polygon], box: Box, across: Positions, down: Positions) -> npt.NDArray[np.bool_]:
    """The points that any polygon covers in one row of pixels, by pixel."""
    inside = np.zeros((len(down), len(across)), bool)
    for polygon in polygons:
        corners = (np.asarray(polygon, np.float64).reshape(-1, 2) - [box.x, box.y]).astype(np.float32)
        following = np.roll(corners, -1, axis=0)
        turn = np.sign(np.sum(corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1])) or 1
        within = np.ones_like(inside)
        for (x, y), (next_x, next_y) in zip(corners, following, strict=True):
            within &= turn * ((next_x - x) * (down - y) - (next_y - y) * (across - x)) >= 0
        inside |= within
    return inside.reshape(SUBSAMPLES, box.width, SUBSAMPLES).transpose(1, 0, 2)


def polygons_stored(sample: Sample) -> Iterator[Crossing]:
    """Compare the detector's corners with the stored ones, relative to the longer side."""
    for seen, region in zip(sample.seen, sample.found, strict=True):
        stored = np.asarray(region["polygons"][0], np.float64)
        yield compare_values("polygon to stored corners", np.asarray(seen.polygon), stored, max(sample.picture.size))


def polygon_to_raster(sample: Sample) -> Iterator[Crossing]:
    """Compare the mask of each polygon with its exact coverage.

    The cells are the pixels that the polygon covers by more than half.
    """
    for region in sample.found:
        box = bounding_box(region["polygons"], *sample.picture.size).grown(2, *sample.picture.size)
        exact, mask = coverage(region["polygons"], box), rasterised(region["polygons"], box)
        yield compare_values("polygon to raster", exact, mask / 255, 1)
        yield compare_cells("polygon to raster", exact > 0.5, mask > 0)


def map_to_stored(sample: Sample) -> Iterator[Crossing]:
    """Compare the detector's map over each polygon, cell by cell, with the map in the row."""
    for seen, region in zip(sample.seen, sample.found, strict=True):
        stored, _ = region.probability()
        yield compare_values("detector map to stored map", seen.probability, stored / 255, 1)


def stored_to_pixels(sample: Sample) -> Iterator[Crossing]:
    """Scale the stored map to source pixels as `soften` does, and compare with the detector's."""
    for seen, region in zip(sample.seen, sample.found, strict=True):
        stored, record = region.probability()
        width, height = record["width"], record["height"]
        original = cv2.resize(seen.probability, (width, height), interpolation=cv2.INTER_LINEAR)
        yield compare_values("stored map to source pixels", original, scaled(stored, width, height) / 255, 1)
