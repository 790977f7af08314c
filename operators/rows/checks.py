"""Which fills a region has had: read from its checks, which every fill that was judged has left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

BUDGET_CHECK = "budget"
"""The check that stands for a fill that was not made because it would have cost too much."""


def attempts(checks: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rungs whose fills were judged, in order, a rung once for each of its fills.

    Every fill leaves each of its checks once, so a name that comes again under the same rung begins another fill.
    """
    made: list[str] = []
    seen: set[str] = set()
    for check in checks:
        if check["name"] == BUDGET_CHECK:
            continue
        if not made or check["rung"] != made[-1] or check["name"] in seen:
            made.append(check["rung"])
            seen = set()
        seen.add(check["name"])
    return made
