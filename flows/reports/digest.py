"""Collect the figures of a run report from the ledger, row by row.

The ledger of a run of millions of images does not fit into memory as Python values.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, TypedDict

from flows.reports.drift import Drift
from flows.reports.latency import Latencies
from operators.ledger.counts import add_texts
from operators.rows.checks import FILL_FAILED
from operators.rows.fill_errors import FillCounts
from operators.rows.records import FailureRecord, RegionRecord, TimingRecord

SHOWN = 10
"""Images in each gallery of the report."""
LISTED = 1000
"""Images in the table of the report."""
NEEDS_A_LOOK = ("failed", "rolled_back", "partly_edited", "skipped", "edited", "found", "nothing_found", "untouched")
"""Every verdict, those that most need a look first."""


class LedgerRow(TypedDict):
    """The columns of the ledger that a report reads, of one image."""

    uri: str
    path: str
    verdict: str
    reasons: list[str] | None
    texts: dict[str, int] | None
    failure: FailureRecord | None
    timings: list[TimingRecord] | None
    regions: list[RegionRecord] | None
    output_uri: str | None


class Digest:
    """Counts, latencies, drift, and the few images that the report shows, of rows of the ledger."""

    def __init__(self) -> None:
        self.total = 0
        self.verdicts: Counter[str] = Counter()
        self.texts: Counter[str] = Counter()
        """Texts of all images: found, erased, kept and refused."""
        self.failures: Counter[str] = Counter()
        self.rollbacks: Counter[str] = Counter()
        """How often each check of each rung refused a fill."""
        self.fills = FillCounts()
        self.latencies = Latencies()
        self.drift = Drift()
        self.worst = SmallestN(lambda image: (-margin_used(image), image["path"]))
        self.sample = SmallestN(lambda image: hashlib.sha256(image["path"].encode()).digest())
        """Chosen by the hashes of their paths, so the order of the rows does not matter."""
        self.listed = SmallestN(lambda image: (NEEDS_A_LOOK.index(image["verdict"]), image["path"]), LISTED)

    def add(self, image: LedgerRow) -> None:
        """Add the row of one image."""
        self.total += 1
        self.verdicts[image["verdict"]] += 1
        add_texts(self.texts, [image["texts"]])
        if image["failure"]:
            self.failures[image["failure"]["code"]] += 1
        self.latencies.add(milliseconds_by_operator(image))
        self.fills.add_image(image["regions"] or [], image["reasons"] or [])
        for region in image["regions"] or []:
            if metadata := region.get("metadata"):
                self.drift.add(dict(metadata))
            self.rollbacks.update(
                f"{check['rung']}: {check['name']}"
                for check in region["checks"] or []
                if not check["passed"] and check["name"] != FILL_FAILED
            )
        self.listed.add(image)
        if image["verdict"] in ("edited", "partly_edited"):
            self.worst.add(image)
            self.sample.add(image)


class SmallestN:
    """Keeps the images with the smallest keys, SHOWN of them or another number."""

    def __init__(self, key: Callable[[LedgerRow], Any], count: int = SHOWN) -> None:
        self._key = key
        self._count = count
        self._candidates: list[LedgerRow] = []

    def add(self, image: LedgerRow) -> None:
        """Consider one more image."""
        self._candidates.append(image)
        if len(self._candidates) >= 2 * self._count:
            self._candidates = self.images()

    def images(self) -> list[LedgerRow]:
        """The images with the smallest keys so far, in the order of their keys."""
        return heapq.nsmallest(self._count, self._candidates, key=self._key)


def milliseconds_by_operator(image: LedgerRow) -> dict[str, float]:
    """Sum an image's milliseconds by operator; an operator may run more than once."""
    by_operator: dict[str, float] = defaultdict(float)
    for timing in image["timings"] or []:
        by_operator[timing["operator"]] += timing["total"]
    return by_operator


def margin_used(image: LedgerRow) -> float:
    """How close the delivered edits of an image came to being refused, 0..1.

    This is the largest share of its limit that any check used up; NaN counts as 0.
    """
    shares = [
        check["value"] / check["limit"]
        for region in image["regions"] or []
        if region["state"] == "erased"
        for check in region["checks"]
        if check["passed"] and check["rung"] == region["rung"] and check["limit"] > 0 and check["value"] == check["value"]
    ]
    return max(shares, default=0.0)
