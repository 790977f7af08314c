"""What a sample proves: the bounds hold against simulated reviewers whose defects are known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest

from operators.decisions import acceptance_sampling
from operators.decisions.acceptance_sampling import (
    OTHERS,
    Statement,
    draw,
    draws_to_prove,
    state,
)
from operators.decisions.risk import clopper_pearson_upper

BOUND = cache(clopper_pearson_upper)
TRIALS = 1000
MOST_WRONG = 50
"""Trials of 1,000 in which a statement of 95 % confidence may be wrong."""


@dataclass(frozen=True)
class Run:
    """A run with known defects: for each edit its bucket, its doubt, and whether it is bad."""

    buckets: Sequence[str]
    doubts: Sequence[float]
    bad: Sequence[bool]

    @property
    def share(self) -> float:
        return sum(self.bad) / len(self.bad)


def run_of(counts: dict[str, tuple[int, int]], seed: int = 0) -> Run:
    """A run of buckets with so many edits and so many bad ones, which tend to have more doubt."""
    generator = np.random.default_rng(seed)
    buckets, doubts, bad = [], [], []
    for bucket, (edits, bad_edits) in counts.items():
        buckets += [bucket] * edits
        bad += [True] * bad_edits + [False] * (edits - bad_edits)
        doubts += [*(0.5 + generator.random(bad_edits) / 2), *generator.random(edits - bad_edits)]
    return Run(buckets, doubts, bad)


RUNS = {
    "one bucket just above the target": run_of({"a": (2_600, 30)}),
    "one bucket far above it": run_of({"a": (2_000, 60)}),
    "three unequal buckets": run_of({"a": (1_500, 3), "b": (400, 30), "c": (100, 10)}),
    "all defects in a small bucket": run_of({"a": (1_900, 0), "b": (100, 40)}),
    "many small buckets": run_of({f"{n:02d}": (50, n % 3) for n in range(50)}),
    "a run that is hardly larger than its sample": run_of({"a": (300, 4), "b": (120, 3)}),
}


@pytest.fixture(autouse=True)
def _fast_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound is a pure function; thousands of trials ask for the same few values."""
    monkeypatch.setattr(acceptance_sampling, "clopper_pearson_upper", BOUND)


def reviewed(run: Run, size: int, seed: int) -> list[Statement]:
    """What is stated after each decision of a reviewer who sees every defect."""
    strata, draws = draw(run.buckets, run.doubts, size, seed)
    decided: Counter[str] = Counter()
    bad: Counter[str] = Counter()
    statements = []
    for each in draws:
        decided[each.bucket] += 1
        bad[each.bucket] += run.bad[each.item]
        statements.append((dict(decided), dict(bad)))
    return [state(strata, {name: (count, wrong.get(name, 0)) for name, count in seen.items()}) for seen, wrong in statements]


def last(run: Run, size: int, seed: int, decided: int | None = None) -> Statement:
    strata, draws = draw(run.buckets, run.doubts, size, seed)
    looked_at = draws[:decided]
    seen, bad = Counter(each.bucket for each in looked_at), Counter(each.bucket for each in looked_at if run.bad[each.item])
    return state(strata, {name: (count, bad[name]) for name, count in seen.items()})


def binomial_at_most(bad: int, draws: int, share: float) -> float:
    return sum(math.comb(draws, count) * share**count * (1 - share) ** (draws - count) for count in range(bad + 1))


def test_299_edits_without_a_bad_one_prove_less_than_one_in_a_hundred() -> None:
    assert draws_to_prove(0.01) == 299
    assert (draws_to_prove(0.01, bad=1), draws_to_prove(0.008), draws_to_prove(0.05)) == (473, 373, 59)
    assert last(run_of({"a": (10_000, 0)}), 299, 0).at_most < 0.01
    assert last(run_of({"a": (10_000, 0)}), 298, 0).at_most > 0.01


def test_several_buckets_do_not_cost_the_promise() -> None:
    statement = last(run_of({"a": (7_000, 0), "b": (2_900, 0), "c": (100, 0)}), 299, 0)
    assert 299 <= statement.draws <= 302
    assert statement.at_most < 0.01
    assert statement.proven


