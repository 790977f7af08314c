"""The routing benchmark finds the rule in its records, and its sums are right."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.routing import CLASSICAL, GENERATIVE, OF_THE_PLACE, Climb, climb, compare_ways, gain, learn_rule
from operators.decisions.routing import Rule


def place(texture: float, classical: tuple[float, bool], generative: tuple[float, bool]) -> dict[str, Any]:
    """A region's record: its texture, and the distance and acceptance of both fills, which cost
    10 and 100 ms.
    """
    fills = {CLASSICAL: (*classical, 10.0), GENERATIVE: (*generative, 100.0)}
    return {
        "metadata": {**dict.fromkeys(OF_THE_PLACE, 1.0), "texture": texture},
        "describe": 5.0,
        **{rung: dict(zip(("distance", "accepted", "milliseconds"), fill, strict=True)) for rung, fill in fills.items()},
    }


FLAT = place(1.0, (0.02, True), (0.02, True))
ROUGH = place(9.0, (0.30, False), (0.10, True))
HOPELESS = place(9.0, (0.50, False), (0.40, False))


def test_the_gain_is_how_much_nearer_the_generative_fill_is() -> None:
    assert gain(ROUGH) == pytest.approx(0.20)


def test_the_rule_takes_the_figure_that_tells_the_places_apart_and_cuts_between_them() -> None:
    rule, evidence = learn_rule([FLAT] * 6 + [ROUGH] * 4)
    assert rule == Rule("texture", 5.0)
    assert evidence["auc"]["texture"] == 1.0
    assert evidence["gaining"] == 0.4


def test_a_ladder_ends_at_the_first_fill_that_is_accepted() -> None:
    assert climb(FLAT, (CLASSICAL, GENERATIVE)) == Climb(CLASSICAL, 10.0, 0)
    assert climb(ROUGH, (CLASSICAL, GENERATIVE)) == Climb(GENERATIVE, 110.0, 1)
    assert climb(ROUGH, (GENERATIVE, CLASSICAL)) == Climb(GENERATIVE, 100.0, 1)
    assert climb(HOPELESS, (GENERATIVE, CLASSICAL)) == Climb(None, 110.0, 1)


def test_what_routing_saves_and_loses_is_summed_up_right() -> None:
    comparison = compare_ways([FLAT, ROUGH, HOPELESS, FLAT], Rule("texture", 5.0))
    ways = comparison["ways"]
    assert {name: way["milliseconds_per_region"] for name, way in ways.items()} == {
        "classical only": 10.0,
        "classical first": 60.0,
        "generative first": 102.5,
        "routed": 57.5,
        "better fill, known": 57.5,
    }
    assert ways["routed"]["delivered"] == 0.75
    assert ways["routed"]["generative_fills_per_region"] == 0.5
    assert ways["generative first"]["generative_fills_per_region"] == 1.0
    assert ways["routed"]["distance"] == pytest.approx((0.02 + 0.10 + 0.02) / 3)
    assert ways["generative first"]["time_saved_by_routing"] == pytest.approx(1 - 57.5 / 102.5)
    assert ways["classical first"]["time_saved_with_describe_counted"] == pytest.approx(1 - 62.5 / 60)
    assert ways["generative first"]["distance_lost_by_routing"] == 0.0
    assert comparison["sent_to_generative"] == 0.5
    assert comparison["right"] == 1.0
