"""Percentiles of the time that images take."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TypedDict

import numpy as np

from operators.rows.records import JsonObject


class LatencyRow(TypedDict):
    """Percentiles of one operator's milliseconds per image, and its share of all time, 0..1."""

    operator: str
    images: int
    p50: float
    p95: float
    p99: float
    share: float


class Latencies:
    """The time of every operator on every image, in eight bytes per figure."""

    def __init__(self) -> None:
        self._spent: dict[str, array[float]] = defaultdict(lambda: array("d"))

    def add(self, milliseconds: Mapping[str, float]) -> None:
        """Add one image, as a mapping from operator to milliseconds."""
        for operator, value in milliseconds.items():
            self._spent[operator].append(value)
        self._spent["image"].append(sum(milliseconds.values()))

    def percentiles(self) -> list[LatencyRow]:
        """A row for each operator, and one for the whole image under the name `image`."""
        total = sum(self._spent.get("image", ())) or 1.0
        rows = []
        for operator, values in self._spent.items():
            p50, p95, p99 = (float(np.percentile(values, rank)) for rank in (50, 95, 99))
            share = sum(values) / total
            rows.append(LatencyRow(operator=operator, images=len(values), p50=p50, p95=p95, p99=p99, share=share))
        return rows


def latency_rows(images: Iterable[Mapping[str, float]]) -> list[JsonObject]:
    """`Latencies.percentiles` of images in memory, each a mapping from operator to milliseconds."""
    latencies = Latencies()
    for image in images:
        latencies.add(image)
    return [{**row} for row in latencies.percentiles()]
