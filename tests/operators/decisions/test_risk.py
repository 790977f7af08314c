"""The bound is exact, and the threshold keeps as much as the bound shows to be safe."""

from __future__ import annotations

import math

import pytest

from operators.decisions.risk import Threshold, choose_threshold, clopper_pearson_upper

SCORES = [number / 400 for number in range(400)]


def chosen(bad: set[int], highest: float = 1.0, scores: list[float] = SCORES) -> Threshold:
    return choose_threshold(scores, [number in bad for number in range(len(scores))], highest, 0.05, 0.95)


@pytest.mark.parametrize(
    ("bad", "kept", "bound"),
    [(0, 59, 0.0495076), (1, 100, 0.0465598), (3, 312, 0.0246627), (5, 200, 0.0518433), (100, 2000, 0.0587703)],
)
def test_the_bound_is_that_of_the_tables(bad: int, kept: int, bound: float) -> None:
    assert clopper_pearson_upper(bad, kept, 0.95) == pytest.approx(bound, abs=5e-8)


def test_without_bad_ones_the_bound_has_a_closed_form() -> None:
    for kept in (1, 10, 1000):
        assert clopper_pearson_upper(0, kept, 0.9) == pytest.approx(1 - 0.1 ** (1 / kept), rel=1e-12)


def test_nothing_is_known_of_an_empty_sample_or_of_one_that_is_all_bad() -> None:
    assert [clopper_pearson_upper(count, count, 0.95) for count in (0, 1, 50)] == [1.0, 1.0, 1.0]


def test_more_bad_ones_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match="3 of 2 is no share"):
        clopper_pearson_upper(3, 2, 0.95)


def test_without_bad_ones_everything_is_kept() -> None:
    assert chosen(set()) == Threshold(SCORES[-1], True)


def test_the_threshold_ends_at_the_last_step_that_the_target_allows() -> None:
    assert chosen(set(range(300, 400))) == Threshold(SCORES[299], True)
    assert chosen(set(range(295, 400))) == Threshold(SCORES[299], True)
    assert chosen(set(range(285, 400))) == Threshold(SCORES[279], True)


def test_one_bad_one_among_the_best_does_not_end_the_rise() -> None:
    assert chosen({3}) == Threshold(SCORES[-1], True)


def test_no_threshold_is_above_the_highest_that_is_allowed() -> None:
    assert chosen(set(), highest=0.5) == Threshold(0.5, True)


def test_the_order_of_the_items_does_not_matter() -> None:
    scores = SCORES[::-1]
    assert chosen(set(range(100)), scores=scores) == Threshold(SCORES[299], True)


def test_equal_scores_are_kept_or_refused_together() -> None:
    scores = [0.1] * 200 + [0.2] * 200
    assert chosen(set(range(200, 230)), scores=scores) == Threshold(0.1, True)


def test_if_no_threshold_reaches_the_target_the_smallest_bound_is_taken() -> None:
    bad = {number for number in range(400) if number % 10 == 9 or number >= 200}
    assert clopper_pearson_upper(20, 200, 0.95) > 0.05
    assert chosen(bad) == Threshold(SCORES[199], False)


def test_too_few_items_show_nothing() -> None:
    assert chosen(set(), scores=SCORES[:40]) == Threshold(SCORES[39], False)
    assert chosen(set(), scores=[]) == Threshold(1.0, False)


def test_a_nan_is_never_kept() -> None:
    assert chosen(set(), scores=[*SCORES, math.nan]) == Threshold(SCORES[-1], True)
