"""Continue the ground through a hole: its level, its grain, and the lines that cross the hole."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.dithering import PERIOD
from operators.masks.ground import Ground
from operators.masks.straight_lines import straight_lines
from operators.rows.arrays import Pixels, Selection, largest_channel

Plane = npt.NDArray[np.float32]
Window = tuple[slice, slice]
"""Rows and columns of a crop."""

STRAIGHT = 12
"""Pixels over which a line must be steady on both sides of the hole."""
LEAST_STEADY = 0.75
"""Share of these pixels that are steady. Those next to the hole may be touched by the letters."""
LONGEST_GAP = 33
"""Pixels between two letters whose line is not long enough to be seen there alone."""
LEAST_GAP, LEAST_SEEN, TOUCHED = 3, 0.5, 4
"""Pixels between two letters from which they tell whether the line is there, the share of them that
must show it, and how many need not show it in a wide gap: those that the letters touch.
"""
UNSTEADY = 0.075
"""How much a line's colour may vary, as a share of its contrast to the ground."""
LEAST_REST = 16
"""Length in pixels that a line must have on each side of the hole that it runs through."""
GRAIN_TRIALS = 24
"""Random displacements that are tried for the grain after the four beside the hole."""
CALM_SIGMA, CALM_NEAR, LEAST_WEIGHT = 4.0, 97, 0.15
"""Standard deviation in pixels of the window in which the strength of the grain is measured, the
side of the neighbourhood whose calmest place counts, and the share of a window that must be plain.
"""
MOST_UNEVEN = 1.3
"""How many times as strong as at the calmest place the grain of one ground may look by chance."""
UNMEASURED = 1e3
"""Stronger than any grain."""
LIKE_LEVEL, AFAR = 3.0, 8.0
"""Grey levels by which the ground differs at most between two places whose dithering is alike, and
the standard deviation in pixels of the blur with which it is seen for that.
"""


def continue_ground(pixels: Pixels, hole: Selection, ground: Ground, seed: int) -> Pixels:
    """The crop with its hole filled by the ground: its level, its grain and its straight lines."""
    values = pixels.astype(np.float32)
    filled = ground.level + _grain(values, hole, ground, seed)
    lines, along = _lines_through(values, hole, ground)
    filled[lines] = along[lines]
    result = pixels.copy()
    result[hole] = np.clip(np.rint(filled[hole]), 0, 255).astype(np.uint8)
    return result


def _grain(values: Plane, hole: Selection, ground: Ground, seed: int) -> Plane:
    """Grain for the hole: that of plain pixels, moved there in one piece where that is possible.

    Moving keeps how the grain of neighbouring pixels is related, as in film and in JPEG files. A
    dithered ground shows only the colours of its palette, so its pixels are moved as they are.
    """
    result = np.zeros_like(values)
    if ground.noise == 0.0 or not ground.plain.any():
        return result
    grain = np.where(ground.plain[:, :, None], values - ground.level, 0).astype(np.float32)
    if not ground.dithered:
        grain *= _calmness(grain, ground.plain)
    missing = hole.copy()
    random = np.random.default_rng(seed)
    seen = cv2.GaussianBlur(ground.level, (0, 0), AFAR) if ground.dithered else ground.level
    for target, source in _moves(ground, hole, random):
        usable = missing[target] & ground.plain[source]
        moved = grain[source]
        if ground.dithered:
            usable &= largest_channel(np.abs(seen[target] - seen[source])) <= LIKE_LEVEL
            moved = values[source] - ground.level[target]
        result[target][usable] = moved[usable]
        missing[target] &= ~usable
        if not missing.any():
            return result
    chosen = grain[ground.plain]
    result[missing] = chosen[random.integers(0, len(chosen), int(missing.sum()))]
    return result


def _calmness(grain: Plane, plain: Selection) -> Plane:
    """By how much the grain of each plain pixel is to be weakened, 0..1, to be no more than
    MOST_UNEVEN times as strong as at the calmest place near it.

    Letters leave ringing around them in a lossy format, which goes with them. Grain of film and
    sensors is about as strong everywhere.
    """
    weight = cv2.GaussianBlur(plain.astype(np.float32), (0, 0), CALM_SIGMA)
    energy = cv2.GaussianBlur(largest_channel(grain * grain), (0, 0), CALM_SIGMA) / np.maximum(weight, LEAST_WEIGHT)
    strength = np.sqrt(np.maximum(energy, 1e-6)).astype(np.float32)
    measured = np.where(plain & (weight >= LEAST_WEIGHT), strength, UNMEASURED).astype(np.float32)
    calmest = cv2.erode(measured, np.ones((CALM_NEAR, CALM_NEAR), np.uint8))
    result: Plane = np.minimum(MOST_UNEVEN * calmest / strength, 1).astype(np.float32)[:, :, None]
    return result


