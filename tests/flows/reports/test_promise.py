"""What is promised is said with its evidence, and what is not promised is said as well."""

from __future__ import annotations

from typing import Any

import pytest

from flows.reports.promise import check_in_words, promise_in_words, promises_of_run


def promise(**changes: Any) -> Any:
    usual = {"set": "report", "kept": 312, "bad": 3, "most_bad": 0.0247, "confidence": 0.95, "target": 0.05, "target_met": True}
    return {**usual, **changes}


def settings(**judge: Any) -> list[dict[str, Any]]:
    verify = {"operator": "verify", "gated": True, "delivers": False, "promise": {"hybrid": promise()}, **judge}
    fills = [{"operator": "inpaint", "rung": rung} for rung in ("hybrid", "mine")]
    return [fills[0], verify, {"operator": "refine", "rung": "hybrid"}, fills[1], verify]


SENTENCE = "with 95% confidence at most 2.5% of its accepted edits are bad (3 of 312 were in the set report)"


def test_a_promise_is_a_share_with_its_confidence_and_its_evidence() -> None:
    assert promise_in_words(promise()) == SENTENCE


def test_a_target_that_was_not_reached_is_said() -> None:
    assert promise_in_words(promise(target_met=False)) == (f"{SENTENCE}; no threshold was shown to reach the target of 5.0%")


def test_nothing_is_promised_from_nothing() -> None:
    words = "nothing is promised, because the checks accepted none of its edits in the set report"
    assert promise_in_words(promise(kept=0, bad=0, most_bad=1.0)) == words


def test_a_run_has_a_sentence_for_each_rung() -> None:
    assert promises_of_run(settings()) == [f"hybrid: {SENTENCE}.", "mine: nothing is promised."]


def test_a_run_from_before_there_were_promises_has_none() -> None:
    earlier = [{name: value for name, value in setting.items() if name != "promise"} for setting in settings()]
    assert promises_of_run(earlier) == ["hybrid: nothing is promised.", "mine: nothing is promised."]


@pytest.mark.parametrize("judge", [{"gated": False}, {"delivers": True}])
def test_nothing_is_promised_of_a_run_that_accepts_what_fails_a_check(judge: dict[str, bool]) -> None:
    (line,) = promises_of_run(settings(**judge))
    assert line.startswith("Nothing is promised about the share of bad edits")


def test_a_run_without_rungs_has_no_promise() -> None:
    assert promises_of_run([{"operator": "enlarge"}]) == []


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (4, "in the set promise 4 of 200 accepted edits are bad (2.0%), promised were at most 2.5%: the promise holds"),
        (5, "in the set promise 5 of 200 accepted edits are bad (2.5%), promised were at most 2.5%: THE PROMISE DOES NOT HOLD"),
    ],
)
def test_a_promise_holds_if_no_larger_share_is_bad_elsewhere(bad: int, words: str) -> None:
    assert check_in_words(promise(), promise(set="promise", kept=200, bad=bad)) == words


def test_a_set_without_accepted_edits_does_not_confirm_a_promise() -> None:
    words = "in the set promise 0 of 0 accepted edits are bad: nothing to compare"
    assert check_in_words(promise(), promise(set="promise", kept=0, bad=0)) == words
