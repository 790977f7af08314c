"""What the operators do, for Prometheus: counted where a batch is done, and given out by Ray
beside its own metrics.

Ray puts `ray_` before every name, `_total` behind a counter's, and node and process beside every
value. It passes on how many values fell into each of a histogram's ranges, but only a guess at
their sum: whatever is to be summed is a counter.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from operators.operator import Operator
from operators.rows.checks import judged_rungs

if TYPE_CHECKING:
    from ray.util import metrics as ray_metrics

MILLISECONDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000]


@dataclass(frozen=True)
class Metrics:
    """One process's metrics."""

    operator_milliseconds: ray_metrics.Histogram
    spent_milliseconds: ray_metrics.Counter
    batches: ray_metrics.Counter
    batch_images: ray_metrics.Counter
    images: ray_metrics.Counter
    failures: ray_metrics.Counter
    fills: ray_metrics.Counter
    bytes: ray_metrics.Counter
    gpu_memory_bytes: ray_metrics.Gauge


@cache
def _metrics() -> Metrics:
    from ray.util.metrics import Counter, Gauge, Histogram

    return Metrics(
        Histogram("cleanplate_operator_milliseconds", "Time an operator spent on an image.", MILLISECONDS, ("operator",)),
        Counter(
            "cleanplate_spent_milliseconds",
            "Where an operator's time went: model, codec, io, or its other work.",
            ("operator", "kind"),
        ),
        Counter("cleanplate_batches", "Calls of a stage.", ("stage",)),
        Counter("cleanplate_batch_images", "Images that the calls of a stage were given.", ("stage",)),
        Counter("cleanplate_images", "Images delivered, or not, by verdict.", ("verdict",)),
        Counter("cleanplate_failures", "Images that an operator could not work, by code.", ("operator", "code")),
        Counter("cleanplate_fills", "Fills made, by rung, and whether they were good enough.", ("rung", "outcome")),
        Counter("cleanplate_bytes", "Bytes of image files, read or written.", ("direction",)),
        Gauge("cleanplate_gpu_memory_bytes", "The most GPU memory that a worker has held.", ("stage",)),
    )


def count(operator: Operator, before: pa.Table, after: pa.Table, failed: Iterable[Mapping[str, Any]]) -> None:
    """Count one batch of a stage: its rows before and after the operator, and those that failed
    in it.
    """
    metrics = _metrics()
    stage = {"stage": operator.name}
    metrics.batches.inc(1, stage)
    metrics.batch_images.inc(len(after), stage)
    metrics.gpu_memory_bytes.set(_gpu_memory(), stage)
    for timing in _new_timings(before, after):
        name = {"operator": timing["operator"]}
        metrics.operator_milliseconds.observe(timing["total"], name)
        spent = {kind: timing[kind] or 0.0 for kind in ("model", "codec", "io")}
        for kind, milliseconds in {**spent, "other": max(0.0, timing["total"] - sum(spent.values()))}.items():
            if milliseconds:
                metrics.spent_milliseconds.inc(milliseconds, {**name, "kind": kind})
    for row in failed:
        metrics.failures.inc(1, {"operator": row["failure"]["operator"], "code": row["failure"]["code"]})
    if "bytes" in operator.adds:
        _add(metrics.bytes, {("read",): _length(after, "bytes")}, "direction")
    if "output_uri" in operator.adds:
        _add(metrics.bytes, {("written",): _written(before, after)}, "direction")
        _add(metrics.images, Counter((verdict,) for verdict in after["verdict"].to_pylist()), "verdict")
        _add(metrics.fills, _fills(after), "rung", "outcome")


def _add(counter: ray_metrics.Counter, amounts: Mapping[tuple[str, ...], int], *tags: str) -> None:
    for values, amount in amounts.items():
        if amount:
            counter.inc(amount, dict(zip(tags, values, strict=True)))


def _new_timings(before: pa.Table, after: pa.Table) -> Iterable[dict[str, Any]]:
    """What this batch has put behind the timings that its rows came with."""
    known = pc.fill_null(pc.list_value_length(before["timings"]), 0).to_pylist()
    for count_before, timings in zip(known, after["timings"].to_pylist(), strict=True):
        yield from (timings or [])[count_before:]


def _length(table: pa.Table, name: str) -> int:
    return pc.sum(pc.binary_length(table[name])).as_py() or 0


def _written(before: pa.Table, after: pa.Table) -> int:
    """Bytes of the files that were put: what the image became, or the source's own."""
    lengths = pc.coalesce(pc.binary_length(before["encoded"]), pc.binary_length(before["bytes"]))
    return pc.sum(lengths.filter(pc.is_valid(after["output_uri"]))).as_py() or 0


def _fills(table: pa.Table) -> Counter[tuple[str, ...]]:
    """Fills that were judged, by rung; the last one of an accepted region is the one that was
    good enough.
    """
    fills: Counter[tuple[str, ...]] = Counter()
    for regions in table["regions"].to_pylist():
        for region in regions or []:
            made = judged_rungs(region["checks"] or [])
            accepted = made[-1:] if region["state"] == "accepted" else []
            fills.update((rung, "refused") for rung in made[: len(made) - len(accepted)])
            fills.update((rung, "accepted") for rung in accepted)
    return fills


def _gpu_memory() -> int:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.max_memory_reserved())
