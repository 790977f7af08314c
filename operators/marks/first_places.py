"""The most likely places of a mark: the first search, on reduced copies of the picture.

Edges are whitened before they are compared, so that the correlation of a place without the mark has
nearly the same known spread for a mark of any size, even for one as large as the picture.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.fft import irfft2, rfft2

from operators.marks.rendering import Pose
from operators.marks.view import View, deep, resized, template
from operators.marks.whitening import Spectrum, whitening
from operators.rows.overlay import Plane

COARSE = 26.0
"""Root of a mark's area in pixels where it is first looked for."""
LONGEST = 96
"""Longer side in pixels of a mark where it is first looked for, at most."""
SHORTEST = 7
"""Shorter side in pixels of a mark where it is first looked for, at least."""
ASIDE = 1.0
"""Pixels by which the ends of a mark may lie beside those of a size and a turn that are tried."""
LARGEST_STEP = 1.12
"""Ratio of neighbouring sizes of the first search, at most."""
MOST_TURN = 6.0
"""Degrees by which a mark may be turned."""
MOST_TURNED = 400_000
"""Pixels of a copy above which no turns are tried, because of their cost."""
OCTAVE = math.sqrt(2)
"""Ratio of neighbouring reduced copies of the picture."""
LEAST_POWER = 0.1
"""Power of a part of the picture, as a share of the whole's, that is always allowed for."""
PER_MAP = 2
"""Places that one size and turn of the mark may name."""
CANDIDATES = 14
"""Places that are followed up, at most."""
LEAST_FIRST = 4.0
"""Correlation in standard deviations from which a place is followed up."""
NEAR, ALIKE = 0.15, 0.2
"""Distance as a share of the mark's side, and difference of size, of places that are one."""


def first_places(view: View, least: float, most: float) -> list[Pose]:
    """The most likely places of the mark between two sizes, the likeliest first."""
    area, (height, width) = math.sqrt(view.mark.alpha.size), view.mark.alpha.shape
    side = min(COARSE, LONGEST / max(height, width) * area)
    side = max(side, SHORTEST / min(height, width) * area)
    most = min(most, view.frame.height * 1.3 / height, view.frame.width * 1.3 / width)
    if most < least:
        return []
    half = max(height, width) * side / area / 2
    places: list[tuple[float, Pose]] = []
    sizes, turns = _sizes(least, most, half), _turns(half)
    for _, group in itertools.groupby(sizes, lambda size: math.floor(math.log(size / sizes[0]) / math.log(OCTAVE) + 1e-9)):
        some = list(group)
        factor = min(1.0, side / (area * some[0]))
        small = resized(view.planes, factor)
        if min(small.shape[:2]) >= 4:
            few = small.shape[0] * small.shape[1] <= MOST_TURNED
            places += _peaks(view, small, factor, list(itertools.product(some, turns if few else [0.0])))
    places.sort(key=lambda place: -place[0])
    chosen: list[Pose] = []
    for value, pose in places:
        if value < LEAST_FIRST or len(chosen) == CANDIDATES:
            break
        reach = NEAR * pose.scale * area
        if not any(
            math.hypot(one.x - pose.x, one.y - pose.y) < reach and abs(one.scale / pose.scale - 1) < ALIKE for one in chosen
        ):
            chosen.append(pose)
    return chosen


def _sizes(least: float, most: float, half: float) -> list[float]:
    """Sizes so close that the ends of a mark of half this length are never far off."""
    step = min(1 + 2 * ASIDE / half, LARGEST_STEP)
    count = math.ceil(math.log(most / least) / math.log(step) - 1e-9) + 1
    return [float(size) for size in np.geomspace(least, most, count)] if count > 1 else [least]


def _turns(half: float) -> list[float]:
    """Turns in degrees that are as close, around 0."""
    count = max(0, math.ceil(MOST_TURN / math.degrees(2 * ASIDE / half) - 0.5))
    return [number * MOST_TURN / (count + 0.5) for number in range(-count, count + 1)]


def _peaks(view: View, small: Plane, factor: float, tried: list[tuple[float, float]]) -> Iterator[tuple[float, Pose]]:
    """The best places in a reduced copy of the mark at some sizes and turns, with their scores."""
    templates = [template(view, size * factor, turn, blurred=True) for size, turn in tried]
    tallest, widest = (max(getattr(box, side) for _, box in templates) for side in ("height", "width"))
    # A mark may be cut by the border, and be as large as the picture.
    across, down = widest // 3, tallest // 3
    seen = view.axes.seen(deep(cv2.GaussianBlur(small, (3, 3), 0)))
    height, width = seen.shape[0] + 2 * down, seen.shape[1] + 2 * across
    size = (cv2.getOptimalDFTSize(height + tallest), cv2.getOptimalDFTSize(width + widest))
    weights = whitening(size)
    spectra = _spectra(seen, size, (down, across))
    power = np.sum([irfft2(one * np.sqrt(weights), size)[:height, :width] ** 2 for one in spectra], axis=0)
    least = LEAST_POWER * float(power[down : height - down, across : width - across].mean())
    spectra = [one * weights for one in spectra]
    for (scale, turn), (edges, box) in zip(tried, templates, strict=True):
        if box.height > height or box.width > width:
            continue
        own = _spectra(edges, size, (0, 0))
        energy = sum(float((np.abs(one) ** 2 * weights).sum()) for one in own) * 2 / (size[0] * size[1])
        product = irfft2(np.sum([one * np.conj(mark) for one, mark in zip(spectra, own, strict=True)], axis=0), size)
        product = product[: height - box.height + 1, : width - box.width + 1]
        local = cv2.boxFilter(power.astype(np.float32), cv2.CV_32F, (box.width, box.height), anchor=(0, 0))
        local = np.maximum(local[: product.shape[0], : product.shape[1]], least) / edges.shape[2]
        scores = (product / np.sqrt(local * max(energy, 1e-9))).astype(np.float32)
        reach = max(2, round(0.2 * min(box.width, box.height)))
        for _ in range(PER_MAP):
            _, value, _, (x, y) = cv2.minMaxLoc(scores)
            pose = Pose(x - across - box.x, y - down - box.y, scale * factor, turn)
            yield value, pose.scaled(1 / factor)
            scores[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1] = -1


def _spectra(planes: Plane, size: tuple[int, int], place: tuple[int, int]) -> list[Spectrum]:
    """The Fourier transforms of planes that are put at a place of an empty field."""
    field = np.zeros(size, np.float32)
    found = []
    for number in range(planes.shape[2]):
        field[place[0] : place[0] + planes.shape[0], place[1] : place[1] + planes.shape[1]] = planes[:, :, number]
        found.append(rfft2(field).astype(np.complex64))
    return found
