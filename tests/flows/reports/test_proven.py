"""What people's decisions say about the gate."""

from __future__ import annotations

from flows.reports.proven import agreement
from operators.ledger.decisions import ACCEPT, REDO, REJECT, Decision, Standing


def decided(verdict: str, *actions: str) -> list[Standing]:
    return [
        Standing().after(Decision(f"{number}", f"{number}.png", action, "ana", verdict=verdict, doubt=0.5))
        for number, action in enumerate(actions)
    ]


def test_whoever_rejects_a_picture_that_the_gate_gave_back_leaves_it_so() -> None:
    assert agreement(decided("rolled_back", ACCEPT, REJECT, REDO)).lines() == [
        "The gate refused every fill of 3 pictures; people leave 2 of them so."
    ]


def test_an_edit_is_accepted_only_by_whoever_accepts_it() -> None:
    assert agreement(decided("edited", ACCEPT, ACCEPT, REJECT, REDO)).lines()[0] == (
        "People accept 2 of the 4 edits that the gate accepted."
    )
