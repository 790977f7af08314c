"""Pieces of one line of text, seen one by one, become one text again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from operators.masks.geometry import bounding_box, upright_turn
from operators.rows.box import Box
from operators.vision.close_look import FoundText
from operators.vision.first_look import Cells, likelihood
from operators.vision.text_detector import Probability

LIKE_HEIGHT = 1.4
"""Largest ratio of the heights of two pieces of a line."""
LIKE_ANGLE = math.radians(5)
"""Largest difference of their angles."""
BESIDE_LINE = 0.35
"""How far one piece lies beside the other's line at most, in heights of the line."""
LEAST_LONG = 1.5
"""Ratio of sides from which a piece shows how its line runs."""
LEAST_GAP, MOST_GAP = 1.5, 8.0
"""Heights of the line that the detector leaves out between two pieces of it. Smaller gaps are as a
rule those between the columns of a table.
"""
LEAST_BETWEEN = 0.6
"""Mean probability of text at the first look, 0..1, in a gap that belongs to the line."""


def join_lines(texts: Sequence[FoundText], copies: Sequence[Cells], width: int, height: int) -> list[FoundText]:
    """The texts of a width x height picture, with those joined that are pieces of one line.

    Pieces that overlap are joined, and those between which the first look sees text as well.
    `copies` is what the first look says of the picture and its reduced copies.
    """
    joined = list(texts)
    first = 0
    while first < len(joined):
        second = next((n for n in range(first + 1, len(joined)) if is_one_line(joined[first], joined[n], copies)), None)
        if second is None:
            first += 1
        else:
            joined[first] = _joined(joined[first], joined.pop(second), width, height)
    return joined


def is_one_line(one: FoundText, other: FoundText, copies: Sequence[Cells]) -> bool:
    """Whether two texts are pieces of one line."""
    longer, shorter = sorted((one, other), key=lambda text: -upright_turn(text.polygon)[1][0])
    turn, (length, height) = upright_turn(longer.polygon)
    second, (short_length, short_height) = upright_turn(shorter.polygon)
    if min(length / height, short_length / short_height) < LEAST_LONG:
        return False
    if max(height, short_height) > LIKE_HEIGHT * min(height, short_height):
        return False
    between = math.asin(np.clip(turn[0, 0] * second[0, 1] - turn[0, 1] * second[0, 0], -1, 1))
    if abs(between) > LIKE_ANGLE or turn[0, :2] @ second[0, :2] < 0:
        return False
    corners = np.asarray(shorter.polygon) @ turn[:, :2].T + turn[:, 2]
    left, right = float(corners[:, 0].min()), float(corners[:, 0].max())
    if abs(float(corners[:, 1].mean()) - height / 2) > BESIDE_LINE * height:
        return False
    gap = max(left - length, -right)
    if gap <= 0:
        return right > length or left < 0
    if not LEAST_GAP * height <= gap <= MOST_GAP * height:
        return False
    ends = (length, left) if left > 0 else (right, 0.0)
    missed = np.array([[ends[0], 0], [ends[1], 0], [ends[1], height], [ends[0], height]])
    in_picture = (missed - turn[:, 2]) @ turn[:, :2]
    return likelihood(copies, in_picture.tolist()) >= LEAST_BETWEEN


def _joined(one: FoundText, other: FoundText, width: int, height: int) -> FoundText:
    """One text for two pieces of a line, turned as the longer piece is."""
    longer = max(one, other, key=lambda text: upright_turn(text.polygon)[1][0])
    turn = upright_turn(longer.polygon)[0][:, :2]
    upright = np.asarray([*one.polygon, *other.polygon]) @ turn.T
    (left, top), (right, bottom) = upright.min(axis=0), upright.max(axis=0)
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]]) @ turn
    corners = np.clip(np.rint(corners), 0, [width - 1, height - 1])
    box, seen = _maps_joined(one, other, bounding_box([corners.tolist()], width, height), width, height)
    return replace(
        max(one, other, key=lambda text: text.score),
        polygon=corners.tolist(),
        probability=seen,
        box=box,
        likelihood=max(one.likelihood, other.likelihood),
        covered=(*one.covered, *other.covered),
    )


def _maps_joined(one: FoundText, other: FoundText, around: Box, width: int, height: int) -> tuple[Box, Probability]:
    """The box around both maps and `around`, and the larger probability of both in each cell."""
    boxes = (one.box, other.box, around)
    left, top = min(box.x for box in boxes), min(box.y for box in boxes)
    right, bottom = max(box.x + box.width for box in boxes), max(box.y + box.height for box in boxes)
    side = min(_side(one), _side(other))
    columns, rows = -(-(right - left) // side), -(-(bottom - top) // side)
    if columns * side > width or rows * side > height:
        side, columns, rows = 1, right - left, bottom - top
    left, top = min(left, width - columns * side), min(top, height - rows * side)
    seen = np.zeros((rows, columns), np.float32)
    for text in (one, other):
        ratio = side / _side(text)
        # The middle of each cell of the result, in cells of the text's own map.
        across, down = ((start - own) / _side(text) + (ratio - 1) / 2 for start, own in ((left, text.box.x), (top, text.box.y)))
        matrix = np.array([[ratio, 0, across], [0, ratio, down]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        own_map = cv2.warpAffine(text.probability, matrix, (columns, rows), flags=flags, borderMode=cv2.BORDER_CONSTANT)
        seen = np.maximum(seen, own_map)
    return Box(left, top, columns * side, rows * side), seen


def _side(text: FoundText) -> int:
    """The side of a cell of a text's map, in pixels."""
    return int(text.box.width // text.probability.shape[1])
