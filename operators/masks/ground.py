"""The ground under a text: its level, and its grain.

Paper, sky, panels, speech bubbles and blurred backgrounds have a level that changes slowly, and
grain around that level. Both continue under a text, so the pixels around the text show them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.dithering import is_dithered
from operators.masks.median import median_of_counts
from operators.masks.membrane import membrane
from operators.masks.straight_lines import LEAST_LINE, straight_lines
from operators.rows.arrays import Pixels, Selection, largest_channel

Plane = npt.NDArray[np.float32]

BESIDE = 8
"""Distance in pixels from the hole within which the ground must be plain."""
NEXT = 5
"""Ground that is plain within this distance in pixels from the hole is known. What runs under a
text is seen so close to it. A narrow panel is no wider; beyond its edge there may be anything.
"""
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
MOST_NOISE_IN_DARK, LEAST_NOISE = 0.25, 1.0
"""The same as a share of the level, which counts where the level is low: in the dark the eye sees
a texture that is faint elsewhere. Grain below the second value is never a texture.
"""
TRACES = 24.0
"""Grey levels by which pixels between letters may differ from the level and still be plain: a lossy
format leaves that much of the letters there. What differs more is in the picture.
"""
LEAST_PLAIN = 0.9
"""Share of the pixels around a place that must be plain for its ground to be known."""
MOST_SLOPE = 1.5
"""Grey levels a pixel by which a known level changes at most. Where it changes more, a hidden edge
may run anywhere between the two sides of the hole.
"""
CELL = 64
"""Side in pixels of the parts of a crop for whose colours a median is taken."""
LEAST_BESIDE = 32
"""Pixels beside the hole whose median is that of their part of the crop."""
WIDER = 4
"""How much wider the window is where the usual one sees nothing."""
LEAST_SEEN = 0.01
"""Share of a window that must be counted pixels."""
PLAINNESS_SIGMA = 8.0
"""Standard deviation in pixels of the window over which that share is measured."""


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
    """Share of the known pixels around each pixel that are plain, 0..1, or of those next to the
    hole if that is more; lines do not count.
    """
    dithered: bool = False
    """Whether the grain is that of dithering, which is known however strong it is."""

    @property
    def known(self) -> Selection:
        """The pixels whose ground is known so well that a fill must look like it."""
        result: Selection = (self.plainness >= LEAST_PLAIN) & (self.slope <= MOST_SLOPE)
        if self.dithered:
            return result
        if self.noise > MOST_NOISE:
            return np.zeros(self.plainness.shape, bool)
        most_noise = np.maximum(LEAST_NOISE, MOST_NOISE_IN_DARK * largest_channel(self.level))
        return result & (self.noise <= most_noise)

    @property
    def slope(self) -> Plane:
        """How much the level changes, in grey levels a pixel; the largest of the three channels."""
        slopes = [np.abs(cv2.Sobel(self.level, cv2.CV_32F, *axis, scale=1 / 8)) for axis in ((1, 0), (0, 1))]
        result: Plane = largest_channel(np.maximum(*slopes))
        return result

    def share(self, hole: Selection) -> float:
        """The share of the hole's pixels whose ground is known, 0..1; 0 for an empty hole."""
        return float(self.known[hole].mean()) if hole.any() else 0.0

    @property
    def step(self) -> float:
        """Grey levels by which a pixel differs from the level if it is not grain."""
        return max(LEAST_STEP, STEP_IN_NOISE * self.noise)


def ground_of_panel(pixels: Pixels, hole: Selection, near: int, panel: Selection | None) -> Ground:
    """The ground that a hole continues: that of the panel it lies on, or of what is around it.

    A panel is no wider than its letters often, and the picture beyond it tells nothing of it. See
    `estimate_ground`.
    """
    return estimate_ground(pixels, hole if panel is None else hole | ~panel, near)


def estimate_ground(pixels: Pixels, hole: Selection, near: int, lines: Selection | None = None) -> Ground:
    """The ground of a crop (uint8 height x width x 3), from the pixels outside the hole.

    `near` is the distance in pixels from the hole within which pixels count. Pixels that differ
    from the level, such as lines, are left out when the level is estimated a second time. `lines`
    are the crop's `lines_of_ground`, given by who asks for the ground of several holes.
    """
    distance = cv2.distanceTransform((~hole).astype(np.uint8), cv2.DIST_L2, 3)
    local = ~hole & (distance <= near)
    if is_dithered(pixels, local):
        even = _estimate(_seen_from_afar(pixels, ~hole), local, distance, None)
        if even.share(hole) >= LEAST_PLAIN:
            return _with_dithering(even, pixels)
    return _estimate(pixels, local, distance, lines)


