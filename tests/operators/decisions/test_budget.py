"""A latency budget is predicted from the crops' areas and spent fill by fill, without a clock."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.ladder import PRESETS, second_look
from operators.decisions.budget import USUAL_BUDGET, Budget, Rate

RATES = (Rate("cheap", 1.0, 10.0), Rate("costly", 20.0, 1000.0))


def region(width: int, height: int, *rungs: str) -> dict[str, Any]:
    checks = [
        {"rung": rung, "name": name, "value": 2.0, "limit": 1.0, "passed": False}
        for rung in rungs
        for name in ("residual_text", "seam")
    ]
    return {"crop": {"x": 0, "y": 0, "width": width, "height": height}, "checks": checks}


def test_the_cost_of_a_fill_follows_from_the_area_of_its_crop() -> None:
    assert Budget(100, RATES).predicted("costly", 200 * 100) == 20 + 20


def test_fills_already_made_are_counted_once_each_also_where_one_rung_filled_twice() -> None:
    budget = Budget(1000, RATES)
    assert budget.spent([region(1000, 1000, "cheap", "costly", "costly"), region(100, 100)]) == 11 + 1020 + 1020


def test_regions_are_afforded_in_their_order_until_the_budget_is_spent() -> None:
    regions = [region(100, 100), region(500, 500), region(100, 100)]
    assert Budget(65, RATES).affords(regions, [0, 1, 2], "costly") == [0, 2]
    assert Budget(29, RATES).affords(regions, [0, 1, 2], "costly") == []
    assert Budget(1000, RATES).affords(regions, [1, 2], "costly") == [1, 2]


def test_a_refusal_says_what_the_image_would_have_cost() -> None:
    regions = [region(1000, 1000, "cheap")]
    refusal = Budget(50, RATES).refusal("costly", regions[0], regions)
    assert refusal == {"rung": "costly", "name": "budget", "value": 11 + 1020, "limit": 50, "passed": False}


def test_a_refused_fill_was_not_spent() -> None:
    budget = Budget(50, RATES)
    refused = region(1000, 1000, "cheap")
    refused["checks"].append(budget.refusal("costly", refused, [refused]))
    assert budget.spent([refused]) == 11


def test_a_rung_without_a_rate_is_not_bounded() -> None:
    assert Budget(50, RATES).predicted("unknown", 10**9) == 0
    assert Budget(0, RATES).affords([region(9000, 9000)], [0], "unknown") == [0]


def test_the_usual_budget_has_a_rate_for_every_rung_of_every_preset() -> None:
    models = {rung.model for rungs in PRESETS.values() for rung in (*rungs, *second_look(rungs))}
    assert models <= {rate.rung for rate in USUAL_BUDGET.rates}


@pytest.mark.parametrize("rung", [rate.rung for rate in USUAL_BUDGET.rates])
def test_the_usual_budget_affords_a_scanned_page_and_ends(rung: str) -> None:
    megapixel = USUAL_BUDGET.predicted(rung, 10**6)
    assert 8 * megapixel < USUAL_BUDGET.milliseconds < 120 * megapixel


@given(limit=st.floats(0, 5000), sides=st.lists(st.tuples(st.integers(1, 2000), st.integers(1, 2000)), max_size=8))
def test_the_afforded_fills_never_exceed_the_budget(limit: float, sides: list[tuple[int, int]]) -> None:
    budget, regions = Budget(limit, RATES), [region(*side) for side in sides]
    affordable = budget.affords(regions, range(len(regions)), "costly")
    assert sum(budget.predicted("costly", sides[number][0] * sides[number][1]) for number in affordable) <= limit + 1e-6
