"""What the calibration of the gate promises, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from operators.decisions.gate import Promise, RungPromise
from operators.rows.records import JsonObject


def promise_in_words(promise: RungPromise) -> str:
    """The promise of one rung, without its name and without a full stop."""
    if not promise["kept"]:
        return f"nothing is promised, because the checks accepted none of its edits in the set {promise['set']}"
    words = (
        f"with {promise['confidence']:.0%} confidence at most {promise['most_bad']:.1%} of its accepted edits are bad "
        f"({promise['bad']} of {promise['kept']} were in the set {promise['set']})"
    )
    if promise["target_met"]:
        return words
    return f"{words}; no threshold was shown to reach the target of {promise['target']:.1%}"


def promises_of_run(settings: Sequence[JsonObject]) -> list[str]:
    """A sentence for each rung of a run; none if the run has no rungs.

    `settings` are those of run.json. A run that accepts fills without the gate, or against its
    checks, has one sentence that nothing is promised.
    """
    rungs = list(dict.fromkeys(setting["rung"] for setting in settings if "rung" in setting))
    judges = [setting for setting in settings if setting["operator"] == "verify"]
    if not rungs:
        return []
    if not all(judge["gated"] and not judge["delivers"] for judge in judges):
        return ["Nothing is promised about the share of bad edits, because edits that fail a check are accepted as well."]
    promises: Mapping[str, RungPromise] = judges[0].get("promise", {}) if judges else {}
    return [f"{rung}: {promise_in_words(promises[rung]) if rung in promises else 'nothing is promised'}." for rung in rungs]


def check_in_words(promised: RungPromise, observed: Promise) -> str:
    """Whether a promise holds on a set that it was not made on."""
    seen = f"in the set {observed['set']} {observed['bad']} of {observed['kept']} accepted edits are bad"
    if not (promised["kept"] and observed["kept"]):
        return f"{seen}: nothing to compare"
    share = observed["bad"] / observed["kept"]
    holds = "the promise holds" if share <= promised["most_bad"] else "THE PROMISE DOES NOT HOLD"
    return f"{seen} ({share:.1%}), promised were at most {promised['most_bad']:.1%}: {holds}"
