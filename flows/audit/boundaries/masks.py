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
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.vision.text_detector import text_detector

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
    width, height = sample.picture.size
    polygons, _ = text_detector().polygons(sample.probability, width, height)
    for region in sample.found:
        stored = np.asarray(region["polygons"][0], np.float64)
        nearest = min((np.asarray(polygon) for polygon in polygons), key=lambda polygon: np.abs(polygon - stored).sum())
        yield compare_values("polygon to stored corners", nearest, stored, max(width, height))


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
    """Compare the detector's map over each polygon, cell by cell, with the map in the row.

    The first stored cell is the cell of the detector whose corner is nearest to the corner of the
    map's box; see `operators.rows.schema`.
    """
    width, height = sample.picture.size
    across, down = sample.probability.shape[1] / width, sample.probability.shape[0] / height
    for region in sample.found:
        stored, box = region.probability()
        first_row, first_column = round(box["y"] * down), round(box["x"] * across)
        rows, columns = np.s_[first_row : first_row + stored.shape[0]], np.s_[first_column : first_column + stored.shape[1]]
        original = sample.probability[rows, columns]
        same_cells = stored[: original.shape[0], : original.shape[1]]
        yield compare_values("detector map to stored map", original, same_cells / 255, 1)


def _interpolated(values: npt.NDArray[np.float32], columns: Positions, rows: Positions) -> npt.NDArray[np.float32]:
    """Interpolate values linearly at fractional columns and rows, replicating the border."""
    grid = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    result: npt.NDArray[np.float32] = cv2.remap(
        np.asarray(values, np.float32), *grid, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return result


def stored_to_pixels(sample: Sample) -> Iterator[Crossing]:
    """Scale the stored map to source pixels as `soften` does, and compare with the detector's."""
    width, height = sample.picture.size
    across, down = sample.probability.shape[1] / width, sample.probability.shape[0] / height
    for region in sample.found:
        stored, box_record = region.probability()
        box = Box(**box_record)
        scaled: Pixels = cv2.resize(stored, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
        columns = (box.x + np.arange(box.width) + 0.5) * across - 0.5
        rows = (box.y + np.arange(box.height) + 0.5) * down - 0.5
        yield compare_values("stored map to source pixels", _interpolated(sample.probability, columns, rows), scaled / 255, 1)
