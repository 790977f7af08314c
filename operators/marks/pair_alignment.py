"""Marks that lie at another place in each picture: the pictures are compared in pairs.

Two pictures that carry the same mark have edges in common when one is moved by the right
displacement; other pictures have none at any. The edges are whitened, as for `first_places`, so
that the best of all displacements of unrelated pictures stays within a known bound. The picture
that agrees with most others is the seed: the others are aligned with it, and what recurs there is
found as at a fixed place. A tiled mark agrees at many displacements, of which any one will do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.fft import irfft2, rfft2

from operators.marks.separation import LEAST_MEMBERS, significance
from operators.marks.spectra import Spectrum
from operators.marks.statistics import PLANES, directions
from operators.marks.whitening import whitening
from operators.rows.arrays import Pixels
from operators.rows.box import Box
from operators.rows.overlay import Plane

LARGEST = 768
"""Longer side in pixels of the copies that are compared."""
MOST_PICTURES = 48
"""Pictures that are compared with each other."""
LEAST_LIKENESS = 8.5
"""Standard deviations of the likeness at all displacements, from which two pictures have a mark in
common: the best of all displacements of unrelated photographs comes to 4 to 8.
"""
LEAST_SHOWN = 0.5
"""Share of a place that a picture must show."""
MOST_SEEDS = 4
"""Different marks that are looked for."""


@dataclass(frozen=True, eq=False)
class AlignedGroup:
    """Pictures that are aligned with one of them where they have edges in common."""

    seed: int
    moves: Mapping[int, tuple[int, int]]
    """The rows and columns by which each picture is moved down and right, the seed too."""
    energy: Plane
    """The significance of the common edges, as large as the seed."""


def reduced(rgb: Pixels, factor: float) -> Pixels:
    """The lightness of a picture, reduced by a factor, uint8 height x width."""
    luma: Pixels = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    if factor >= 1:
        return luma
    small: Pixels = cv2.resize(luma, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return small


def aligned_groups(pictures: Sequence[Pixels]) -> list[AlignedGroup]:
    """The groups of pictures that have edges in common at any displacement, the largest first.

    `pictures` are uint8 height x width; their pairs are compared, so there should be few.
    """
    if len(pictures) < LEAST_MEMBERS:
        return []
    height, width = (max(picture.shape[side] for picture in pictures) for side in (0, 1))
    size = (cv2.getOptimalDFTSize(height), cv2.getOptimalDFTSize(width))
    weights = np.sqrt(whitening(size))
    spectra = [_spectrum(picture, size, weights) for picture in pictures]
    likeness = np.zeros((len(pictures), len(pictures)))
    moves: dict[tuple[int, int], tuple[int, int]] = {}
    for first in range(len(pictures)):
        for second in range(first):
            likeness[first, second], (down, right) = _common(spectra[first], spectra[second], size)
            likeness[second, first] = likeness[first, second]
            moves[first, second], moves[second, first] = (down, right), (-down, -right)
    free = np.ones(len(pictures), bool)
    found: list[AlignedGroup] = []
    while len(found) < MOST_SEEDS:
        alike = (likeness >= LEAST_LIKENESS) & free[:, None] & free[None, :]
        seed = int(alike.sum(axis=1).argmax())
        members = [int(number) for number in np.flatnonzero(alike[seed])]
        if len(members) + 1 < LEAST_MEMBERS:
            break
        placed = {number: _overlapping(moves[seed, number], pictures[number], pictures[seed], size) for number in members}
        placed[seed] = (0, 0)
        found.append(AlignedGroup(seed, placed, _common_energy(pictures, seed, placed)))
        free[list(placed)] = False
    return found


def _spectrum(picture: Pixels, size: tuple[int, int], weights: Plane) -> Spectrum:
    """The whitened directions of a picture's edges in frequencies, 2 x rows x columns."""
    edges = directions(cv2.GaussianBlur(picture, (3, 3), 0))[:2]
    field = np.zeros((2, *size), np.float32)
    field[:, : picture.shape[0], : picture.shape[1]] = edges
    return (rfft2(field) * weights).astype(np.complex64)


