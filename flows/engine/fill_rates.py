"""What each rung costs on this machine: measured once before a run with a latency budget, and
kept in its run.json.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from flows.ladder import Rung, resolve_cards
from operators.decisions.budget import Rate
from operators.generators.generator import Request
from operators.inpaint import Inpaint
from operators.masks.mask import BLEND, CORE, empty_mask
from operators.models.threads import use_one_thread
from operators.rows.box import Box
from operators.storage import files as storage

PROBES = ((128, 96), (512, 256))
"""Width and height of the crops that are filled to learn a rung's rate: a small and a large one,
as `soften` makes them.
"""
REPEATS = 3
"""Fills of each probe; the fastest one counts, which other work on the machine disturbs least."""


def rates_for(dest: str, rungs: Sequence[Rung], fresh: bool) -> tuple[Rate, ...]:
    """The rates of an earlier run into `dest`, so that it goes on as it began; measured anew
    where there is none.
    """
    return (None if fresh else _recorded(dest)) or measured_rates(rungs)


def _recorded(dest: str) -> tuple[Rate, ...] | None:
    uri = storage.joined(dest, "run.json")
    if not storage.exists(uri):
        return None
    budgets = [operator.get("budget") for operator in json.loads(storage.read(uri))["settings"]]
    return next((tuple(Rate(**rate) for rate in budget["rates"]) for budget in budgets if budget), None)


def measured_rates(rungs: Sequence[Rung]) -> tuple[Rate, ...]:
    """Every model of a ladder on two crops of noise with a line of strokes: the straight line
    through the two times.
    """
    use_one_thread()
    rates = []
    for card in resolve_cards(rungs).values():
        inpaint = Inpaint(card.alias, card=card)
        inpaint.open()
        small, large = (_milliseconds(inpaint, _probe(*size)) for size in PROBES)
        areas = [width * height / 1e6 for width, height in PROBES]
        slope = max(0.0, (large - small) / (areas[1] - areas[0]))
        rates.append(Rate(card.alias, max(0.0, small - slope * areas[0]), slope))
    return tuple(rates)


def _probe(width: int, height: int) -> Request:
    """A crop of noise in whose middle a fifth is to be filled, in strokes as wide as the gaps
    between them.
    """
    pixels = np.random.default_rng(0).integers(60, 200, (height, width, 3), np.uint8)
    mask = empty_mask(Box(0, 0, width, height))
    strokes = np.zeros((height, width), np.uint8)
    strokes[height * 3 // 10 : height * 7 // 10, np.arange(width) // 6 % 2 == 0] = 255
    mask[:, :, CORE] = mask[:, :, BLEND] = strokes
    return Request(pixels, mask, 0)


def _milliseconds(inpaint: Inpaint, request: Request) -> float:
    return min(inpaint.milliseconds(request) for _ in range(REPEATS))
