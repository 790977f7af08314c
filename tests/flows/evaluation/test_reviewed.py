"""People's decisions are labels of the fills that they speak about."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.evaluation.calibrate import calibrate
from flows.evaluation.reviewed import ACCEPTED_ERROR, REJECTED_ERROR, label_regions, reviewed_fills
from flows.evaluation.suite import Suite
from operators.ledger.decisions import Decision, DecisionLog, Standing
from operators.rows.failure import RunError
from tests.fixtures.reviewed_run import PICTURES, FinishedRun

A, B, C, D = PICTURES


def standing(*decisions: tuple[str, int | None]) -> Standing:
    held = Standing()
    for action, region in decisions:
        held = held.after(Decision("id", A, action, "ana", region=region))
    return held


@pytest.mark.parametrize(
    ("decisions", "erased", "labels"),
    [
        ([("accept", None)], [0, 1], {0: True, 1: True}),
        ([("reject", None)], [0], {0: False}),
        ([("reject", None)], [0, 1], {}),
        ([("redo", 1)], [0, 1], {1: False}),
        ([("reject", None), ("accept", 1)], [0, 1], {1: True}),
        ([("reject", 0), ("accept", None)], [0, 1], {0: True, 1: True}),
    ],
)
def test_a_decision_labels_the_fills_that_it_speaks_about(
    decisions: list[tuple[str, int | None]], erased: list[int], labels: dict[int, bool]
) -> None:
    assert label_regions(standing(*decisions), erased) == labels


def test_decisions_are_labels_beside_the_synthetic_truth(reviewable: FinishedRun, suite: Suite) -> None:
    log = DecisionLog(str(reviewable.dest))
    for path, action in ((A, "accept"), (B, "accept"), (C, "reject"), (D, "accept")):
        log.append(Decision(reviewable.ids()[path], path, action, "ana", verdict=reviewable.rows[path]["verdict"]))
    reviewed = reviewed_fills(str(reviewable.dest))
    assert (reviewed.failures, reviewed.unclear, reviewed.bad) == ([], 0, 1)
    errors = {(fill["file"], fill["region"]): fill["figures"]["visible_error"] for fill in reviewed.fills}
    assert errors == {(A, 0): ACCEPTED_ERROR, (B, 0): ACCEPTED_ERROR, (B, 1): ACCEPTED_ERROR, (C, 0): REJECTED_ERROR}
    assert {fill["bucket"] for fill in reviewed.fills} == {"reviewed: hill", "reviewed: sea"}
    alone = calibrate(suite, ("ground",), 1)
    together = calibrate(suite, ("ground",), 1, people=reviewed.fills)
    assert together["reviewed"] == {"fills": 4, "bad": 1}
    counts = [content["rungs"]["ground"][name]["regions"] for content in (alone, together) for name in ("tune", "report")]  # type: ignore[literal-required]
    assert sum(counts[2:]) - sum(counts[:2]) == 4
    assert together["rungs"]["ground"]["model"]["weights"] != alone["rungs"]["ground"]["model"]["weights"]


def test_a_run_without_decisions_is_refused(reviewable: FinishedRun, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nothing_decided"):
        reviewed_fills(str(reviewable.dest))
    with pytest.raises(RunError, match="run_missing"):
        reviewed_fills(str(tmp_path / "empty"))
