"""Measure what a viewer still sees of a text after its fill, letter by letter."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from operators.masks.geometry import Polygon
from operators.masks.mask import BLEND, CORE, dilated
from operators.rows.arrays import Pixels, Selection
from operators.vision.stroke_network import Line, stroke_network

LEAST_PROBABILITY = 0.6
"""Probability from which the stroke network's pixels count as a stroke."""
LEAST_CONTRAST = 5.0
"""Grey levels by which a stroke must differ from plain ground around it to be seen."""
MASKING = 1.5
"""The same in standard deviations of the pixels around it, because texture hides strokes."""
LEAST_SIZE = 0.1
"""Side of the smallest visible stroke, as a share of the line's height."""


def visible_remains(result: Pixels, polygons: Sequence[Polygon], others: Selection) -> float:
    """How visible the most visible stroke is that a crop still shows around the polygons.

    `result` is the crop with its fill (uint8 height x width x 3), the polygons are in its pixels.
    Strokes of `others` (height x width), the other texts in the crop, do not count.
    The value is the stroke's contrast divided by the least contrast that a viewer sees there:
    above 1 the stroke can be seen, 0 means that there is none.
    """
    return max((remains_of_line(result, polygon, others)[0] for polygon in polygons), default=0.0)


def remains_of_line(result: Pixels, polygon: Polygon, others: Selection) -> tuple[float, Selection]:
    """The visibility of the most visible stroke around one polygon, and all visible strokes."""
    height, width = result.shape[:2]
    line = Line.of([polygon], width, height)
    rgb = np.ascontiguousarray(result[line.place])
    probability = stroke_network().line_probability(rgb, line)
    strokes = (probability >= LEAST_PROBABILITY) & ~others[line.place]
    visible = np.zeros((height, width), bool)
    most = 0.0
    if strokes.any():
        contrasts, labels = _contrasts(rgb.astype(np.float32), strokes, max(6.0, (LEAST_SIZE * line.height) ** 2))
        most = float(contrasts.max(initial=0.0))
        visible[line.place] = contrasts[labels] > 1
    return most, visible


def letters_of_others(mask: Pixels) -> Selection:
    """The strokes in a crop that belong to other texts than its own, with their faint edges.

    `mask` is the region's mask, uint8 height x width x 4.
    """
    others = (mask[:, :, CORE] > 0) & (mask[:, :, BLEND] == 0)
    return dilated(others.astype(np.uint8), 3) > 0


def _contrasts(
    colours: npt.NDArray[np.float32], strokes: Selection, least_area: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Each stroke's contrast in units of the least visible one, and the strokes' labels.

    The contrast is that of the channel that shows the stroke best, because yellow on white hardly
    differs in luma. The first value belongs to the background and is 0.
    """
    count, labels, boxes, _ = cv2.connectedComponentsWithStats(strokes.astype(np.uint8), connectivity=8)
    near = dilated(strokes.astype(np.uint8), 1) > 0
    contrasts = np.zeros(count, np.float32)
    for label in range(1, count):
        x, y, width, height, area = boxes[label]
        if area < least_area:
            continue
        place = np.s_[max(0, y - 8) : y + height + 8, max(0, x - 8) : x + width + 8]
        own = labels[place] == label
        distance = cv2.distanceTransform((~own).astype(np.uint8), cv2.DIST_L2, 3)
        around = (distance > 1) & (distance <= 8) & ~near[place]
        if around.sum() < 8:
            continue
        ground = colours[place][around]
        contrast = np.abs(colours[place][own].mean(axis=0) - ground.mean(axis=0))
        contrasts[label] = (contrast / np.maximum(LEAST_CONTRAST, MASKING * ground.std(axis=0))).max()
    return contrasts, labels.astype(np.int32)
