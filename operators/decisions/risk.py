"""Risk control: a threshold that keeps the share of bad items small, and how large it may be.

The bounds are exact for independent items, whatever their distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

STEPS = 20
"""Steps, of equally many items, in which a threshold rises."""
STARTS = 2
"""Steps at which a rise starts anew: the strictest one, and the middle one. A rise from the
strictest alone often ends at once, because one bad item among few contradicts a small share.
"""


def clopper_pearson_upper(bad: int, kept: int, confidence: float) -> float:
    """The one-sided Clopper-Pearson bound: the largest share of bad items, 0..1, of which `bad` or
    fewer in a sample of `kept` have a probability of at least 1 - `confidence`.

    It is 1 for an empty sample. Raises ValueError unless 0 <= bad <= kept.
    """
    if not 0 <= bad <= kept:
        raise ValueError(f"{bad} of {kept} is no share")
    if bad == kept:
        return 1.0
    low, high = bad / kept, 1.0
    while (middle := (low + high) / 2) not in (low, high):
        if _at_most(bad, kept, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def _at_most(bad: int, kept: int, share: float) -> float:
    """The probability of at most `bad` successes in `kept` trials, each with probability `share`
    (0 < share < 1).
    """
    logs = [
        math.lgamma(kept + 1)
        - math.lgamma(count + 1)
        - math.lgamma(kept - count + 1)
        + count * math.log(share)
        + (kept - count) * math.log1p(-share)
        for count in range(bad + 1)
    ]
    return math.fsum(map(math.exp, logs))


@dataclass(frozen=True)
class Threshold:
    """The score up to which items are kept, and whether that keeps to the target."""

    value: float
    target_met: bool


def choose_threshold(
    scores: Sequence[float], bad: Sequence[bool], highest: float, target: float, confidence: float
) -> Threshold:
    """The highest threshold on `scores`, at most `highest`, of which the items show with
    `confidence` that at most the share `target` of those it keeps are bad.

    It is found by multi-start fixed sequence testing: the threshold rises in steps that do not
    depend on which items are bad, as long as the Clopper-Pearson bound is at most `target`, and
    each start has an equal part of the risk. If no threshold shows it, the one with the smallest
    bound is taken, and of several the highest; without items, `highest`. Source: Angelopoulos et
    al., Learn then Test, 2021, https://arxiv.org/abs/2110.01052
    """
    order = np.argsort(np.array(scores, np.float64), kind="stable")
    ordered, bad_up_to = np.array(scores, np.float64)[order], np.cumsum(np.array(bad, bool)[order])
    allowed = int((ordered <= highest).sum())
    if not allowed:
        return Threshold(highest, False)
    values = sorted({float(ordered[math.ceil(allowed * step / STEPS) - 1]) for step in range(1, STEPS + 1)})
    kept = [int((ordered <= value).sum()) for value in values]

    def bound(number: int, risk: float) -> float:
        return clopper_pearson_upper(int(bad_up_to[kept[number] - 1]), kept[number], 1 - risk)

    risk = (1 - confidence) / STARTS
    long_enough = [number for number, count in enumerate(kept) if clopper_pearson_upper(0, count, 1 - risk) <= target]
    last = -1
    for part in range(STARTS):
        for number in long_enough[part * len(long_enough) // STARTS :]:
            if bound(number, risk) > target:
                break
            last = max(last, number)
    if last >= 0:
        return Threshold(values[last], True)
    bounds = [bound(number, 1 - confidence) for number in range(len(values))]
    return Threshold(max(value for value, own in zip(values, bounds, strict=True) if own == min(bounds)), False)
