"""What went through Ray's object store, as its own memory summary says."""

from __future__ import annotations

import re


def used() -> dict[str, float]:
    """Megabytes that the running Ray's object store has spilled to disk so far."""
    import ray
    from ray._private.internal_api import memory_summary

    summary = memory_summary(ray.get_runtime_context().gcs_address, stats_only=True)
    found = re.search(r"Spilled (\d+) MiB", summary)
    return {"spilled_megabytes": int(found[1]) * 1.048576 if found else 0.0}
