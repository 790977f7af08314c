"""The better of two refused fills is the one whose worst check is nearer to its limit."""

from operators.decisions.best_fill import excess
from operators.rows.checks import check


def test_the_worst_check_decides_before_the_number_of_failed_ones() -> None:
    twice_a_little = [check("a", "seam", 2.6, 2.5), check("a", "colour_shift", 26.0, 25.0)]
    once_by_far = [check("b", "seam", 1.0, 2.5), check("b", "residual_text", 3.0, 1.0)]
    assert excess(twice_a_little) < excess(once_by_far)


def test_of_two_equally_far_fills_the_one_with_fewer_failed_checks_is_better() -> None:
    one, two = [check("a", "seam", 5.0, 2.5)], [check("b", "seam", 5.0, 2.5), check("b", "residual_text", 2.0, 1.0)]
    assert excess(one) < excess(two)


def test_checks_that_passed_or_could_not_be_measured_do_not_count() -> None:
    passed = [
        check("a", "seam", 2.5, 2.5),
        check("a", "colour_shift", float("nan"), 25.0),
        check("a", "detail", 9.0, float("nan")),
    ]
    assert excess(passed) == (0.0, 0)


def test_a_failed_check_that_allows_nothing_is_the_worst() -> None:
    assert excess([check("a", "missing", 1.0, 0.0)]) > excess([check("a", "seam", 99.0, 2.5)])