def _seen_from_afar(pixels: Pixels, known: Selection) -> Pixels:
    """The known pixels blurred among themselves, so that dithering is no more seen; the others as
    they are.
    """
    smooth, _ = _blurred(pixels.astype(np.float32), known)
    return np.where(known[:, :, None], np.clip(np.rint(smooth), 0, 255), pixels).astype(np.uint8)


def _with_dithering(ground: Ground, pixels: Pixels) -> Ground:
    """The ground of a dithered crop, from that of the crop seen from afar."""
    values = pixels.astype(np.float32)
    level = _level(values, ground.plain)
    noise = float((values - level)[ground.plain].std(axis=0).max())
    return replace(ground, level=level, noise=noise, dithered=True)


def _estimate(pixels: Pixels, local: Selection, distance: Plane, lines: Selection | None) -> Ground:
    """The ground from the `local` pixels of a crop; `distance` is that from the hole in pixels."""
    values, hole = pixels.astype(np.float32), distance == 0
    beside = local & (distance <= BESIDE)
    plain = _connected(local & _agrees_with_median(pixels, local, beside), beside)
    noise = 0.0
    for _ in range(4):
        if plain.sum() < max(8, 0.02 * local.sum()):
            return Ground(values, plain, float("inf"), np.zeros(hole.shape, np.float32))
        smooth, _ = _blurred(values, plain)
        difference = np.abs(values - smooth)
        noise = max(float(1.4826 * np.median(difference[:, :, channel][plain])) for channel in range(3))
        plain = local & (largest_channel(difference) <= max(LEAST_STEP, STEP_IN_NOISE * noise))
        plain = _connected(plain, beside)
    if not plain.any():
        return Ground(values, plain, float("inf"), np.zeros(hole.shape, np.float32))
    counted = local & ~(lines_of_ground(pixels) if lines is None else lines)
    level = _level(values, plain)
    clear = plain | (_gaps_closed(hole) & (largest_channel(np.abs(values - level)) <= TRACES))
    around, beside_hole = (_plainness(places, clear) for places in (counted, counted & (distance <= NEXT)))
    return Ground(level, plain, noise, np.maximum(around, beside_hole))


def lines_of_ground(pixels: Pixels) -> Selection:
    """The straight lines of a crop, which are no part of the ground's level."""
    return straight_lines(pixels, LEAST_LINE)


def _gaps_closed(hole: Selection) -> Selection:
    """The hole with the gaps between its letters, whose pixels show traces of them."""
    kernel = np.ones((2 * BESIDE + 1, 2 * BESIDE + 1), np.uint8)
    # Without a margin, closing would count what lies beyond the crop as part of the hole.
    padded = cv2.copyMakeBorder(hole.astype(np.uint8), BESIDE, BESIDE, BESIDE, BESIDE, cv2.BORDER_CONSTANT, value=0)
    closed: Selection = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)[BESIDE:-BESIDE, BESIDE:-BESIDE] > 0
    return closed


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


def _agrees_with_median(pixels: Pixels, local: Selection, beside: Selection) -> Selection:
    """Pixels near the middle colour of those beside the hole: a first guess of the plain pixels.

    They are compared with those of their own part of the crop, because the level of a gradient
    has no single median.
    """
    height, width = local.shape
    rows, columns = max(1, round(height / CELL)), max(1, round(width / CELL))
    result = np.zeros_like(local)
    for down in np.array_split(np.arange(height), rows):
        for across in np.array_split(np.arange(width), columns):
            cell, wider = _window(down, across, 0), _window(down, across, CELL // 4)
            part = beside[wider] if beside[wider].sum() >= LEAST_BESIDE else local[wider]
            if not part.any():
                continue
            inside = pixels[wider][part]
            middle, spread = zip(*(_middle_and_spread(inside[:, channel]) for channel in range(3)), strict=True)
            difference = np.abs(pixels[cell] - np.array(middle, np.float32))
            near = largest_channel(difference) <= max(12.0, 3.0 * 1.4826 * max(spread))
            result[cell] = local[cell] & near
    return result


def _middle_and_spread(levels: Pixels) -> tuple[float, float]:
    """The median of grey levels, and the median of their differences from it."""
    counts = np.bincount(levels, minlength=256)
    middle = median_of_counts(counts)
    # Medians may lie half-way between two levels, so differences are counted in halves.
    halves = np.abs(2 * np.arange(256) - round(2 * middle))
    return middle, median_of_counts(np.bincount(halves, weights=counts).astype(np.int64)) / 2


def _window(down: npt.NDArray[np.int_], across: npt.NDArray[np.int_], margin: int) -> tuple[slice, slice]:
    """The rows and columns, and some pixels around them, as an index."""
    return np.s_[max(0, down[0] - margin) : down[-1] + 1 + margin, max(0, across[0] - margin) : across[-1] + 1 + margin]


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
