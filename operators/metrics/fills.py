"""Measurements of a pasted fill: how it fits its surroundings, and how hard the place is."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from operators.generators.classical import navier_stokes
from operators.masks.continued_ground import STRAIGHT
from operators.masks.ground import Ground, ground_of_panel
from operators.masks.mask import BLEND, CORE, dilated, hole_of, pasted, ring
from operators.masks.panel import panel_under
from operators.masks.straight_lines import straight_lines
from operators.metrics.continuity import jump, lab_difference, luma, seam_ratio
from operators.metrics.naturalness import band_energies, band_ratios
from operators.metrics.visible_error import NEAR_BLACK, flat_errors, stains
from operators.rows.arrays import Pixels, Selection, largest_channel

LEAST_TRIAL = 32
"""Smallest area in pixels over which a side fill is measured."""

LEAST_WEIGHT = 0.6
"""Least share of a smoothing window that a place must cover for its smoothed difference."""
RING_WIDTH = 12
"""Width in pixels of the ring around an edit that represents its surroundings."""
MOST_ORDINARY, MOST_ORDINARY_DITHERED = 99.0, 100.0
"""Percentile of what the ground shows itself that counts as ordinary. Dithering is so coarse that a
fill shows its extremes too.
"""
NEAR = 64
"""Pixels around an edit that are measured with it: the ring, and what its smoothing reaches."""


@dataclass(frozen=True)
class Surroundings:
    """The edited pixels of a crop, and the pixels around them that show the plain picture."""

    edited: Selection
    """Pixels whose weight at paste-back is more than one half."""
    ring: Selection
    """Pixels within RING_WIDTH of the edit that neither text nor paste-back touches."""
    border: Selection
    """The ring and the pixels next to the edit, without the strokes of other regions."""

    @classmethod
    def of(cls, mask: Pixels, panel: Selection | None = None) -> Surroundings:
        """The surroundings of an edit by this mask (uint8 height x width x 4).

        `panel` is the one that the edit lies on; what is beyond it does not count.
        """
        edited = mask[:, :, BLEND] > 127
        beyond = np.zeros(edited.shape, bool) if panel is None else ~panel
        around = ring(edited, (mask[:, :, CORE] > 0) | (mask[:, :, BLEND] > 0) | beyond, RING_WIDTH)
        others = (mask[:, :, CORE] > 0) & (mask[:, :, BLEND] == 0) | beyond
        return cls(edited, around, ring(edited, others, 1) | around)


def measure_fill(pixels: Pixels, result: Pixels, mask: Pixels, residual_text: float) -> dict[str, float]:
    """The gate's measurements of one pasted fill, by name; NaN where one cannot be measured.

    `pixels` is the crop of the source and `result` the crop with its fill (uint8 height x width
    x 3), and `mask` is the region's mask. `residual_text` says how visible the strokes are that
    are left; the caller measures it.

    How the fill fits: `seam` and `colour_shift` against the ring, and for each octave band, the
    finest first, the ratio `band_N` of its energy to the ring's. How hard the place is: the ring's
    energies `ring_N`, the `grain` of its ground and the share of it that is `plain`, the `spread`
    of the luma near the edit, the edit's `coverage` of its box, its `thickness` and `area`, and
    the error of a side fill, `trial`. How sure the fill is: `flat_apart` and `stain_apart`, its
    `flat_errors` and `stains` if a smooth fill of the same place were the truth. Where two models
    agree, there is little to get wrong. All but `seam`, `colour_shift`, `spread`, `structure`,
    `plain`, the two of the smooth fill and the residual are base-2 logarithms.
    """
    trial = side_fill_error(result, mask)
    place_of_edit = near_edit(mask)
    pixels, result, mask = (np.ascontiguousarray(each[place_of_edit]) for each in (pixels, result, mask))
    panel = panel_under(pixels, mask)
    place = Surroundings.of(mask, panel)
    ground = ground_of_panel(pixels, hole_of(mask) > 0, 2 * RING_WIDTH, panel)
    ratios, around = band_ratios(result, place.edited, place.ring), band_energies(result, place.ring)
    distance = cv2.distanceTransform(np.pad(place.edited.astype(np.uint8), 1), cv2.DIST_L2, 3)
    near = dilated(place.edited.astype(np.uint8), 2 * RING_WIDTH) > 0
    near &= True if panel is None else panel
    smooth = pasted(pixels, navier_stokes(pixels, hole_of(mask), 0), mask[:, :, BLEND])
    spread = float(luma(result)[near & ~(mask[:, :, CORE] > 0)].std()) if near.any() else float("nan")
    return {
        "seam": seam_ratio(result, place.edited, place.border),
        "jump": jump(result, place.edited, place.border),
        "colour_shift": lab_difference(result, place.edited, place.ring),
        **{f"band_{octave}": ratio for octave, ratio in enumerate(ratios)},
        **{f"ring_{octave}": float(np.log2(energy + 1)) for octave, energy in enumerate(around)},
        "spread": spread,
        "coverage": float(np.log2(_covered(mask) + 0.01)),
        "thickness": float(np.log2(distance.max() + 1)),
        "area": float(np.log2(place.edited.sum() + 1)),
        "trial": trial,
        "flat_apart": float(flat_errors(result, smooth).max()),
        "stain_apart": float(stains(result, smooth).max()),
        "residual_text": residual_text,
        "structure": structure_in_fill(result, mask, ground),
        "grain": float(np.log2(min(ground.noise, 255.0) + 1)),
        "plain": ground.share(place.edited),
    }


def near_edit(mask: Pixels) -> tuple[slice, slice]:
    """The rows and columns of an edit and NEAR pixels around it; the whole crop without an edit."""
    extent = _extent(mask[:, :, BLEND] > 0)
    if extent is None:
        return slice(None), slice(None)
    rows, columns = (slice(max(0, side.start - NEAR), side.stop + NEAR) for side in extent)
    return rows, columns


def _extent(selection: Selection) -> tuple[slice, slice] | None:
    """The rows and columns from the first to the last selected pixel; None if there is none."""
    if not selection.any():
        return None
    rows, columns = (np.flatnonzero(selection.any(axis=axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def structure_in_fill(result: Pixels, mask: Pixels, ground: Ground) -> float:
    """How much a fill differs from the known ground that it should continue, in grey levels.

    It is the largest difference, smoothed over 2 pixels, beyond what the ground itself shows
    there. It counts double near black, where the eye sees more. Straight lines that come from
    outside the edit do not count, and nor do places whose ground is unknown, because a fill may
    show anything there. NaN if there are no others.
    """
    inside = (mask[:, :, BLEND] > 0) & ground.known
    if not inside.any():
        return float("nan")
    lines = dilated(_lines_from_outside(result, mask[:, :, BLEND] > 0).astype(np.uint8), 3) > 0
    difference = result.astype(np.float32) - ground.level
    usual, fill = (_smoothed_inside(difference, place & ~lines) for place in (ground.plain, inside))
    fill *= 1 + (luma(result) < NEAR_BLACK)
    ordinary = MOST_ORDINARY_DITHERED if ground.dithered else MOST_ORDINARY
    expected = float(np.percentile(usual[ground.plain], ordinary)) if ground.plain.any() else 0.0
    return max(0.0, float(fill[inside].max()) - expected)


def _lines_from_outside(result: Pixels, edited: Selection) -> Selection:
    """The straight lines that reach out of the edit; others may be the stems of letters."""
    lines = straight_lines(result, STRAIGHT)
    _, labels = cv2.connectedComponents(lines.astype(np.uint8), connectivity=8)
    reaching: Selection = lines & np.isin(labels, labels[lines & ~edited])
    return reaching


def _smoothed_inside(difference: npt.NDArray[np.float32], place: Selection) -> npt.NDArray[np.float32]:
    """The size of a difference at each pixel, smoothed over 2 pixels among those of a place.

    It is that of the worst channel, and 0 where the place covers less than LEAST_WEIGHT of the
    window.
    """
    weight = cv2.GaussianBlur(place.astype(np.float32), (0, 0), 2.0)
    total = cv2.GaussianBlur(np.where(place[:, :, None], difference, 0), (0, 0), 2.0)
    size = largest_channel(np.abs(total)) / np.maximum(weight, LEAST_WEIGHT)
    return np.where(weight >= LEAST_WEIGHT, size, 0).astype(np.float32)


def side_fill_error(result: Pixels, mask: Pixels) -> float:
    """The error of a smooth fill of the edit's shape beside the edit, where the truth is known.

    The edit's shape is moved down, up, right or left of itself, or down by half its height; the
    place where it covers most pixels without text is used. These pixels are filled smoothly
    (Navier-Stokes) and compared with the picture. The result is the base-2 logarithm of the mean
    squared error in grey levels, plus one; NaN if there is no room.
    """
    edited = mask[:, :, BLEND] > 127
    touched = (mask[:, :, BLEND] > 0) | (mask[:, :, CORE] > 0)
    extent = _extent(edited)
    if extent is None:
        return float("nan")
    down, across = (side.stop - side.start + 2 for side in extent)
    offsets = ((down, 0), (-down, 0), (0, across), (0, -across), (down // 2, 0))
    beside = max((_shifted(edited, y, x) & ~touched for y, x in offsets), key=lambda place: int(place.sum()))
    if beside.sum() < 0.1 * edited.sum() or beside.sum() < LEAST_TRIAL:
        return float("nan")
    filled = cv2.inpaint(result, beside.astype(np.uint8), 3, cv2.INPAINT_NS)
    return float(np.log2(np.mean((luma(filled)[beside] - luma(result)[beside]) ** 2) + 1))


def _shifted(selection: Selection, down: int, right: int) -> Selection:
    """A selection moved by whole pixels; the part that leaves the crop is dropped."""
    moved = np.zeros_like(selection)
    height, width = selection.shape
    if abs(down) >= height or abs(right) >= width:
        return moved
    source = selection[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    moved[max(0, down) : max(0, down) + source.shape[0], max(0, right) : max(0, right) + source.shape[1]] = source
    return moved


def _covered(mask: Pixels) -> float:
    """The mean weight of the edit over its bounding box, grown by 16 pixels on each side."""
    extent = _extent(mask[:, :, BLEND] > 0)
    if extent is None:
        return 0.0
    rows, columns = (side.stop - side.start + 32 for side in extent)
    return float(mask[:, :, BLEND].sum(dtype=np.float64) / 255 / (rows * columns))
