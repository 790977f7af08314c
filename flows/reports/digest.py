"""What a report tells of a ledger, taken from it row by row: a run of millions does not fit into
memory as Python values.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from flows.reports.drift import Drift
from flows.reports.latency import Latencies

SHOWN = 10


class Digest:
    """Counts, latencies and the few images that are shown, of rows as the ledger keeps them."""

    def __init__(self) -> None:
        self.total = 0
        self.verdicts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.rollbacks: Counter[str] = Counter()
        """How often each check of each rung refused a fill."""
        self.latencies = Latencies()
        self.drift = Drift()
        self.worst = SmallestN(lambda image: (-margin_used(image), image["path"]))
        self.sample = SmallestN(lambda image: hashlib.sha256(image["path"].encode()).digest())
        """Drawn by the hashes of their paths: the same ones whatever the order of the rows."""

    def add(self, image: dict[str, Any]) -> None:
        """One image's row."""
        self.total += 1
        self.verdicts[image["verdict"]] += 1
        if image["failure"]:
            self.failures[image["failure"]["code"]] += 1
        self.latencies.add(milliseconds_by_operator(image))
        for region in image["regions"] or []:
            if region.get("metadata"):
                self.drift.add(dict(region["metadata"]))
            self.rollbacks.update(
                f"{check['rung']}: {check['name']}" for check in region["checks"] or [] if not check["passed"]
            )
        if image["verdict"] == "edited":
            self.worst.add(image)
            self.sample.add(image)


class SmallestN:
    """The SHOWN images with the smallest keys."""

    def __init__(self, key: Callable[[dict[str, Any]], Any]) -> None:
        self._key = key
        self._kept: list[dict[str, Any]] = []

    def add(self, image: dict[str, Any]) -> None:
        """Consider one more image."""
        self._kept.append(image)
        if len(self._kept) >= 2 * SHOWN:
            self._kept = self.images()

    def images(self) -> list[dict[str, Any]]:
        """Those that are left, in order."""
        return heapq.nsmallest(SHOWN, self._kept, key=self._key)


def milliseconds_by_operator(image: dict[str, Any]) -> dict[str, float]:
    """Milliseconds by operator, those that ran twice added up."""
    by_operator: dict[str, float] = defaultdict(float)
    for timing in image["timings"] or []:
        by_operator[timing["operator"]] += timing["total"]
    return by_operator


def margin_used(image: dict[str, Any]) -> float:
    """How near an image's delivered edits came to being refused: the largest share of a limit
    used up, 0..1 and NaN as 0.
    """
    shares = [
        check["value"] / check["limit"]
        for region in image["regions"] or []
        if region["state"] == "accepted"
        for check in region["checks"]
        if check["passed"] and check["rung"] == region["rung"] and check["limit"] > 0 and check["value"] == check["value"]
    ]
    return max(shares, default=0.0)
