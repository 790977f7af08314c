"""Where text is, from the detector's corners to the pixels of a mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from flows.audit.boundaries.crossing import Crossing, of_cells, of_values
from flows.audit.boundaries.sample import Sample
from operators.masks.geometry import Polygon, bounding_box, rasterised
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.vision.text_detector import text_detector

Positions = npt.NDArray[np.floating[Any]]

SUBSAMPLES = 16
"""Points a pixel's side that the exact coverage is counted on."""


def coverage(polygons: Sequence[Polygon], box: Box) -> npt.NDArray[np.float32]:
    """How much of each of the box's pixels the convex polygons cover, 0..1, counted on 16 x 16
    points a pixel.

    Pixel centres lie at whole numbers. A point belongs to a polygon if it lies on the inner side
    of every edge.
    """
    offsets = ((np.arange(SUBSAMPLES) + 0.5) / SUBSAMPLES - 0.5).astype(np.float32)
    across = (np.arange(box.width, dtype=np.float32)[:, None] + offsets).ravel()
    rows = (_covered(polygons, box, across, (row + offsets)[:, None]) for row in range(box.height))
    return np.array([row.mean(axis=(1, 2)) for row in rows], np.float32)


def _covered(polygons: Sequence[Polygon], box: Box, across: Positions, down: Positions) -> npt.NDArray[np.bool_]:
    """The points of one row of pixels that any polygon covers, by pixel."""
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
    """The detector's corners, against what the row's type makes of them: pixels of the picture's
    longer side.
    """
    width, height = sample.picture.size
    polygons, _ = text_detector().polygons(sample.probability, width, height)
    for region in sample.found:
        stored = np.asarray(region["polygons"][0], np.float64)
        nearest = min((np.asarray(polygon) for polygon in polygons), key=lambda polygon: np.abs(polygon - stored).sum())
        yield of_values("polygon to stored corners", nearest, stored, max(width, height))


def polygon_to_raster(sample: Sample) -> Iterator[Crossing]:
    """The mask of each polygon against its exact coverage; cells are pixels that the polygon
    covers by more than half.
    """
    for region in sample.found:
        box = bounding_box(region["polygons"], *sample.picture.size).grown(2, *sample.picture.size)
        exact, mask = coverage(region["polygons"], box), rasterised(region["polygons"], box)
        yield of_values("polygon to raster", exact, mask / 255, 1)
        yield of_cells("polygon to raster", exact > 0.5, mask > 0)


def map_to_stored(sample: Sample) -> Iterator[Crossing]:
    """The detector's map over each polygon, read back cell by cell from what the row keeps of it.

    The first stored cell is the detector's cell whose corner is nearest to the corner of the
    map's box, see `operators.rows.schema`.
    """
    width, height = sample.picture.size
    across, down = sample.probability.shape[1] / width, sample.probability.shape[0] / height
    for region in sample.found:
        data, box = region.probability()
        first_row, first_column = round(box["y"] * down), round(box["x"] * across)
        own = sample.probability[first_row : first_row + data.shape[0], first_column : first_column + data.shape[1]]
        yield of_values("detector map to stored map", own, data[: own.shape[0], : own.shape[1]] / 255, 1)


def _interpolated(values: npt.NDArray[np.float32], columns: Positions, rows: Positions) -> npt.NDArray[np.float32]:
    """Values at fractional columns and rows, linear, continued beyond the border."""
    grid = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
    result: npt.NDArray[np.float32] = cv2.remap(
        np.asarray(values, np.float32), *grid, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return result


def stored_to_pixels(sample: Sample) -> Iterator[Crossing]:
    """The stored map brought to source pixels as `soften` does, against the detector's own map at
    the same pixels.
    """
    width, height = sample.picture.size
    across, down = sample.probability.shape[1] / width, sample.probability.shape[0] / height
    for region in sample.found:
        data, spanned = region.probability()
        box = Box(**spanned)
        placed: Pixels = cv2.resize(data, (box.width, box.height), interpolation=cv2.INTER_LINEAR)
        columns = (box.x + np.arange(box.width) + 0.5) * across - 0.5
        rows = (box.y + np.arange(box.height) + 0.5) * down - 0.5
        yield of_values("stored map to source pixels", _interpolated(sample.probability, columns, rows), placed / 255, 1)
