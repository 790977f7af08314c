"""The ground that a text stands on: its level, its grain, and the lines that run through it.

Paper, sky, panels, speech bubbles and blurred backgrounds have a level that changes slowly, grain
around that level, and perhaps straight lines. All three continue under a text, so they can be
estimated from the pixels around it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.membrane import membrane
from operators.rows.arrays import Pixels, Selection

Plane = npt.NDArray[np.float32]

BESIDE = 8
"""Distance in pixels from the hole within which the ground must be plain."""
LEAST_PART = 0.05
"""Least pixels beside the hole that a part of the ground has, as a share of the largest part's."""
SMOOTHING = 3.0
"""Standard deviation in pixels of the blur that separates the level from the grain."""
LEAST_STEP = 3.0
"""Grey levels by which a line or a letter differs from the level at least."""
STEP_IN_NOISE = 4.0
"""The same in standard deviations of the grain."""
MOST_NOISE = 8.0
"""Standard deviation of the grain, in grey levels, above which the ground is a texture."""
LEAST_PLAIN = 0.9
"""Share of the pixels around a place that must be plain for its ground to be known."""
MOST_SLOPE = 1.5
"""Grey levels a pixel by which a known level changes at most. Where it changes more, a hidden edge
may run anywhere between the two sides of the hole.
"""
WIDER = 4
"""How much wider the window is where the usual one sees nothing."""
LEAST_SEEN = 0.01
"""Share of a window that must be counted pixels."""
PLAINNESS_SIGMA = 8.0
"""Standard deviation in pixels of the window over which that share is measured."""
LEAST_LINE = 24
"""Length in pixels from which a straight line counts as part of the ground."""
STRAIGHT = 6
"""Pixels over which a line must be constant on both sides of the hole."""
LEAST_REST = 16
"""Length in pixels that a line must have on each side of the hole that it runs through."""


@dataclass(frozen=True)
class Ground:
    """The ground of a crop, height x width."""

    level: Plane
    """The smooth colour in grey levels 0..255, float32 height x width x 3, also in the hole."""
    plain: Selection
    """Known pixels that show the level and its grain."""
    noise: float
    """Standard deviation of the grain in grey levels; the largest of the three channels."""
    plainness: Plane
    """Share of the known pixels around each pixel that are plain, 0..1; lines do not count."""

    @property
    def known(self) -> Selection:
        """The pixels whose ground is known so well that a fill must look like it."""
        if self.noise > MOST_NOISE:
            return np.zeros(self.plainness.shape, bool)
        slope = np.maximum(
            *(np.abs(cv2.Sobel(self.level, cv2.CV_32F, *axes, scale=1 / 8)).max(axis=2) for axes in ((1, 0), (0, 1)))
        )
        result: Selection = (self.plainness >= LEAST_PLAIN) & (slope <= MOST_SLOPE)
        return result

    def share(self, hole: Selection) -> float:
        """The share of the hole's pixels whose ground is known, 0..1; 0 for an empty hole."""
        return float(self.known[hole].mean()) if hole.any() else 0.0

    @property
    def step(self) -> float:
        """Grey levels by which a pixel differs from the level if it is not grain."""
        return max(LEAST_STEP, STEP_IN_NOISE * self.noise)


def estimate_ground(pixels: Pixels, hole: Selection, near: int, elsewhere: Selection | None = None) -> Ground:
    """The ground of a crop (uint8 height x width x 3), from the pixels outside the hole.

    `near` is the distance in pixels from the hole within which pixels count; pixels of
    `elsewhere` never count. Pixels that differ from the level, such as lines, are left out when
    the level is estimated a second time.
    """
    values = pixels.astype(np.float32)
    known = ~hole if elsewhere is None else ~hole & ~elsewhere
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)
    local = known & (distance <= near)
    beside = local & (distance <= BESIDE)
    plain = _connected(local & _agrees_with_median(values, local), beside)
    noise = 0.0
    for _ in range(2):
        if plain.sum() < max(8, 0.02 * local.sum()):
            return Ground(values, plain, float("inf"), np.zeros(hole.shape, np.float32))
        smooth, _ = _blurred(values, plain)
        difference = np.abs(values - smooth)
        noise = max(float(1.4826 * np.median(difference[:, :, channel][plain])) for channel in range(3))
        plain = local & (difference.max(axis=2) <= max(LEAST_STEP, STEP_IN_NOISE * noise))
        plain = _connected(plain, beside)
    if not plain.any():
        return Ground(values, plain, float("inf"), np.zeros(hole.shape, np.float32))
    counted = local & ~straight_lines(pixels, LEAST_LINE)
    return Ground(_level(values, plain), plain, noise, _plainness(counted, plain))


