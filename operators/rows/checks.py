"""The checks of a region's fills: how one is recorded, and what a list of them says."""

from __future__ import annotations

import math
from collections.abc import Sequence

from operators.rows.records import CheckRecord

BUDGET_CHECK = "budget"
"""The name of the check that records a fill skipped because it exceeded the budget."""
CALL_BUDGET = "call_budget"
"""The name of the check that records a fill skipped because the run may make no further call."""
SKIPPED = {BUDGET_CHECK, CALL_BUDGET}
"""The checks of fills that were not made."""
FILL_FAILED = "fill_failed"
"""The name of the check that records a fill which ended with an error; it has no other checks."""
MISSING = "missing"
"""The name of the only check of a fill that is missing or has another size than its crop."""
LONE_CHECKS = {FILL_FAILED, MISSING}
"""The checks that are the only one of their fill."""


def judged_rungs(checks: Sequence[CheckRecord]) -> list[str]:
    """The rungs whose fills were judged, in order, each rung once per fill.

    Every fill leaves each of its checks once, so a name that repeats under the same rung starts
    the checks of another fill. A lone check is a fill by itself: an error is a judgement too.
    Checks without a limit judge nothing: they describe a fill before it is judged.
    """
    rungs: list[str] = []
    names_of_fill: set[str] = set()
    for record in checks:
        if record["name"] in SKIPPED or math.isnan(record["limit"]):
            continue
        if not rungs or record["rung"] != rungs[-1] or _starts_fill(record["name"], names_of_fill):
            rungs.append(record["rung"])
            names_of_fill = set()
        names_of_fill.add(record["name"])
    return rungs


def last_checks(checks: Sequence[CheckRecord]) -> list[CheckRecord]:
    """The checks of the last fill that was judged; fills that a budget skipped do not count."""
    judged = [record for record in checks if record["name"] not in SKIPPED]
    start = len(judged)
    names: set[str] = set()
    while start and judged[start - 1]["rung"] == judged[-1]["rung"] and not _starts_fill(judged[start - 1]["name"], names):
        start -= 1
        names.add(judged[start]["name"])
    return judged[start:]


def _starts_fill(name: str, names_of_fill: set[str]) -> bool:
    """Whether a check of this name cannot belong to the fill that has these checks of its rung."""
    return bool(names_of_fill) and (name in names_of_fill or not LONE_CHECKS.isdisjoint({name, *names_of_fill}))


def failed_checks(checks: Sequence[CheckRecord]) -> list[CheckRecord]:
    """The checks that did not pass."""
    return [record for record in checks if not record["passed"]]


def check(rung: str, name: str, value: float, limit: float) -> CheckRecord:
    """The record of a measurement; a value passes unless it exceeds its limit, so NaN passes."""
    return {"rung": rung, "name": name, "value": value, "limit": limit, "passed": not value > limit}


def reasons_of(checks: Sequence[CheckRecord]) -> list[str]:
    """One line per check that did not pass, with its rung, name, value and limit.

    Fills that ended with an error are left out: `fill_errors.split_errors` has their messages.
    """
    return [
        f"{record['rung']}: {record['name']} {_compare(record['value'], record['limit'])}"
        for record in failed_checks(checks)
        if record["name"] != FILL_FAILED
    ]


def _compare(value: float, limit: float) -> str:
    """A value above its limit, with as many digits as it takes to see that it is above."""
    lines = (f"{value:.{digits}g} > {limit:.{digits}g}" for digits in range(3, 17))
    return next((line for line in lines if len(set(line.split(" > "))) == 2), f"{value!r} > {limit!r}")