@pytest.mark.parametrize("draws", [59, 299, 473])
def test_the_binomial_bound_is_wrong_in_at_most_5_of_100_samples_whatever_the_share(draws: int) -> None:
    bounds = [BOUND(bad, draws, 0.95) for bad in range(draws // 4)]
    for share in np.linspace(0.001, 0.1, 400):
        too_low = sum(bound < share for bound in bounds)
        assert binomial_at_most(too_low - 1, draws, float(share)) <= 0.05 + 1e-12


@pytest.mark.parametrize("run", RUNS.values(), ids=RUNS)
def test_the_bound_at_the_end_of_the_sample_is_wrong_in_at_most_5_of_100_trials(run: Run) -> None:
    wrong = sum(last(run, 299, seed).at_most < run.share for seed in range(TRIALS))
    assert wrong <= MOST_WRONG


@pytest.mark.parametrize("decided", [60, 150])
def test_the_bound_after_a_number_of_decisions_that_was_fixed_before_holds_too(decided: int) -> None:
    run = run_of({"a": (1_500, 3), "b": (400, 30), "c": (100, 15)})
    wrong = sum(last(run, 299, seed, decided).at_most < run.share for seed in range(TRIALS))
    assert wrong <= MOST_WRONG


def test_what_holds_wherever_one_stops_holds_at_the_worst_moment_of_an_impatient_reviewer() -> None:
    run = run_of({"a": (3_000, 45), "b": (1_000, 15)})
    wrong = 0
    for seed in range(TRIALS):
        end = last(run, 120, seed)
        wrong += end.whatever_comes < run.share
    assert wrong <= MOST_WRONG
    for seed in range(5):
        bounds = [statement.whatever_comes for statement in reviewed(run, 120, seed)]
        assert min(bounds) == bounds[-1], "no earlier statement promises more than the last one"


def test_a_reviewer_who_stops_when_told_is_wrong_in_at_most_5_of_100_trials() -> None:
    run = run_of({"a": (3_000, 60)})
    wrong = 0
    for seed in range(TRIALS):
        strata, draws = draw(run.buckets, run.doubts, 299, seed)
        bad = np.cumsum([run.bad[each.item] for each in draws])
        statements = (state(strata, {"a": (count, int(bad[count - 1]))}, 0.01) for count in range(1, len(draws) + 1))
        stopped = next(statement for statement in statements if statement.may_stop)
        wrong += stopped.at_most < run.share
    assert wrong <= MOST_WRONG


def test_a_sample_of_everything_is_no_estimate() -> None:
    statement = last(run_of({"a": (40, 3)}), 299, 0)
    assert (statement.draws, statement.bad, statement.at_most) == (40, 3, 3 / 40)


def test_the_sample_follows_the_doubt_and_keeps_its_weights() -> None:
    run = run_of({"a": (1_000, 0), "b": (500, 0)})
    strata, draws = draw(run.buckets, run.doubts, 150, 7)
    assert [(stratum.bucket, stratum.draws, stratum.weight) for stratum in strata] == [("a", 100, 10.0), ("b", 50, 10.0)]
    doubts = sorted(run.doubts[each.item] for each in draws if each.bucket == "a")
    assert np.abs(np.array(doubts) - np.quantile(run.doubts[:1000], (np.arange(100) + 0.5) / 100)).max() < 0.03
    assert draws != draw(run.buckets, run.doubts, 150, 8)[1]


def test_small_buckets_are_joined_so_that_they_do_not_swell_the_sample() -> None:
    strata, draws = draw([f"{number:03d}" for number in range(500)] * 4 + ["large"] * 8000, [0.0] * 10_000, 299, 0)
    assert {stratum.bucket: stratum.population for stratum in strata} == {"large": 8000, OTHERS: 2000}
    assert len(draws) <= 301


def test_the_bucket_that_fails_is_named() -> None:
    statement = last(run_of({"good": (9_000, 0), "worse": (1_000, 400)}), 299, 0)
    assert {bucket.bucket: bucket.fails for bucket in statement.buckets} == {"good": False, "worse": True}
    assert not statement.reachable
    assert statement.may_stop


def test_no_bucket_fails_by_chance_in_more_than_5_of_100_samples() -> None:
    run = run_of(dict.fromkeys("abcdef", (2000, 20)))
    wrong = sum(any(bucket.fails for bucket in last(run, 299, seed).buckets) for seed in range(TRIALS))
    assert wrong <= MOST_WRONG