def _plainness(counted: Selection, plain: Selection) -> Plane:
    """The share of the counted pixels around each pixel that are plain.

    In the middle of large letters no pixel is within the window, so a wider one is used there.
    """
    weights = np.dstack([counted, counted & plain]).astype(np.float32)
    near = cv2.GaussianBlur(weights, (0, 0), PLAINNESS_SIGMA)
    height, width = counted.shape
    size = (max(1, width // WIDER), max(1, height // WIDER))
    small = cv2.GaussianBlur(cv2.resize(weights, size, interpolation=cv2.INTER_AREA), (0, 0), PLAINNESS_SIGMA)
    wide = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    blurred = np.where(near[:, :, :1] >= LEAST_SEEN, near, wide)
    share: Plane = blurred[:, :, 1] / np.maximum(blurred[:, :, 0], 1e-6)
    return share


def _connected(plain: Selection, beside: Selection) -> Selection:
    """The plain pixels that are connected to the hole: those of the same panel, page or bubble."""
    count, labels = cv2.connectedComponents(plain.astype(np.uint8), connectivity=4)
    counts = np.bincount(labels[beside & plain], minlength=count)
    connected: Selection = plain & (counts >= max(1.0, LEAST_PART * counts[1:].max(initial=0)))[labels]
    return connected


def _agrees_with_median(values: Plane, local: Selection) -> Selection:
    """Pixels near the middle colour of their surroundings: a first guess of the plain pixels.

    The surroundings are cells of the crop, because the level of a gradient has no single median.
    """
    height, width = local.shape
    rows, columns = max(1, round(height / 64)), max(1, round(width / 64))
    result = np.zeros_like(local)
    for down in np.array_split(np.arange(height), rows):
        for across in np.array_split(np.arange(width), columns):
            cell = np.s_[down[0] : down[-1] + 1, across[0] : across[-1] + 1]
            part = local[cell]
            if not part.any():
                continue
            inside = values[cell][part]
            middle = np.median(inside, axis=0)
            spread = 1.4826 * np.median(np.abs(inside - middle), axis=0).max()
            near = np.abs(values[cell] - middle).max(axis=2) <= max(12.0, 3.0 * spread)
            result[cell] = part & near
    return result


def _blurred(values: Plane, plain: Selection) -> tuple[Plane, Plane]:
    """The plain pixels blurred among themselves, and the weight that they have at each place."""
    weight: Plane = cv2.GaussianBlur(plain.astype(np.float32), (0, 0), SMOOTHING)
    blurred = cv2.GaussianBlur(values * plain[:, :, None], (0, 0), SMOOTHING)
    smooth: Plane = blurred / np.maximum(weight, 1e-3)[:, :, None]
    return smooth, weight


def _level(values: Plane, plain: Selection) -> Plane:
    """The level through the plain pixels: blurred where they are, a membrane elsewhere."""
    smooth, weight = _blurred(values, plain)
    known = plain & (weight > 0.05)
    return membrane(smooth * known[:, :, None], known.astype(np.float32), known)


def straight_lines(pixels: Pixels, length: int) -> Selection:
    """The pixels of level and upright lines of one colour, at least `length` pixels long.

    Rules of tables, underlines and borders of panels are such lines; letters have none as long.
    A line may be grainy, but less so than it differs from the pixels beside it. The pixels beside
    a thin line count as part of it.
    """
    values = pixels.astype(np.float32)
    grain = 4.5 * float(np.median(np.abs(values - cv2.medianBlur(pixels, 3))))
    result = np.zeros(pixels.shape[:2], bool)
    for across in (0, 1):
        mean = cv2.blur(values, (length // 2, 1) if across == 0 else (1, length // 2))
        contrast = np.maximum(*(np.abs(mean - _shifted(mean, step, across)).max(axis=2) for step in (-2, 2)))
        deviation = np.abs(values - mean).max(axis=2)
        steady = (contrast > max(LEAST_EDGE, grain)) & (deviation <= np.maximum(max(LINE_STEP, grain), LINE_GRAIN * contrast))
        gap, kernel = (np.ones((1, side) if across == 0 else (side, 1), np.uint8) for side in (3, length))
        joined = cv2.morphologyEx(steady.astype(np.uint8), cv2.MORPH_CLOSE, gap)
        result |= cv2.morphologyEx(joined, cv2.MORPH_OPEN, kernel) > 0
    return result


def _shifted(values: Plane, step: int, axis: int) -> Plane:
    """The values moved by some pixels along an axis; those of the border are repeated."""
    places = np.clip(np.arange(values.shape[axis]) - step, 0, values.shape[axis] - 1)
    return np.take(values, places, axis=axis)


LINE_STEP = 3.0
"""Grey levels by which pixels along a line may differ from their mean."""
LINE_GRAIN = 0.1
"""The same as a share of the line's contrast."""
LEAST_EDGE = 12.0
"""Grey levels by which a line differs from the pixels beside it at least."""


def continue_ground(pixels: Pixels, hole: Selection, ground: Ground, seed: int) -> Pixels:
    """The crop with its hole filled by the ground: its level, its grain and its straight lines."""
    values = pixels.astype(np.float32)
    filled = ground.level + _grain(values, hole, ground, seed)
    lines, along = _straight_lines(values, hole, ground)
    filled[lines] = along[lines]
    result = pixels.copy()
    result[hole] = np.clip(np.rint(filled[hole]), 0, 255).astype(np.uint8)
    return result


def _grain(values: Plane, hole: Selection, ground: Ground, seed: int) -> Plane:
    """Grain for the hole: that of plain pixels, moved there in one piece where that is possible.

    Moving keeps how the grain of neighbouring pixels is related, as in film and in JPEG files.
    """
    if ground.noise == 0.0 or not ground.plain.any():
        return np.zeros_like(values)
    grain = np.where(ground.plain[:, :, None], values - ground.level, 0).astype(np.float32)
    missing = hole.copy()
    result = np.zeros_like(values)
    height, width = hole.shape
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    tall, wide = int(rows[-1] - rows[0] + 1), int(columns[-1] - columns[0] + 1)
    random = np.random.default_rng(seed)
    candidates = [(sign * tall, 0) for sign in (1, -1)] + [(0, sign * wide) for sign in (1, -1)]
    candidates += [
        (int(random.integers(-height + 1, height)), int(random.integers(-width + 1, width))) for _ in range(GRAIN_TRIALS)
    ]
    for down, across in candidates:
        if not missing.any():
            return result
        target = np.s_[max(0, -down) : height - max(0, down), max(0, -across) : width - max(0, across)]
        source = np.s_[max(0, down) : height + min(0, down), max(0, across) : width + min(0, across)]
        if not missing[target].size:
            continue
        usable = missing[target] & ground.plain[source]
        result[target][usable] = grain[source][usable]
        missing[target] &= ~usable
    if missing.any():
        chosen = grain[ground.plain]
        result[missing] = chosen[random.integers(0, len(chosen), int(missing.sum()))]
    return result


GRAIN_TRIALS = 24
"""Random displacements that are tried for the grain after the four beside the hole."""


def _straight_lines(values: Plane, hole: Selection, ground: Ground) -> tuple[Selection, Plane]:
    """Which pixels of the hole lie on a straight line, upright or level, and their colours."""
    lines = straight_lines(np.clip(values, 0, 255).astype(np.uint8), LEAST_REST)
    across, colour = _along_rows(values, hole, lines, ground.level, ground)
    down, other = _along_rows(values.swapaxes(0, 1), hole.T, lines.T, ground.level.swapaxes(0, 1), ground)
    down, other = down.T, other.swapaxes(0, 1)
    stronger = np.abs(other - ground.level).max(axis=2) > np.abs(colour - ground.level).max(axis=2)
    use_down = down & (~across | stronger)
    return across | down, np.where(use_down[:, :, None], other, colour).astype(np.float32)


def _along_rows(values: Plane, hole: Selection, lines: Selection, level: Plane, ground: Ground) -> tuple[Selection, Plane]:
    """The pixels of the hole whose row shows the same line on both sides, and its colour."""
    width = hole.shape[1]
    places = np.arange(width)
    between = np.ones((1, STRAIGHT + 1), np.uint8)
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
    middle = both.mean(axis=1)
    constant = both.std(axis=1).max(axis=1) <= max(4.0, 1.5 * ground.noise)
    constant &= np.abs(left.mean(axis=1) - right.mean(axis=1)).max(axis=1) <= max(8.0, 3.0 * ground.noise)
    differs = np.abs(middle - level[rows, columns]).max(axis=1) > ground.step
    chosen = on_line & constant & differs
    found[rows[chosen], columns[chosen]] = True
    colour[rows[chosen], columns[chosen]] = middle[chosen]
    return found, colour
