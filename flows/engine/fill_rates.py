"""The time that each rung takes on this machine.

The rates are measured once, before a run with a latency budget, and kept in its run.json.
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
"""Width and height of the crops on which a rung is measured.

One is small and one is large, as `soften` cuts them.
"""
REPEATS = 3
"""Fills of each probe. The fastest one counts, since other work disturbs it least."""


def rates_for(dest: str, rungs: Sequence[Rung], fresh: bool) -> tuple[Rate, ...]:
    """The rates recorded by an earlier run into `dest`, so that it continues unchanged.

    Measures them if there is no earlier run, or if `fresh` starts over.
    """
    return (None if fresh else _read_rates(dest)) or measure_rates(rungs)


def _read_rates(dest: str) -> tuple[Rate, ...] | None:
    """The rates in the run.json of `dest`; None without one or without a budget in it."""
    uri = storage.join(dest, "run.json")
    if not storage.exists(uri):
        return None
    budgets = [operator.get("budget") for operator in json.loads(storage.read(uri))["settings"]]
    return next((tuple(Rate(**rate) for rate in budget["rates"]) for budget in budgets if budget), None)


def measure_rates(rungs: Sequence[Rung]) -> tuple[Rate, ...]:
    """Measure every model of a ladder on two crops of noise that are masked by a line of strokes.

    A rate is the straight line through the two times.
    """
    use_one_thread()
    rates = []
    for card in resolve_cards(rungs).values():
        if card.service is not None:
            continue  # its time is not this machine's, and every call may cost
        inpaint = Inpaint(card.alias, card=card)
        inpaint.open()
        small, large = (_measure_milliseconds(inpaint, _probe(*size)) for size in PROBES)
        areas = [width * height / 1e6 for width, height in PROBES]
        slope = max(0.0, (large - small) / (areas[1] - areas[0]))
        rates.append(Rate(card.alias, max(0.0, small - slope * areas[0]), slope))
    return tuple(rates)


def _probe(width: int, height: int) -> Request:
    """A request to fill a crop of noise, a fifth of which is masked.

    The mask is a row of strokes in the middle, as wide as the gaps between them.
    """
    pixels = np.random.default_rng(0).integers(60, 200, (height, width, 3), np.uint8)
    mask = empty_mask(Box(0, 0, width, height))
    strokes = np.zeros((height, width), np.uint8)
    strokes[height * 3 // 10 : height * 7 // 10, np.arange(width) // 6 % 2 == 0] = 255
    mask[:, :, CORE] = mask[:, :, BLEND] = strokes
    return Request(pixels, mask, 0)


def _measure_milliseconds(inpaint: Inpaint, request: Request) -> float:
    return min(inpaint.milliseconds(request) for _ in range(REPEATS))
