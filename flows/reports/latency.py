"""How long images take, as the percentiles that operations are run by."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


class Latencies:
    """What operators took of each image, image by image: eight bytes for each figure."""

    def __init__(self) -> None:
        self._spent: dict[str, array[float]] = defaultdict(lambda: array("d"))

    def add(self, milliseconds: Mapping[str, float]) -> None:
        """One image: operator to milliseconds."""
        for operator, value in milliseconds.items():
            self._spent[operator].append(value)
        self._spent["image"].append(sum(milliseconds.values()))

    def percentiles(self) -> list[dict[str, Any]]:
        """P50, P95, P99 in milliseconds an image and the share of all time, for every operator
        and for the whole `image`.
        """
        everything = sum(self._spent.get("image", ())) or 1.0
        return [
            {
                "operator": operator,
                "images": len(values),
                **{f"p{share}": float(np.percentile(values, share)) for share in (50, 95, 99)},
                "share": sum(values) / everything,
            }
            for operator, values in self._spent.items()
        ]


def percentiles(images: Iterable[Mapping[str, float]]) -> list[dict[str, Any]]:
    """`Latencies.percentiles` of images that are all there: one mapping each, operator to
    milliseconds.
    """
    latencies = Latencies()
    for image in images:
        latencies.add(image)
    return latencies.percentiles()
