"""Which fills a region has had: read from its checks, which every fill that was judged has left."""

from __future__ import annotations

from collections.abc import Sequence

from operators.rows.records import CheckRecord

BUDGET_CHECK = "budget"
"""The check that stands for a fill that was not made because it would have cost too much."""


def judged_rungs(checks: Sequence[CheckRecord]) -> list[str]:
    """The rungs whose fills were judged, in order, a rung once for each of its fills.

    Every fill leaves each of its checks once, so a name that comes again under the same rung
    begins another fill.
    """
    rungs: list[str] = []
    seen: set[str] = set()
    for made in checks:
        if made["name"] == BUDGET_CHECK:
            continue
        if not rungs or made["rung"] != rungs[-1] or made["name"] in seen:
            rungs.append(made["rung"])
            seen = set()
        seen.add(made["name"])
    return rungs


def check(rung: str, name: str, value: float, limit: float) -> CheckRecord:
    """The record of one measurement; a value that is not above its limit passes, and so does NaN."""
    return {"rung": rung, "name": name, "value": value, "limit": limit, "passed": not value > limit}


def reasons_of(checks: Sequence[CheckRecord]) -> list[str]:
    """One line for every check that did not pass, naming rung, measurement, value and limit."""
    return [
        f"{made['rung']}: {made['name']} {made['value']:.3g} > {made['limit']:.3g}" for made in checks if not made["passed"]
    ]
