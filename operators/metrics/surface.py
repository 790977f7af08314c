"""Describe the surface behind a text, never the text itself, in a few readable figures.

Before measuring, `smoothed_over` replaces the pixels that the text has touched by a cheap smooth
fill. The figures count only pixels that the text has not touched. FIGURES lists everything that
`describe` writes into `metadata`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from operators.masks.geometry import Polygon, stroke_height
from operators.masks.ground import estimate_ground
from operators.masks.mask import BLEND, CORE, dilated, hole_of, ring
from operators.metrics.continuity import luma
from operators.metrics.face_damage import face_figures
from operators.metrics.fills import RING_WIDTH, Surroundings, near_edit
from operators.metrics.naturalness import BANDS, band_energies
from operators.metrics.straight_edges import CANDIDATES, straight_edges
from operators.rows.arrays import LUMA_WEIGHTS, Pixels, Selection
from operators.vision.face_detector import Face

COLOURS = 3
"""Number of dominant colours."""
SAMPLES = 512
"""Most pixels from which the dominant colours are computed."""
SAME_COLOUR = 12.0
"""Distance in sRGB grey levels below which two dominant colours are merged."""
ROUGH = 3.0
"""Grey levels of detail (root mean square) above which a place is textured and not flat.

Grain and noise count as texture.
"""
EDGE_RING = 24
"""Pixels around an edit in which straight edges are searched."""


@dataclass(frozen=True)
class Figure:
    """One entry of `metadata`: its name, unit, range and meaning."""

    name: str
    unit: str
    least: float
    most: float
    meaning: str
    region_only: bool = False
    """Whether only regions have the figure, not whole pictures."""


ANY = float("inf")
FIGURES = (
    Figure("seen", "pixels", 0, ANY, "pixels that were measured; with 0 all surface figures are 0 and mean nothing"),
    Figure("mask_area", "share", 0, 1, "edited pixels of the crop or the picture"),
    Figure("size", "pixels", 1, ANY, "the picture's longer side"),
    Figure("brightness", "grey levels", 0, 255, "mean luma"),
    Figure("contrast", "grey levels", 0, 127.5, "standard deviation of the luma"),
    Figure("noise", "grey levels", 0, ANY, "deviation of the luma's noise; includes the detail of dense fine texture"),
    Figure("blur", "share", 0, 1, "0 sharp to 1 blurred; 0 where nothing varies"),
    Figure("texture", "grey levels", 0, 1020, "mean absolute Laplacian of the luma"),
    Figure("textured", "share", 0, 1, "pixels in whose neighbourhood the detail is above 3 grey levels: 0 flat, 1 textured"),
    *(
        Figure(
            f"energy_{octave}", "squared grey levels", 0, 65025, f"mean square of the luma's octave band {octave}, 0 the finest"
        )
        for octave in range(BANDS)
    ),
    *(
        Figure(f"colour_{number}_{part}", unit, 0, most, f"dominant colour {number}, the most frequent first")
        for number in range(1, COLOURS + 1)
        for part, unit, most in (("red", "sRGB", 255), ("green", "sRGB", 255), ("blue", "sRGB", 255), ("share", "share", 1))
    ),
    Figure("uneven", "share", 0, 1, "pixels of the text whose ground is not plain", True),
    Figure("stroke_thickness", "pixels", 0, ANY, "width of the thickest stroke", True),
    Figure("text_height", "pixels", 0, ANY, "mean height of the region's lines of text", True),
    Figure(
        "straight_edges",
        "count",
        0,
        CANDIDATES,
        "straight edges that enter the text on one side and come out on the other",
        True,
    ),
    Figure("edge_steepness", "grey levels per pixel", 0, 255, "mean steepness across those edges", True),
    Figure("on_face", "share", 0, 1, "pixels of the edit that lie on a face", True),
    Figure(
        "face_strokes", "face widths", 0, ANY, "width of the thickest stroke over what makes a face; see `face_figures`", True
    ),
)
"""Everything in `metadata`.