def _moves(ground: Ground, hole: Selection, random: np.random.Generator) -> Iterator[tuple[Window, Window]]:
    """The displacements that are tried for the grain, each as the window that is filled and the
    window that it is taken from.

    Dithering is moved by whole periods, and first along the rows and columns of the crop: grounds
    mostly change along one of these, and dithering is alike only where the level is.
    """
    height, width = hole.shape
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    tall, wide = int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
    period = PERIOD if ground.dithered else 1
    tall, wide = -(-tall // period) * period, -(-wide // period) * period
    moves = [(sign * tall, 0) for sign in (1, -1)] + [(0, sign * wide) for sign in (1, -1)]
    if ground.dithered:
        moves += [(sign * down, 0) for down in range(PERIOD, height, PERIOD) for sign in (1, -1)]
        moves += [(0, sign * across) for across in range(PERIOD, width, PERIOD) for sign in (1, -1)]
    moves += [
        (
            int(random.integers(-height + 1, height)) // period * period,
            int(random.integers(-width + 1, width)) // period * period,
        )
        for _ in range(GRAIN_TRIALS)
    ]
    for down, across in moves:
        if abs(down) < height and abs(across) < width:
            target = np.s_[max(0, -down) : height - max(0, down), max(0, -across) : width - max(0, across)]
            source = np.s_[max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)]
            yield target, source


def _lines_through(values: Plane, hole: Selection, ground: Ground) -> tuple[Selection, Plane]:
    """Which pixels of the hole lie on a straight line, upright or level, and their colours."""
    lines = straight_lines(np.clip(values, 0, 255).astype(np.uint8), LEAST_REST)
    across, colour = _along_rows(values, hole, lines, ground.level, ground)
    down, other = _along_rows(values.swapaxes(0, 1), hole.T, lines.T, ground.level.swapaxes(0, 1), ground)
    down, other = down.T, other.swapaxes(0, 1)
    stronger = largest_channel(np.abs(other - ground.level)) > largest_channel(np.abs(colour - ground.level))
    use_down = down & (~across | stronger)
    return across | down, np.where(use_down[:, :, None], other, colour).astype(np.float32)


def _along_rows(values: Plane, hole: Selection, lines: Selection, level: Plane, ground: Ground) -> tuple[Selection, Plane]:
    """The pixels of the hole whose row shows the same line on both sides, and its colour."""
    width = hole.shape[1]
    places = np.arange(width)
    between = np.ones((1, LONGEST_GAP), np.uint8)
    closed = cv2.morphologyEx(np.ascontiguousarray(hole, np.uint8), cv2.MORPH_CLOSE, between) > 0
    before = np.maximum.accumulate(np.where(closed, -1, places), axis=1)
    after = np.minimum.accumulate(np.where(closed, width, places)[:, ::-1], axis=1)[:, ::-1]
    usable = hole & (before >= STRAIGHT - 1) & (after <= width - STRAIGHT)
    rows, columns = np.nonzero(usable)
    colour = level.copy()
    found = np.zeros_like(hole)
    if not len(rows):
        return found, colour
    steps = np.arange(STRAIGHT)
    left_columns, right_columns = before[rows, columns][:, None] - steps, after[rows, columns][:, None] + steps
    left, right = values[rows[:, None], left_columns], values[rows[:, None], right_columns]
    on_line = lines[rows[:, None], left_columns].any(axis=1) & lines[rows[:, None], right_columns].any(axis=1)
    both = np.concatenate([left, right], axis=1)
    middle = np.median(both, axis=1)
    contrast = _contrast(left - level[rows[:, None], left_columns], right - level[rows[:, None], right_columns])
    unsteady = np.maximum(max(4.0, 1.5 * ground.noise), UNSTEADY * contrast)
    steady = largest_channel(np.abs(both - middle[:, None])) <= 2 * unsteady[:, None]
    constant = (steady[:, :STRAIGHT].mean(axis=1) >= LEAST_STEADY) & (steady[:, STRAIGHT:].mean(axis=1) >= LEAST_STEADY)
    differs = contrast > ground.step
    chosen = on_line & constant & differs
    runs = np.stack([rows, before[rows, columns], after[rows, columns]], axis=1)
    chosen[chosen] = _are_seen_between(values, hole, runs[chosen], middle[chosen], 2 * unsteady[chosen])
    found[rows[chosen], columns[chosen]] = True
    colour[rows[chosen], columns[chosen]] = middle[chosen]
    return found, colour


def _contrast(left: Plane, right: Plane) -> Plane:
    """How much each line differs from the ground, on the side of the hole where it differs less.

    Both are given as lines x pixels x channels: the pixels of the line less the level at them. The
    level inside the hole does not tell: on a gradient it differs from the ground beside the hole,
    where there is no line.
    """
    result: Plane = np.minimum(*(np.abs(np.median(side, axis=1)).max(axis=1) for side in (left, right)))
    return result


def _are_seen_between(
    values: Plane, hole: Selection, runs: npt.NDArray[np.int64], colours: Plane, tolerances: Plane
) -> Selection:
    """For each pixel of the hole, whether every gap between the letters of its run shows its line.

    A run is a row with the last column before the letters and the first one behind them. Gaps of
    fewer than LEAST_GAP pixels do not tell.
    """
    different, firsts, run_of = np.unique(runs, axis=0, return_index=True, return_inverse=True)
    seen = np.ones(len(different), bool)
    for number, (row, start, end) in enumerate(different):
        columns = np.flatnonzero(~hole[row, start + 1 : end]) + start + 1
        alike = np.abs(values[row, columns] - colours[firsts[number]]).max(axis=1) <= tolerances[firsts[number]]
        gaps = np.split(alike, np.flatnonzero(np.diff(columns) > 1) + 1)
        seen[number] = all(_shows_line(gap) for gap in gaps if len(gap) >= LEAST_GAP)
    result: Selection = seen[run_of.ravel()]
    return result


def _shows_line(alike: Selection) -> bool:
    """Whether enough pixels of a gap between letters are like the line."""
    return bool(alike.sum() >= max(LEAST_SEEN * len(alike), len(alike) - TOUCHED))
