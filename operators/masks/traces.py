"""The traces that letters leave around them: soft edges, shadows, glows, and the ringing of JPEG
and WebP. They are what differs from the ground and is connected to the letters.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.ground import Ground
from operators.masks.ground_cache import GroundCache
from operators.masks.mask import dilated
from operators.rows.arrays import Pixels, Selection, largest_channel

VISIBLE_IN_GRAIN = 2.5
"""How much a trace must differ from the ground, in standard deviations of the smoothed grain."""
LEAST_GRAIN = 1.0
"""Grain in grey levels from which it is smoothed before traces are followed. Without grain
smoothing would only widen the traces, and cancel the waves of ringing.
"""
CLEAR = 3.0
"""How many times the least visible difference a shadow or glow differs from the ground by."""
OUTERMOST = 0.75
"""Share of the reach at which its outermost part begins."""
MOST_AT_REACH = 0.01
"""Share of the outermost part that shadows and glows fill at most; objects fill more."""
LEAST_KNOWN = (0.9, 0.7)
"""Share of the pixels around the letters whose ground is known, so that their shadow can be told.
Places of which more is known come first.
"""
ONE_SURFACE = 2.0
"""How many times the least visible difference the level differs from a smooth surface at most."""
SAMPLES, LEAST_SAMPLES = 2000, 64
"""How many plain pixels are compared with a smooth surface: about so many, and at least."""
NEXT = 6
"""Width in pixels of the ring that shows whether there is a shadow at all."""
MOST_CALM_SLOPE = 0.5
"""Grey levels a pixel by which the ground changes at most where no light fades."""
LEAST_CALM = 0.88
"""Share of that ring which shows the ground alone if there is no shadow; the rest may be an icon.
"""
LEAST_SHADOW = 0.05
"""Pixels of a shadow at least, as a share of those of the letters."""
FARTHEST = 3
"""How many times as far as faint traces the light of letters reaches at most."""


def difference_from(ground: Ground, rgb: Pixels, least: float) -> tuple[npt.NDArray[np.float32], float]:
    """How much each pixel differs from its ground in grey levels, and from where that is visible.

    `least` is the least visible difference without grain. `rgb` is uint8 height x width x 3.
    """
    from_ground = rgb.astype(np.float32) - ground.level
    if ground.noise >= LEAST_GRAIN:
        from_ground = cv2.GaussianBlur(from_ground, (0, 0), 1.0)
    difference: npt.NDArray[np.float32] = largest_channel(np.abs(from_ground))
    plain = difference[ground.plain]
    grain = VISIBLE_IN_GRAIN * float(np.sqrt(np.mean(np.square(plain)))) if plain.size else 0.0
    return difference, max(least, grain)


def with_shadow(grounds: GroundCache, letters: Pixels, height: float, lines: Selection, reach: int, least: float) -> Pixels:
    """The letters with their shadow or glow, where they have one on known ground.

    It is connected to the letters, clearly differs from the ground beyond it, and ends within
    FARTHEST times `reach` pixels; what goes on is an object or an edge of the picture. The `lines`
    of the page do not belong to it. `grounds` are those of the crop, `letters` uint8 height x width
    (0 or 255), `height` that of the line in pixels, and `least` the least visible difference in
    grey levels.
    """
    outlines = np.where(lines, 0, letters).astype(np.uint8)
    near, wide = max(reach // 2, round(0.3 * height)), max(FARTHEST * reach, round(height))
    found: list[tuple[float, Selection]] = []
    for far in (*((near,) if _is_calm(grounds, outlines, near, least) else ()), wide, max(reach, near)):
        found.append(_shadow_within(far, grounds, outlines, lines, least))
        if found[-1][0] >= LEAST_KNOWN[0]:
            break
    for least_known in LEAST_KNOWN:
        for known, shadow in found:
            if known >= least_known:
                is_one = shadow.sum() >= (1 + LEAST_SHADOW) * np.count_nonzero(outlines)
                return np.where(_closed(shadow) & ~lines, 255, letters).astype(np.uint8) if is_one else letters
    return letters


def _shadow_within(far: int, grounds: GroundCache, letters: Pixels, lines: Selection, least: float) -> tuple[float, Selection]:
    """The letters with what clearly differs from the ground `far` pixels away and is connected.

    Before it stands the share of the pixels between whose ground is known; it is 0 if the ground
    is not one surface, or something goes on beyond that distance.
    """
    around, ground = grounds.around(letters, far)
    difference, visible = difference_from(ground, grounds.rgb, least)
    clear = ground.known & ~lines & (difference > CLEAR * visible)
    shadow = _connected(letters > 0, clear) & around
    outermost = around & (dilated(letters, round(OUTERMOST * far)) == 0)
    beside = around & (letters == 0)
    goes_on = outermost.any() and shadow[outermost].mean() > MOST_AT_REACH
    if not beside.any() or goes_on or not _is_one_surface(ground, around, ONE_SURFACE * visible):
        return 0.0, shadow
    return float(ground.known[beside].mean()), shadow


def _is_one_surface(ground: Ground, hole: Selection, tolerance: float) -> bool:
    """Whether the level is one smooth surface, and not that of two panels or of something beside.

    Only then the level that is continued under the letters and their shadow is right. The surface
    is quadratic in the place and fitted to the plain pixels; `tolerance` is the difference from
    it in grey levels, there and in the hole.
    """
    if ground.plain.sum() < LEAST_SAMPLES:
        return False
    known, values = _sampled(ground, ground.plain)
    surface = np.linalg.lstsq(known, values, rcond=None)[0]
    hidden, continued = _sampled(ground, hole)
    errors = (np.abs(level - terms @ surface).max(axis=1) for terms, level in ((known, values), (hidden, continued)))
    return all(float(np.percentile(error, 95)) <= tolerance for error in errors)


def _sampled(ground: Ground, places: Selection) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The terms of a quadratic surface, and the level, at some SAMPLES of the places."""
    rows, columns = np.nonzero(places)
    chosen = slice(None, None, max(1, len(rows) // SAMPLES))
    height, width = places.shape
    down, across = 2 * rows[chosen] / height - 1, 2 * columns[chosen] / width - 1
    terms = np.stack([np.ones(len(down)), down, across, down * down, down * across, across * across], axis=1)
    return terms, ground.level[rows[chosen], columns[chosen]].astype(np.float64)


def _is_calm(grounds: GroundCache, letters: Pixels, near: int, least: float) -> bool:
    """Whether the pixels from `near` pixels beside the letters show the ground alone: neither a
    trace of the letters nor a slope, as that of light which fades.
    """
    around, ground = grounds.around(letters, near)
    beside = (dilated(letters, near + NEXT) > 0) & ~around
    difference, visible = difference_from(ground, grounds.rgb, least)
    calm = ground.known & (difference <= visible) & (ground.slope <= MOST_CALM_SLOPE)
    return bool(beside.any() and calm[beside].mean() >= LEAST_CALM)


def _closed(shadow: Selection) -> Selection:
    """The shadow without the gaps of its edge, where it crosses the level of the ground."""
    closed: Selection = cv2.morphologyEx(shadow.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
    return closed


def _connected(letters: Selection, places: Selection) -> Selection:
    """The letters with all places that are connected to them."""
    _, labels = cv2.connectedComponents((places | letters).astype(np.uint8), connectivity=8)
    own = np.unique(labels[letters])
    connected: Selection = np.isin(labels, own[own > 0])
    return connected