The figures of a whole picture are measured at no more than `describe.FRAME_SIDE` pixels a side.
"""


def smoothed_over(pixels: Pixels, hole: Selection) -> Pixels:
    """The pixels (uint8 height x width x 3) with `hole` smoothly filled (Navier-Stokes).

    All grey (128) if the hole covers everything.
    """
    if not hole.any():
        return pixels
    if hole.all():
        return np.full_like(pixels, 128)
    result: Pixels = cv2.inpaint(pixels, hole.astype(np.uint8), 3, cv2.INPAINT_NS)
    return result


def noise_deviation(rgb: Pixels, where: Selection) -> float:
    """The standard deviation of the luma's noise over `where`, in grey levels; 0 if it is empty.

    It is the second difference in both directions (Immerkaer, "Fast Noise Variance Estimation",
    1996), with the median absolute value instead of the mean (Donoho and Johnstone 1994), so that
    edges do not count.
    """
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    values = np.abs(cv2.filter2D(luma(rgb), cv2.CV_32F, kernel, borderType=cv2.BORDER_REFLECT_101))[where]
    return float(np.median(values) / 6 / 0.6745) if len(values) else 0.0


def blur(rgb: Pixels, where: Selection) -> float:
    """How little of the luma's variation a blur of nine pixels removes.

    0 is sharp, 1 blurred; 0 if nothing varies. Crété et al., "The blur effect: perception and
    estimation with a new no-reference perceptual blur metric", 2007.
    """
    grey, by_axis = luma(rgb), []
    for axis, size in ((0, (1, 9)), (1, (9, 1))):
        chosen = where[1:] if axis == 0 else where[:, 1:]
        before = np.abs(np.diff(grey, axis=axis))[chosen]
        after = np.abs(np.diff(cv2.blur(grey, size, borderType=cv2.BORDER_REFLECT_101), axis=axis))[chosen]
        if before.sum() > 0:
            by_axis.append(1 - float(np.maximum(before - after, 0).sum() / before.sum()))
    return max(by_axis, default=0.0)


def textured_share(rgb: Pixels, where: Selection) -> float:
    """The share of `where` with detail above ROUGH in the 9 x 9 pixels around; 0 if it is empty.

    Detail is the luma without its slopes.
    """
    grey = luma(rgb)
    detail = grey - cv2.GaussianBlur(grey, (0, 0), 3.2, borderType=cv2.BORDER_REFLECT_101)
    energy = cv2.blur(detail * detail, (9, 9), borderType=cv2.BORDER_REFLECT_101)
    return float((energy[where] > ROUGH**2).mean()) if where.any() else 0.0


class DominantColour(NamedTuple):
    """A colour (0..255) and its share of the pixels (0..1)."""

    red: float
    green: float
    blue: float
    share: float


def dominant_colours(rgb: Pixels, where: Selection) -> list[DominantColour]:
    """The COLOURS dominant colours over `where`.

    The most frequent comes first; missing ones are black with share 0. k-means (Lloyd 1982) starts
    from the luma's quantiles, so no random number is drawn.
    """
    missing = DominantColour(0.0, 0.0, 0.0, 0.0)
    pixels = rgb[where]
    if not len(pixels):
        return [missing] * COLOURS
    chosen = pixels[np.linspace(0, len(pixels) - 1, min(len(pixels), SAMPLES)).astype(int)].astype(np.float32)
    order = np.argsort(chosen @ np.array(LUMA_WEIGHTS, np.float32), kind="stable")
    centres = np.stack([part.mean(axis=0) for part in np.array_split(chosen[order], min(COLOURS, len(order)))])
    for _ in range(10):
        labels = ((chosen[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
        centres = np.stack(
            [chosen[labels == k].mean(axis=0) if (labels == k).any() else centre for k, centre in enumerate(centres)]
        )
    counts = np.bincount(labels, minlength=len(centres)).astype(float)
    merged: list[tuple[np.ndarray[tuple[int], np.dtype[np.float32]], float]] = []
    for number in np.argsort(-counts, kind="stable"):
        near = next(
            (index for index, (centre, _) in enumerate(merged) if np.linalg.norm(centre - centres[number]) < SAME_COLOUR), None
        )
        if near is None:
            merged.append((centres[number], counts[number]))
        else:
            centre, count = merged[near]
            total = max(1.0, count + counts[number])
            merged[near] = ((centre * count + centres[number] * counts[number]) / total, count + counts[number])
    merged.sort(key=lambda entry: -entry[1])
    colours = [DominantColour(float(c[0]), float(c[1]), float(c[2]), count / len(chosen)) for c, count in merged if count]
    return [*colours, *[missing] * (COLOURS - len(colours))]


def surface_figures(shown: Pixels, seen: Selection, hole: Selection) -> dict[str, float]:
    """The figures of a surface over the pixels `seen`; every value is finite.

    `shown` is the picture with its `hole` already smoothed over.
    """
    clear = seen & (dilated(hole.astype(np.uint8), 1) == 0)
    clear = clear if clear.any() else seen
    grey = luma(shown)
    detail = np.abs(cv2.Laplacian(grey, cv2.CV_32F))[clear]
    energies = band_energies(shown, seen) if seen.any() else [0.0] * BANDS
    colours = {
        f"colour_{number}_{part}": value
        for number, colour in enumerate(dominant_colours(shown, seen), 1)
        for part, value in colour._asdict().items()
    }
    return {
        "seen": float(seen.sum()),
        "brightness": float(grey[seen].mean()) if seen.any() else 0.0,
        "contrast": float(grey[seen].std()) if seen.any() else 0.0,
        "noise": noise_deviation(shown, clear),
        "blur": blur(shown, clear),
        "texture": float(detail.mean()) if len(detail) else 0.0,
        "textured": textured_share(shown, seen),
        **{f"energy_{octave}": energy for octave, energy in enumerate(energies)},
        **colours,
    }


def text_smoothed_over(pixels: Pixels, mask: Pixels) -> Pixels:
    """A region's crop with every stroke smoothed over, also those of neighbouring regions."""
    return smoothed_over(np.ascontiguousarray(pixels), hole_of(mask) > 0)


