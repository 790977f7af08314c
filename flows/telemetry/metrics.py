"""The operators' metrics for Prometheus: counted for every batch, and exported by Ray.

Ray puts `ray_` before every name and `_total` after that of a counter, and labels every value
with node and process. Of a histogram it exports exact counts per bucket, but only an estimate of
the sum, so every quantity that needs a sum is a counter.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from flows.telemetry.log import FailedRow
from operators.ledger.counts import TEXT_ENDS, add_texts
from operators.operator import Operator
from operators.rows.checks import FILL_FAILED, judged_rungs
from operators.rows.records import TimingRecord

if TYPE_CHECKING:
    from ray.util import metrics as ray_metrics

MILLISECONDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, 60_000]
"""Upper bounds of the buckets of operators' times."""


@dataclass(frozen=True)
class Metrics:
    """The metrics of one process; `_metrics` describes each."""

    operator_milliseconds: ray_metrics.Histogram
    spent_milliseconds: ray_metrics.Counter
    batches: ray_metrics.Counter
    batch_images: ray_metrics.Counter
    images: ray_metrics.Counter
    texts: ray_metrics.Counter
    failures: ray_metrics.Counter
    fills: ray_metrics.Counter
    bytes: ray_metrics.Counter
    gpu_memory_bytes: ray_metrics.Gauge


@cache
def _metrics() -> Metrics:
    from ray.util.metrics import Counter, Gauge, Histogram

    return Metrics(
        Histogram("cleanplate_operator_milliseconds", "Time that an operator spent on an image.", MILLISECONDS, ("operator",)),
        Counter(
            "cleanplate_spent_milliseconds",
            "An operator's time by kind: model, codec, io, or other.",
            ("operator", "kind"),
        ),
        Counter("cleanplate_batches", "Calls of a stage.", ("stage",)),
        Counter("cleanplate_batch_images", "Images passed to the calls of a stage.", ("stage",)),
        Counter("cleanplate_images", "Images finished, by verdict.", ("verdict",)),
        Counter("cleanplate_texts", "Texts of finished images, by their end: erased, refused or kept.", ("end",)),
        Counter("cleanplate_failures", "Images that failed in an operator, by code.", ("operator", "code")),
        Counter("cleanplate_fills", "Fills by rung and outcome: accepted, refused or failed.", ("rung", "outcome")),
        Counter("cleanplate_bytes", "Bytes of image files, read or written.", ("direction",)),
        Gauge("cleanplate_gpu_memory_bytes", "Peak GPU memory of a worker.", ("stage",)),
    )


def count(operator: Operator, before: pa.Table, after: pa.Table, failed: Iterable[FailedRow]) -> None:
    """Count one batch of a stage, given its rows before and after the operator.

    `failed` are the rows that failed in this batch.
    """
    metrics = _metrics()
    stage = {"stage": operator.name}
    metrics.batches.inc(1, stage)
    metrics.batch_images.inc(len(after), stage)
    metrics.gpu_memory_bytes.set(_gpu_memory(), stage)
    for timing in _new_timings(before, after):
        name = {"operator": timing["operator"]}
        metrics.operator_milliseconds.observe(timing["total"], name)
        spent = {"model": timing["model"] or 0.0, "codec": timing["codec"] or 0.0, "io": timing["io"] or 0.0}
        for kind, milliseconds in {**spent, "other": max(0.0, timing["total"] - sum(spent.values()))}.items():
            if milliseconds:
                metrics.spent_milliseconds.inc(milliseconds, {**name, "kind": kind})
    for row in failed:
        metrics.failures.inc(1, {"operator": row["failure"]["operator"], "code": row["failure"]["code"]})
    if "bytes" in operator.adds:
        _add(metrics.bytes, {("read",): _count_bytes(after, "bytes")}, "direction")
    if "output_uri" in operator.adds:
        _add(metrics.bytes, {("written",): _count_written(before, after)}, "direction")
        _add(metrics.images, Counter((verdict,) for verdict in after["verdict"].to_pylist()), "verdict")
        _add(metrics.texts, _count_texts(after), "end")
        _add(metrics.fills, _count_fills(after), "rung", "outcome")


def _add(counter: ray_metrics.Counter, amounts: Mapping[tuple[str, ...], int], *tags: str) -> None:
    """Add amounts by the values of these tags; Ray refuses amounts of zero."""
    for values, amount in amounts.items():
        if amount:
            counter.inc(amount, dict(zip(tags, values, strict=True)))


def _new_timings(before: pa.Table, after: pa.Table) -> Iterable[TimingRecord]:
    """The timings that this batch has appended to those that its rows had before."""
    counts_before = pc.fill_null(pc.list_value_length(before["timings"]), 0).to_pylist()
    for count_before, timings in zip(counts_before, after["timings"].to_pylist(), strict=True):
        yield from (timings or [])[count_before:]


def _count_bytes(table: pa.Table, name: str) -> int:
    return pc.sum(pc.binary_length(table[name])).as_py() or 0


def _count_written(before: pa.Table, after: pa.Table) -> int:
    """Bytes of the files written: the edited image, or the source if it was not edited."""
    edited = pc.if_else(pc.is_null(before["failure"]), pc.binary_length(before["encoded"]), None)
    lengths = pc.coalesce(edited, pc.binary_length(before["bytes"]))
    return pc.sum(lengths.filter(pc.is_valid(after["output_uri"]))).as_py() or 0


def _count_fills(table: pa.Table) -> Counter[tuple[str, ...]]:
    """Fills by rung and outcome; the accepted fill of a region is its last one.

    One that ended with an error is `failed`.
    """
    fills: Counter[tuple[str, ...]] = Counter()
    for regions in table["regions"].to_pylist():
        for region in regions or []:
            checks = region["checks"] or []
            errors = Counter((check["rung"], "failed") for check in checks if check["name"] == FILL_FAILED)
            rungs = judged_rungs([check for check in checks if check["name"] != FILL_FAILED])
            accepted = rungs[-1:] if region["state"] == "erased" else []
            fills.update((rung, "refused") for rung in rungs[: len(rungs) - len(accepted)])
            fills.update((rung, "accepted") for rung in accepted)
            fills += errors
    return fills


def _count_texts(table: pa.Table) -> Counter[tuple[str, ...]]:
    """Texts by their end."""
    texts: Counter[str] = Counter()
    add_texts(texts, table["texts"].to_pylist())
    return Counter({(end,): texts[end] for end in TEXT_ENDS})


def _gpu_memory() -> int:
    """Peak bytes of GPU memory that torch has reserved in this process; 0 without a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0
    return int(torch.cuda.max_memory_reserved())
