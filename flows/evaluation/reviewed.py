"""People's decisions about a run as labels of its fills, beside fills whose truth is known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from flows.evaluation.measure import place_of
from flows.evaluation.records import EvaluatedFill
from flows.reports.proven import EDITED
from flows.review.pictures import bucket_of
from flows.review.rework import Rework
from operators.ledger import ledger
from operators.ledger.decisions import ACCEPT, Standing, read_decisions, standings
from operators.rows.box import Box
from operators.rows.failure import Failure, RunError
from operators.rows.regions import ACCEPTED
from operators.rows.table import row_views
from operators.storage import files as storage
from operators.verify import measure_region

ACCEPTED_ERROR, REJECTED_ERROR = 0.5, 2.0
"""The visible errors that an accepted and a rejected fill count with. A decision says only whether
the error is below or above 1.
"""
SETS = ("tune", "report")


@dataclass
class Reviewed:
    """The labelled fills of a run, and the pictures that could not be measured again."""

    fills: list[EvaluatedFill] = field(default_factory=list)
    unclear: int = 0
    """Fills of pictures of which people did not say which region they mean."""
    failures: list[tuple[str, Failure | RunError]] = field(default_factory=list)

    @property
    def bad(self) -> int:
        """Fills that people did not accept."""
        return sum(fill["figures"]["visible_error"] == REJECTED_ERROR for fill in self.fills)


def reviewed_fills(dest: str) -> Reviewed:
    """The fills of a run that people have decided about, measured again as `verify` saw them.

    An accepted picture labels all of its fills as good, a rejected region its fill as bad. A
    rejected or redone picture labels its fill if it has one; of several, nobody has said which is
    bad. Half of the pictures, by a hash of their paths, are in the set `tune`, the others in
    `report`. Raises RunError run_missing, nothing_decided or flow_unknown, and Failure.
    """
    dest = storage.absolute(dest)
    if not storage.exists(storage.join(dest, "run.json")):
        raise RunError("run_missing", f"{dest} holds no run")
    held, rework, reviewed = standings(read_decisions(dest)), Rework(dest), Reviewed()
    if not held:
        raise RunError("nothing_decided", f"{dest} has no decisions; cleanplate review {dest} makes some")
    assert rework.operators
    for rows in ledger.shard_rows(dest):
        for row in rows.to_pylist():
            standing = held.get(row["image_id"])
            if standing is None or standing.last is None or standing.last.verdict not in EDITED:
                continue
            try:
                reviewed.fills += _fills(rework, row, standing, reviewed)
            except (Failure, RunError) as error:
                reviewed.failures.append((row["path"], error))
    return reviewed


def _fills(rework: Rework, row: dict[str, Any], standing: Standing, reviewed: Reviewed) -> Iterator[EvaluatedFill]:
    (view,) = row_views(rework.prepared(row))
    erased = [number for number, region in enumerate(view.regions) if region["state"] == ACCEPTED]
    labels = label_regions(standing, erased)
    frame = Box(0, 0, view["width"], view["height"])
    for number in erased:
        region = view.regions[number]
        measured = measure_region(region)
        if labels.get(number) is None or measured is None:
            reviewed.unclear += 1
            continue
        yield {
            "file": row["path"],
            "set": SETS[hashlib.sha256(row["path"].encode()).digest()[0] % 2],
            "bucket": f"reviewed: {bucket_of(row)}",
            "region": number,
            "rung": region["rung"],
            "place": {**place_of(region, frame), "count": len(view.regions)},
            "measured": measured,
            "figures": {"visible_error": ACCEPTED_ERROR if labels[number] else REJECTED_ERROR},
        }


def label_regions(standing: Standing, erased: Sequence[int]) -> dict[int, bool]:
    """Whether people accept the fill of each erased region, for those that they speak about."""
    plan = standing.plan
    if not plan.decisions:
        return dict.fromkeys(erased, True)
    labels = {number: plan.regions[number].action == ACCEPT for number in erased if number in plan.regions}
    if plan.whole is not None and len(erased) == 1:
        labels.setdefault(erased[0], False)
    return labels
