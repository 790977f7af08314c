"""Reads the use of Ray's object store from its memory summary."""

from __future__ import annotations

import re


def object_store_use() -> dict[str, float]:
    """Megabytes that the object store of the running Ray has spilled to disk so far."""
    import ray
    from ray._private.internal_api import memory_summary

    summary = memory_summary(ray.get_runtime_context().gcs_address, stats_only=True)
    match = re.search(r"Spilled (\d+) MiB", summary)
    return {"spilled_megabytes": int(match[1]) * 1.048576 if match else 0.0}
