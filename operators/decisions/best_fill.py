"""The best of the fills that were refused: which one it is, and how a region gets it back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from operators.rows.checks import failed_checks, last_checks
from operators.rows.records import BestFillRecord, CheckRecord
from operators.rows.regions import ACCEPTED
from operators.rows.schema import BEST_FILL
from operators.rows.table import Region

SPAN = ("first_check", "end_check")
"""The children of a best fill that say which of the region's checks judge it."""
CHILDREN = tuple(field.name for field in BEST_FILL if field.name not in SPAN)
"""The children of a region that belong to one of its fills."""


def excess(checks: Sequence[CheckRecord]) -> tuple[float, int]:
    """How far the checks of one fill exceed their limits; the smaller of two tuples is better.

    The first number is the largest value divided by its limit, the second the number of checks
    that failed. So a fill that is a little worse than allowed in two ways is better than one that
    fails a single check by far.
    """
    failed = failed_checks(checks)
    ratios = (record["value"] / record["limit"] if record["limit"] > 0 else math.inf for record in failed)
    return max(ratios, default=0.0), len(failed)


def better_fill(region: Region, checks: Sequence[CheckRecord]) -> BestFillRecord | None:
    """The better of a region's best fill so far and its new one, which the last `checks` judge.

    The earlier one wins a tie. A missing fill, or one of another size than its crop, is never
    better.
    """
    best: BestFillRecord | None = region["best"]
    fill, crop = region.fill(), region.crop
    if fill is None or fill.shape[:2] != (crop.height, crop.width):
        return best
    own = last_checks(checks)
    if best is not None and excess(checks[best["first_check"] : best["end_check"]]) <= excess(own):
        return best
    children = {name: region[name] for name in CHILDREN}
    return cast(BestFillRecord, {**children, "first_check": len(checks) - len(own), "end_check": len(checks)})


def accept_best(record: Mapping[str, Any]) -> dict[str, Any]:
    """An open region's children with its best fill accepted; the same children if it has none.

    The checks of the fill move to the end, because the last checks are those of the fill that
    stays.
    """
    best = record["best"]
    if best is None:
        return dict(record)
    checks, first, end = record["checks"], best["first_check"], best["end_check"]
    children = {name: best[name] for name in CHILDREN}
    return {
        **record,
        **children,
        "checks": [*checks[:first], *checks[end:], *checks[first:end]],
        "state": ACCEPTED,
        "best": None,
    }
