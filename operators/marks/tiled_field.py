"""A field of edges that is compared with many templates of one mark, tile by tile.

Each tile is transformed once for all templates, and each template once for all tiles of a size.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from operators.marks.spectra import Spectrum, fast_size, plane_of, product_of, spectrum_of
from operators.marks.whitening import whitening
from operators.rows.box import Box
from operators.rows.overlay import Plane

REACH = 8
"""Pixels by which whitening spreads an edge."""
SMALLEST_TILE, TIMES_CANVAS = 160, 4
"""Side of a tile at least, in pixels and as a multiple of the template's."""
LITTLE_LARGER = 1.4
"""Side of a field, as a multiple of a tile's, up to which it is one tile."""
LEAST_POWER = 0.1
"""Power of a part of the field, as a share of the whole's, that is always allowed for."""
PER_TILE = 5
"""Places that one template may name in each tile."""


@dataclass(frozen=True, eq=False)
class Peak:
    """A place at which a template is like the field."""

    score: float
    """Correlation in standard deviations of whitened edges."""
    x: int
    y: int
    """Where the template's origin lies on the field."""


@dataclass(frozen=True, eq=False)
class TiledField:
    """The whitened edges of a picture in tiles that overlap by the size of a template."""

    canvas: Box
    """The pixels around its origin that a template may cover."""
    size: tuple[int, int]
    """Rows and columns of a tile."""
    step: tuple[int, int]
    """Rows and columns from tile to tile."""
    start: tuple[int, int]
    """Where the template's origin lies on the field at the first place."""
    spectra: Sequence[tuple[int, int, Spectrum]]
    """Row and column of the first place of each tile, and its whitened edges in frequencies."""
    sharpness: Plane
    """One over the standard deviation of the whitened edges around each place."""

    @staticmethod
    def of(field: Plane, canvas: Box, typical: Box) -> TiledField:
        """The tiles of a field of edges, float32 height x width x axes.

        `typical` is the box of a template of middle size. A template may lie a third of the canvas
        beyond the field's border, and be larger than the field.
        """
        rows, columns = _Side.of(field.shape[0], canvas.height), _Side.of(field.shape[1], canvas.width)
        margins = (rows.before, rows.behind, columns.before, columns.behind)
        planes = [cv2.copyMakeBorder(plane, *margins, cv2.BORDER_CONSTANT, value=0) for plane in cv2.split(field)]
        power, size = np.zeros(planes[0].shape, np.float32), (rows.tile, columns.tile)
        weights, spectra = np.sqrt(whitening(size)[:, 1:-1]), []
        inner = np.s_[REACH : size[0] - REACH, REACH : size[1] - REACH]
        for row, column in itertools.product(rows.firsts, columns.firsts):
            tile = np.s_[row : row + size[0], column : column + size[1]]
            whitened = [spectrum_of(np.ascontiguousarray(plane[tile])) * weights for plane in planes]
            power[tile][inner] = sum(np.square(plane_of(each)[inner]) for each in whitened)
            spectra.append((row, column, np.stack([each * weights for each in whitened])))
        own = power[rows.before : rows.before + field.shape[0], columns.before : columns.before + field.shape[1]]
        local = cv2.boxFilter(power, cv2.CV_32F, (typical.width, typical.height), borderType=cv2.BORDER_CONSTANT)
        down, right = REACH - canvas.y, REACH - canvas.x
        local = np.maximum(local[down : down + rows.places, right : right + columns.places], LEAST_POWER * float(own.mean()))
        return TiledField(
            canvas=canvas,
            size=size,
            step=(rows.step, columns.step),
            start=(REACH - rows.before - canvas.y, REACH - columns.before - canvas.x),
            spectra=spectra,
            sharpness=np.sqrt(field.shape[2] / local).astype(np.float32),
        )

    def peaks(self, template: Spectrum, box: Box, least: float) -> Iterator[Peak]:
        """The places of each tile that are likest to a template whose pixels cover `box`.

        `template` has its conjugate frequencies on a tile; see `TemplateBank`.
        """
        reach = max(2, round(0.2 * min(box.width, box.height)))
        for row, column, spectrum in self.spectra:
            sharpness = self.sharpness[row : row + self.step[0], column : column + self.step[1]]
            rows, columns = sharpness.shape
            scores = product_of(spectrum, template)[REACH : REACH + rows, REACH : REACH + columns] * sharpness
            for _ in range(PER_TILE):
                _, value, _, (x, y) = cv2.minMaxLoc(scores)
                if value < least:
                    break
                yield Peak(value, self.start[1] + column + x, self.start[0] + row + y)
                scores[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = -1


@dataclass(frozen=True)
class _Side:
    """How the rows, or the columns, of a field are cut into tiles."""

    places: int
    """Places of the template."""
    tile: int
    step: int
    before: int
    """Empty pixels before the field, so that templates may lie beyond it."""
    behind: int

    @property
    def firsts(self) -> range:
        """The first place of each tile."""
        return range(0, self.places, self.step)

    @staticmethod
    def of(field: int, canvas: int) -> _Side:
        """The tiles for templates of this side; a single one for a field that is little larger."""
        beyond = max(canvas // 3, (canvas - field + 1) // 2)
        places = field + 2 * beyond - canvas + 1
        whole, usual = places + canvas - 1 + 2 * REACH, max(SMALLEST_TILE, TIMES_CANVAS * (canvas + 2 * REACH))
        tile = fast_size(whole if whole <= LITTLE_LARGER * usual else usual)
        step = tile - canvas - 2 * REACH + 1
        last = (places - 1) // step * step
        return _Side(places, tile, step, beyond + REACH, last + tile - field - beyond - REACH)
