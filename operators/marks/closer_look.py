"""A closer look at places of a mark that a reduced copy showed: on a copy of twice the size.

Many places are looked at. So the surroundings of each are transformed once for the few sizes and
turns that are tried there, and places on all copies share the templates.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from operators.marks.rendering import Pose
from operators.marks.spectra import fast_size, product_of, spectrum_of
from operators.marks.template_bank import Look, TemplateBank
from operators.marks.view import View, deep, window
from operators.marks.whitening import whitening
from operators.rows.box import Box

CLOSER = 2.0
"""How much larger the copy is than the one that showed the place."""
REACH = 4
"""Pixels of the larger copy by which the place may be wrong."""
MARGIN = 6
"""Pixels by which whitening spreads an edge, as far as it counts."""
GRID = 64
"""Sizes between 1 and e, to which those on a copy are rounded, so that places share templates."""


@dataclass(frozen=True)
class Place:
    """A place at which a mark may lie."""

    score: float
    """Correlation in standard deviations of whitened edges."""
    pose: Pose
    factor: float
    """That of the reduced copy that shows it."""


def closer(view: View, places: Sequence[Place], spread: float, turn: float) -> list[Place]:
    """The places as a larger copy shows them.

    Sizes are tried that differ by the share `spread` either way, and turns by `turn` degrees.
    """
    banks: dict[Box, TemplateBank] = {}
    return [_closer(view, place, spread, turn, banks) for place in places]


def _closer(view: View, place: Place, spread: float, turn: float, banks: dict[Box, TemplateBank]) -> Place:
    factor = min(1.0, place.factor * CLOSER)
    pose = place.pose.scaled(factor)
    looks = list(_looks(pose, spread, turn))
    bank = TemplateBank.of(view, looks)
    # The window is no larger than these templates need: what is far off says nothing of the place.
    bank = banks.setdefault(bank.canvas, bank)
    middle_x, middle_y = round(pose.x), round(pose.y)
    around = Box(bank.canvas.x + middle_x, bank.canvas.y + middle_y, bank.canvas.width, bank.canvas.height)
    seen = view.axes.seen(deep(cv2.GaussianBlur(window(view.reduced(factor), around, REACH + MARGIN), (3, 3), 0)))
    size = (fast_size(seen.shape[0]), fast_size(seen.shape[1]))
    weights = whitening(size)[:, 1:-1]
    tile = np.zeros((seen.shape[2], *size), np.float32)
    tile[:, : seen.shape[0], : seen.shape[1]] = seen.transpose(2, 0, 1)
    spectra = np.stack([spectrum_of(plane) for plane in tile])
    power = 2 * float((np.square(np.abs(spectra)) * weights).sum()) / (size[0] * size[1] * seen.size)
    spectra *= weights
    best, start = replace(place, score=-math.inf), MARGIN
    for look in looks:
        product = product_of(spectra, bank.spectrum(look, size))
        _, value, _, (x, y) = cv2.minMaxLoc(product[start : start + 2 * REACH + 1, start : start + 2 * REACH + 1])
        if value > best.score:
            moved = Pose(middle_x + x - REACH, middle_y + y - REACH, *look).scaled(1 / factor)
            best = replace(best, score=float(value), pose=moved)
    return replace(best, score=best.score / math.sqrt(max(power, 1e-9)))


def _looks(pose: Pose, spread: float, turn: float) -> Iterator[Look]:
    """The sizes and turns that are tried, the sizes rounded."""
    angles = (-turn, 0.0, turn) if turn else (0.0,)
    for size, angle in itertools.product((1 - spread, 1.0, 1 + spread), angles):
        yield math.exp(round(math.log(pose.scale * size) * GRID) / GRID), round(2 * (pose.turn + angle)) / 2
