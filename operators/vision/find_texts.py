"""Find the texts of a picture: polygons with their scores and their cells of the detector's map.

A picture that is much longer than wide is looked at in overlapping tiles. Reduced as a whole, it
would be too small for its letters to be seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon, bounding_box, rasterised
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.vision.text_detector import Probability, Scale, has_contrast, text_detector, tile_length

MOST_BESIDE = 1 / 16
"""Largest distance, in cells of the detector's map, between an edge of a stored map's box and the
nearest cell edge.
"""
MOST_GROWTH = 32
"""Largest growth of a stored map's box, in pixels a side, in search of an edge that pixels and
cells share.
"""
LEAST_SIDE = 8
"""Shortest side, in pixels, of a picture that the detector looks at; smaller ones hold no legible
text.
"""
OVERLAP = 0.25
"""How far neighbouring tiles overlap, as a share of the shorter side."""
SAME = 0.5
"""Share of a polygon that a larger one covers if both are the same text, seen in two tiles."""


@dataclass(frozen=True)
class FoundText:
    """One text that the detector sees."""

    polygon: list[list[float]]
    """Four corners (x, y) in pixels of the picture."""
    score: float
    """0..1."""
    cells: Pixels
    """The detector's map over the polygon, uint8; see `own_cells`."""
    box: Box
    """The pixels of the picture that `cells` spans."""


def find_texts(rgb: Pixels, width: int, height: int, factor: float, least_score: float) -> list[FoundText]:
    """The texts of a width x height picture whose score is at least `least_score` (0..1).

    `rgb` is the picture, perhaps decoded at a reduced scale, uint8. Texts without contrast are
    left out. The detector sees the picture at `factor` times its size.
    """
    if min(width, height) < LEAST_SIDE:
        return []
    texts: list[FoundText] = []
    tiles = _tiles(width, height)
    for tile in tiles:
        reduced = rgb.shape[1] / width
        left, top = round(tile.x * reduced), round(tile.y * reduced)
        right, bottom = round((tile.x + tile.width) * reduced), round((tile.y + tile.height) * reduced)
        texts += _find_in_tile(np.ascontiguousarray(rgb[top:bottom, left:right]), tile, factor, least_score)
    return texts if len(tiles) == 1 else _without_repeats(texts)


def _tiles(width: int, height: int) -> list[Box]:
    """The picture itself, or tiles along its longer side that overlap."""
    short, long = min(width, height), max(width, height)
    length = tile_length(short)
    if long <= max(length, Scale.longest):
        return [Box(0, 0, width, height)]
    count = math.ceil((long - length) / (length - OVERLAP * min(short, length))) + 1
    starts = [round(number * (long - length) / (count - 1)) for number in range(count)]
    return [Box(start, 0, length, short) if width > height else Box(0, start, short, length) for start in starts]


def _find_in_tile(rgb: Pixels, tile: Box, factor: float, least_score: float) -> list[FoundText]:
    """The texts of one tile, in pixels of the picture."""
    detector = text_detector()
    probability = detector.probability(rgb, factor * tile.width / rgb.shape[1])
    polygons, scores = detector.polygons(probability, tile.width, tile.height)
    texts = []
    for polygon, score in zip(polygons, scores, strict=True):
        if score >= least_score and _polygon_has_contrast(rgb, polygon, tile.width):
            cells, box = own_cells(probability, polygon, tile.width, tile.height)
            moved = [[x + tile.x, y + tile.y] for x, y in polygon]
            texts.append(FoundText(moved, score, cells, Box(box.x + tile.x, box.y + tile.y, box.width, box.height)))
    return texts


def _without_repeats(texts: Sequence[FoundText]) -> list[FoundText]:
    """The texts without those that a larger one covers."""
    kept: list[FoundText] = []
    for text in sorted(texts, key=lambda text: -cv2.contourArea(np.asarray(text.polygon, np.float32))):
        if not any(covers(other.polygon, text.polygon, SAME) for other in kept if other.box.overlaps(text.box)):
            kept.append(text)
    return sorted(kept, key=lambda text: (text.box.y, text.box.x))


def covers(cover: Polygon, polygon: Polygon, share: float) -> bool:
    """Whether one polygon covers more than this share of another's area."""
    points = np.asarray(polygon, np.float64).reshape(-1, 2)
    left, top = np.floor(points.min(axis=0)).astype(int)
    right, bottom = np.ceil(points.max(axis=0)).astype(int)
    box = Box(int(left), int(top), int(right - left) + 1, int(bottom - top) + 1)
    area, covered = rasterised([polygon], box) > 0, rasterised([cover], box) > 0
    return bool((area & covered).sum() > share * area.sum())


def _polygon_has_contrast(rgb: Pixels, polygon: Polygon, width: int) -> bool:
    """Whether the picture has any contrast in the bounding box of a polygon.

    `rgb` is the picture as decoded, perhaps reduced; the polygon is in pixels of the whole
    picture, which is `width` pixels wide.
    """
    scale = rgb.shape[1] / width
    box = bounding_box([[[x * scale, y * scale] for x, y in polygon]], rgb.shape[1], rgb.shape[0])
    return bool(has_contrast(np.ascontiguousarray(rgb[box.y : box.y + box.height, box.x : box.x + box.width])).any())


def own_cells(probability: Probability, polygon: Polygon, width: int, height: int) -> tuple[Pixels, Box]:
    """The cells of the detector's map over a polygon, as uint8, and the box that they span.

    The cells are not resampled; the box is in source pixels and holds the polygon's bounding box.
    Cells and pixels share only some of their edges. The box therefore grows, by at most
    MOST_GROWTH pixels a side, to the nearest edges that match to within MOST_BESIDE cells. If
    there are none, it grows to the edges that match best.
    """
    box = bounding_box([polygon], width, height)
    left, right, columns = _shared_edges(box.x, box.width, probability.shape[1], width)
    top, bottom, rows = _shared_edges(box.y, box.height, probability.shape[0], height)
    cells = np.rint(probability[rows, columns] * 255)
    return np.clip(cells, 0, 255).astype(np.uint8), Box(left, top, right - left, bottom - top)


def _shared_edges(start: int, length: int, cells: int, pixels: int) -> tuple[int, int, slice]:
    """Along one axis, the pixel edges around a span that fall on cell edges, and the cells between.

    There is at least one cell.
    """
    before = np.arange(start, max(-1, start - MOST_GROWTH - 1), -1)
    after = np.arange(start + length, min(pixels, start + length + MOST_GROWTH) + 1)
    first, last = (_nearest_shared(edges, cells / pixels) for edges in (before, after))
    cell = min(round(first * cells / pixels), cells - 1)
    return first, last, slice(cell, max(cell + 1, round(last * cells / pixels)))


def _nearest_shared(edges: npt.NDArray[np.int_], ratio: float) -> int:
    """The first of the pixel edges that falls on a cell edge, or the one that comes closest.

    `ratio` is cells per pixel.
    """
    beside = np.abs(edges * ratio - np.rint(edges * ratio))
    shared = np.flatnonzero(beside <= MOST_BESIDE)
    return int(edges[shared[0] if len(shared) else beside.argmin()])
