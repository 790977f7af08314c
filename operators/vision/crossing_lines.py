"""One block of text, seen as rows and as columns at once, is read in one direction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from operators.masks.geometry import bounding_box, rasterised, stroke_height, upright_turn
from operators.rows.arrays import Selection
from operators.vision.close_look import FoundText

ACROSS = math.radians(20)
"""How far the angle between two lines that cross is from a right angle at most."""
LEAST_CROSSED = 0.5
"""What two lines have in common at least, as a share of the product of their heights."""
LEAST_LINES = 2
"""Lines in each of the two directions of a block; a single line may cross another in a picture."""


def without_crossings(texts: Sequence[FoundText], width: int, height: int) -> list[FoundText]:
    """The texts of a width x height picture, with each block of letters in one direction alone.

    Letters in a grid, such as Japanese in columns, look like rows too. Of the lines in two
    directions that cross each other, those stay that cover more of the picture. They hold the
    others, which take their place if they turn out to be no text.
    """
    crossed = [[other for other, text in enumerate(texts) if crosses(one, text, width, height)] for one in texts]
    gone: set[int] = set()
    held: dict[int, tuple[FoundText, ...]] = {}
    for block in _blocks(crossed):
        along = [number for number in block if not _is_across(texts[block[0]], texts[number])]
        across = [number for number in block if number not in along]
        if min(len(along), len(across)) < LEAST_LINES:
            continue
        kept, dropped = sorted((along, across), key=lambda lines: -_covered(texts, lines, width, height))
        gone.update(dropped)
        held.update({number: tuple(texts[other] for other in crossed[number]) for number in kept})
    return [
        replace(text, covered=(*text.covered, *held.get(number, ()))) for number, text in enumerate(texts) if number not in gone
    ]


def crosses(one: FoundText, other: FoundText, width: int, height: int) -> bool:
    """Whether two lines of a width x height picture cross each other at about a right angle."""
    if not (one.box.overlaps(other.box) and _is_across(one, other)):
        return False
    box = bounding_box([one.polygon, other.polygon], width, height)
    common: Selection = (rasterised([one.polygon], box) > 0) & (rasterised([other.polygon], box) > 0)
    return bool(common.sum() >= LEAST_CROSSED * stroke_height(one.polygon) * stroke_height(other.polygon))


def _blocks(crossed: Sequence[Sequence[int]]) -> list[list[int]]:
    """The numbers of the texts that cross each other directly or by way of others, in groups."""
    blocks, seen = [], set[int]()
    for start, others in enumerate(crossed):
        if start in seen or not others:
            continue
        block, border = [start], [start]
        seen.add(start)
        while border:
            new = [number for number in crossed[border.pop()] if number not in seen]
            seen.update(new)
            block += new
            border += new
        blocks.append(sorted(block))
    return blocks


def _is_across(one: FoundText, other: FoundText) -> bool:
    first, second = (upright_turn(text.polygon)[0][0, :2] for text in (one, other))
    return abs(float(np.dot(first, second))) <= math.sin(ACROSS)


def _covered(texts: Sequence[FoundText], lines: Sequence[int], width: int, height: int) -> int:
    """Pixels of the picture that some of the texts cover."""
    polygons = [texts[number].polygon for number in lines]
    return int((rasterised(polygons, bounding_box(polygons, width, height)) > 0).sum())