def region_figures(
    shown: Pixels, mask: Pixels, polygons: Sequence[Polygon], frame_side: int, faces: Sequence[Face] = ()
) -> dict[str, float]:
    """Every figure of FIGURES for one region, before any fill.

    `shown` is the region's crop after `text_smoothed_over`, `frame_side` the picture's longer side
    in pixels, and `faces` are the picture's faces in the pixels of the crop. The figures are
    measured on the ring of `fills.RING_WIDTH` pixels around the edit, straight edges on the ring
    of EDGE_RING pixels, and faces on the edit itself.
    """
    share_of_crop = float((mask[:, :, BLEND] > 127).mean())
    near = near_edit(mask)
    shown, mask = (np.ascontiguousarray(each[near]) for each in (shown, mask))
    faces = [face.seen_from(near[1].start or 0, near[0].start or 0) for face in faces]
    place, hole = Surroundings.of(mask), hole_of(mask) > 0
    core = np.pad((mask[:, :, CORE] > 0).astype(np.uint8), 1)
    touched = dilated(hole.astype(np.uint8), 2) > 0
    ground = estimate_ground(shown, hole, 2 * RING_WIDTH)
    count, steepness = straight_edges(shown, ring(place.edited, touched, EDGE_RING), hole)
    return {
        **surface_figures(shown, place.ring, hole),
        "mask_area": share_of_crop,
        "size": float(frame_side),
        "uneven": 1 - max(ground.share(hole), ground.share(place.edited)),
        "stroke_thickness": float(2 * cv2.distanceTransform(core, cv2.DIST_L2, 3).max()),
        "text_height": float(np.mean([stroke_height(polygon) for polygon in polygons])) if polygons else 0.0,
        "straight_edges": float(count),
        "edge_steepness": steepness,
        **face_figures(faces, place.edited, ground.known),
    }
