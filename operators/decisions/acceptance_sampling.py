"""Acceptance sampling: how many of a run's edits are bad, from a sample that people look at.

The sample is drawn once, and its size is fixed then. The edits of each bucket are sorted by doubt
and cut into as many equal intervals as the bucket has draws, and one edit is drawn from each. So
every edit of a bucket has the same chance, and the sample follows the doubt. A bucket of N edits
and n draws gives each of its draws the weight N / n.

The draws are independent, with different chances of being bad. Hoeffding has shown (On the
distribution of the number of successes in independent trials, 1956) that so few bad ones as the
exact binomial bound of Clopper and Pearson allows are then never more likely than with one chance
for all. So the binomial bound holds for the mean chance of the draws. If buckets have unequal
weights, the share of bad edits is at most this mean times the largest weight over the mean weight,
and the bound is multiplied with that.

A bound holds for a number of draws that was fixed before. Whoever looks after every decision and
stops when the figure is good has no such number. Therefore a statement has two bounds: `at_most`
is of the decided draws, as if no more had been planned, and `whatever_comes` counts every draw
that is not decided as bad. The latter is never smaller than the bound at the end of the sample,
and so holds wherever one stops.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from operators.decisions.risk import clopper_pearson_upper

CONFIDENCE = 0.95
TARGET = 0.01
"""The share of bad edits that a sample is to prove, unless the user says another."""

LEAST_DRAWS = 10
"""The least number of draws from which a bucket gets its own statement. Ten draws without a bad
edit prove only that less than 26 % are bad.
"""
OTHERS = "other buckets"


def draws_to_prove(target: float, confidence: float = CONFIDENCE, bad: int = 0) -> int:
    """The least number of draws that prove less than the share `target` with `bad` bad ones.

    299 draws without a bad one prove less than 1 %. Raises ValueError unless 0 < target < 1.
    """
    if not 0 < target < 1:
        raise ValueError(f"{target} is no share")
    most = 1
    while clopper_pearson_upper(min(bad, most), most, confidence) >= target:
        most *= 2
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        enough = clopper_pearson_upper(min(bad, middle), middle, confidence) < target
        least, most = (least, middle) if enough else (middle, most)
    return most


@dataclass(frozen=True)
class Stratum:
    """A bucket of edits, and how many of them were drawn."""

    bucket: str
    population: int
    draws: int

    @property
    def weight(self) -> float:
        """The edits that one draw stands for."""
        return self.population / self.draws if self.draws else math.inf


@dataclass(frozen=True)
class Draw:
    """One drawn edit: its place in the list that was sampled, its bucket and its weight."""

    item: int
    bucket: str
    weight: float


def draw(buckets: Sequence[str], doubts: Sequence[float], size: int, seed: int) -> tuple[list[Stratum], list[Draw]]:
    """Draw about `size` of the edits whose buckets and doubts are given, in a random order.

    A bucket gets its share of the draws, rounded up, so there may be a few more. Buckets whose
    share is less than LEAST_DRAWS count as one, OTHERS. If there are no more edits than `size`,
    all of them are drawn.
    """
    generator = np.random.default_rng(seed)
    names, codes = np.unique(_joined(buckets, size), return_inverse=True)
    strata: list[Stratum] = []
    drawn: list[Draw] = []
    for number, name in enumerate(names.tolist()):
        items = np.flatnonzero(codes == number)
        items = items[np.argsort(-np.array(doubts, np.float64)[items], kind="stable")]
        draws = min(len(items), math.ceil(size * len(items) / len(buckets) - 1e-9))
        stratum = Stratum(name, len(items), draws)
        places = np.floor((np.arange(draws) + generator.random(draws)) * (len(items) / draws)).astype(np.int64)
        if draws == len(items):
            places = np.arange(draws)
        strata.append(stratum)
        drawn += [Draw(int(items[min(place, len(items) - 1)]), name, stratum.weight) for place in places]
    return strata, [drawn[place] for place in generator.permutation(len(drawn)).tolist()]


def _joined(buckets: Sequence[str], size: int) -> npt.NDArray[np.str_]:
    names, codes, counts = np.unique(np.array(buckets, np.str_), return_inverse=True, return_counts=True)
    small = size * counts < LEAST_DRAWS * len(buckets)
    if len(buckets) <= size or small.sum() < 2:
        return names[codes]
    return np.where(small, OTHERS, names)[codes]


@dataclass(frozen=True)
class BucketStatement:
    """What the decided draws of one bucket prove about it."""

    bucket: str
    population: int
    draws: int
    decided: int
    bad: int
    at_most: float
    """The largest share of bad edits, 0..1, that is not ruled out."""
    fails: bool
    """Whether more bad edits than the target are proven, with all buckets considered together."""


@dataclass(frozen=True)
class Statement:
    """What a sample proves about all edits of a run."""

    population: int
    draws: int
    decided: int
    bad: int
    target: float
    confidence: float
    at_most: float
    """The largest share of bad edits, 0..1, that the decided draws do not rule out."""
    whatever_comes: float
    """The same if every draw that is not decided were bad."""
    reachable: bool
    """Whether the sample can still prove the target."""
    buckets: tuple[BucketStatement, ...]

    @property
    def proven(self) -> bool:
        """Whether less than the target is proven, whatever the draws that are left show."""
        return self.whatever_comes < self.target

    @property
    def complete(self) -> bool:
        """Whether every draw is decided."""
        return self.decided >= self.draws

    @property
    def may_stop(self) -> bool:
        """Whether more decisions can change nothing about the target."""
        return self.complete or self.proven or not self.reachable


def state(
    strata: Sequence[Stratum],
    outcomes: Mapping[str, tuple[int, int]],
    target: float = TARGET,
    confidence: float = CONFIDENCE,
) -> Statement:
    """What is proven after some draws of each bucket were decided.

    `outcomes` maps a bucket to its decided draws and the bad ones among them.
    """
    draws = sum(stratum.draws for stratum in strata)
    population = sum(stratum.population for stratum in strata)
    decided, bad = (sum(outcomes.get(stratum.bucket, (0, 0))[part] for stratum in strata) for part in (0, 1))
    excess = _excess(strata, draws, population)
    census = draws == population

    def bound(bad_ones: int, looked_at: int) -> float:
        if census and looked_at == population:
            return bad_ones / population if population else 0.0
        return min(1.0, excess * clopper_pearson_upper(bad_ones, looked_at, confidence))

    whatever_comes = bound(bad + draws - decided, draws)
    return Statement(
        population=population,
        draws=draws,
        decided=decided,
        bad=bad,
        target=target,
        confidence=confidence,
        # If every edit is drawn, the second bound is no estimate; the first one cannot exceed it.
        at_most=min(bound(bad, decided), whatever_comes) if census else bound(bad, decided),
        whatever_comes=whatever_comes,
        reachable=bound(bad, draws) < target,
        buckets=tuple(
            _bucket(stratum, *outcomes.get(stratum.bucket, (0, 0)), target, confidence, len(strata)) for stratum in strata
        ),
    )


def _excess(strata: Sequence[Stratum], draws: int, population: int) -> float:
    """The largest weight of a draw over the mean weight; 1 if every edit has the same chance."""
    if not draws:
        return 1.0
    return max(stratum.weight for stratum in strata if stratum.population) * draws / population


def _bucket(stratum: Stratum, decided: int, bad: int, target: float, confidence: float, buckets: int) -> BucketStatement:
    if decided == stratum.population:
        at_most = at_least = bad / decided if decided else 0.0
    else:
        at_most = clopper_pearson_upper(bad, decided, confidence)
        at_least = 1 - clopper_pearson_upper(decided - bad, decided, 1 - (1 - confidence) / buckets)
    return BucketStatement(stratum.bucket, stratum.population, stratum.draws, decided, bad, at_most, at_least > target)