def _common(first: Spectrum, second: Spectrum, size: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    """The best likeness of two pictures, in standard deviations of all displacements, and where."""
    product = irfft2((first * np.conj(second)).sum(axis=0), size)
    deviation = 1.4826 * float(np.median(np.abs(product[::3, ::3])))
    down, right = divmod(int(product.argmax()), size[1])
    return float(product.max()) / max(deviation, 1e-9), (down, right)


def _overlapping(move: tuple[int, int], picture: Pixels, seed: Pixels, size: tuple[int, int]) -> tuple[int, int]:
    """The displacement, which is known up to whole fields, at which most edges coincide."""
    best, best_value = move, -np.inf
    own, other = directions(picture)[:2], directions(seed)[:2]
    for down in (move[0] % size[0], move[0] % size[0] - size[0]):
        for right in (move[1] % size[1], move[1] % size[1] - size[1]):
            source, target = _shared(picture.shape, seed.shape, (down, right))
            if source is None or target is None:
                continue
            value = float((own[:, source[0], source[1]] * other[:, target[0], target[1]]).sum())
            if value > best_value:
                best, best_value = (down, right), value
    return best


Part = tuple[slice, slice]


def _shared(picture: tuple[int, ...], seed: tuple[int, ...], move: tuple[int, int]) -> tuple[Part, Part] | tuple[None, None]:
    """The part of a picture that lies on the seed when it is moved, and where it lies there."""
    source, target = [], []
    for own, other, step in zip(picture[:2], seed[:2], move, strict=True):
        low, high = max(0, step), min(other, own + step)
        if high - low < 3:
            return None, None
        source.append(slice(low - step, high - step))
        target.append(slice(low, high))
    return (source[0], source[1]), (target[0], target[1])


def _common_energy(pictures: Sequence[Pixels], seed: int, moves: Mapping[int, tuple[int, int]]) -> Plane:
    """The significance of the edges that recur on the seed when the others are aligned with it."""
    shape = pictures[seed].shape
    sums, counts = np.zeros((PLANES, *shape), np.float32), np.zeros(shape, np.int32)
    for number, move in moves.items():
        source, target = _shared(pictures[number].shape, shape, move)
        if source is None or target is None:
            continue
        sums[:, target[0], target[1]] += directions(pictures[number])[:, source[0], source[1]]
        counts[target] += 1
    return significance(sums, counts)


def parts_of(group: AlignedGroup, pictures: Mapping[int, Pixels], box: Box, factor: float) -> dict[int, Pixels]:
    """What each picture (uint8 height x width x 3, in full size) shows at a place of the seed.

    `box` is the place on the reduced copy. The displacements of reduced copies are followed up to
    whole pixels of the full size. Pictures that show less than half of the place are left out.
    """
    back = 1 / factor
    full = Box(round(box.x * back), round(box.y * back), round(box.width * back), round(box.height * back))
    model = _cut(pictures[group.seed], full)
    if model is None:
        return {}
    own = directions(cv2.cvtColor(model, cv2.COLOR_RGB2GRAY))[:2].transpose(1, 2, 0)
    reach = round(back) if factor < 1 else 0
    parts = {}
    for number, picture in pictures.items():
        down, right = (round(step * back) for step in group.moves[number])
        place = Box(full.x - right, full.y - down, full.width, full.height)
        if reach and number != group.seed:
            wide = _cut(picture, Box(place.x - reach, place.y - reach, place.width + 2 * reach, place.height + 2 * reach))
            if wide is None:
                continue
            other = directions(cv2.cvtColor(wide, cv2.COLOR_RGB2GRAY))[:2].transpose(1, 2, 0)
            scores = cv2.matchTemplate(np.ascontiguousarray(other), np.ascontiguousarray(own), cv2.TM_CCORR)
            _, _, _, (x, y) = cv2.minMaxLoc(scores)
            place = Box(place.x + x - reach, place.y + y - reach, place.width, place.height)
        part = _cut(picture, place)
        if part is not None:
            parts[number] = part
    return parts


def _cut(picture: Pixels, box: Box) -> Pixels | None:
    """A part of a picture that may reach beyond it; None if less than half of it is shown."""
    height, width = picture.shape[:2]
    rows, columns = np.arange(box.y, box.y + box.height), np.arange(box.x, box.x + box.width)
    shown = ((rows >= 0) & (rows < height)).mean() * ((columns >= 0) & (columns < width)).mean()
    if shown < LEAST_SHOWN:
        return None
    return np.ascontiguousarray(picture[np.clip(rows, 0, height - 1)[:, None], np.clip(columns, 0, width - 1)])
