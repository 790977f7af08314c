"""How long images take, as the percentiles that operations are run by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


def percentiles(images: Iterable[Mapping[str, float]]) -> list[dict[str, Any]]:
    """P50, P95, P99 in milliseconds an image and the share of all time, for every operator and for the whole `image`.

    `images` holds one mapping an image: operator to milliseconds.
    """
    spent: dict[str, list[float]] = defaultdict(list)
    for image in images:
        for operator, milliseconds in image.items():
            spent[operator].append(milliseconds)
        spent["image"].append(sum(image.values()))
    everything = sum(spent.get("image", [])) or 1.0
    return [
        {
            "operator": operator,
            "images": len(values),
            **{f"p{share}": float(np.percentile(values, share)) for share in (50, 95, 99)},
            "share": sum(values) / everything,
        }
        for operator, values in spent.items()
    ]
