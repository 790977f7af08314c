"""The needs of a long run beside its workers, such as the driver, the listing and the network.

They are estimates, not measurements: each need is one figure of the sample times the length of
the run or its rate. Figures that a sample cannot give are constants here, with their sources.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cluster.nodes import GIBIBYTE
from flows.engine.blocks import LARGEST_BLOCK
from flows.planning.engine_cost import driver_seconds
from operators.ledger import ledger
from operators.ledger.index import LARGEST_SHARD_ROWS
from operators.rows.checks import CALL_BUDGET

KNOWN_BYTES_PER_IMAGE = 36
"""Bytes of the driver's memory for each image of an index when the source is listed again; see
`operators.ledger.id_lookup`.
"""
HEAD_GIB = 8
"""GiB of memory of the head node in `cluster/kubernetes`."""
PUTS_PER_SECOND = 3500
"""Puts per second under one prefix that the documentation of S3 promises; S3 splits prefixes that
stay busy.
"""
NODE_BITS_PER_SECOND = 10e9
"""Network bandwidth of one machine of the fleet: what clouds usually promise for eight cores, as
a yardstick only.
"""


@dataclass(frozen=True)
class Traffic:
    """Bytes that the average image of a sample moves, and seconds that listing it takes."""

    read: float
    written: float
    ledger: float
    """Bytes of its ledger row in a part."""
    listing_seconds: float


@dataclass(frozen=True)
class Limit:
    """A resource that a run needs: how much of it, and which share of the supply."""

    resource: str
    need: str
    share: float
    """1 uses up the supply. For work that only takes time, its hours divided by the run's hours."""


def limits(images: int, rate: float, stages: int, machines: float, traffic: Traffic) -> list[Limit]:
    """Estimate the needs of a run of `images` at `rate` images per second, the scarcest first.

    `stages` is the number of pools and kinds of tasks in the flow. `machines` is the number of
    machines that share its network traffic.
    """
    hours = images / rate / 3600
    blocks = rate / LARGEST_BLOCK
    driver = rate * driver_seconds(stages, LARGEST_BLOCK)
    listing = images * traffic.listing_seconds / 3600
    bits = rate * (traffic.read + traffic.written) * 8
    puts = rate + 2 * blocks
    known = images * KNOWN_BYTES_PER_IMAGE / GIBIBYTE
    parts = images / LARGEST_BLOCK
    relisted = parts * traffic.listing_seconds / 3600
    needs = [
        Limit("driver", f"{blocks * (stages + 1):,.1f} tasks a second use {driver:.2g} of its core", driver),
        Limit("listing", f"{listing:,.2g} hours in one thread, before the first image", listing / hours),
        Limit(
            "index",
            f"{images / LARGEST_SHARD_ROWS:,.0f} shards; {known:,.2g} GiB of driver memory if listed again",
            known / HEAD_GIB,
        ),
        Limit(
            "ledger",
            f"{parts:,.0f} parts, {images * traffic.ledger / 1e9:,.3g} GB, listed when the run resumes",
            relisted / hours,
        ),
        Limit("storage", f"{puts:,.0f} puts a second", puts / PUTS_PER_SECOND),
        Limit(
            "network",
            f"{bits / 1e9:,.2g} Gbit/s, {bits / 1e9 / machines:,.2g} per machine",
            bits / machines / NODE_BITS_PER_SECOND,
        ),
    ]
    return sorted(needs, key=lambda limit: -limit.share)


def calls_per_image(delivered: str) -> float:
    """How many fills of an image in a sample were left out because they would have been calls."""
    rows = ledger.read(delivered).to_pylist()
    checks = [check["name"] for row in rows for region in row["regions"] or [] for check in region["checks"] or []]
    return checks.count(CALL_BUDGET) / max(1, len(rows))


def traffic_of(rows: pa.Table, delivered: Path, listing_seconds: float) -> Traffic:
    """Measure the traffic of a sample from its index rows and the folder of its results."""
    images = len(rows)

    def bytes_per_image(name: str) -> float:
        return sum(file.stat().st_size for file in (delivered / name).rglob("*") if file.is_file()) / images

    return Traffic(
        sum(rows["size"].to_pylist()) / images, bytes_per_image("images"), bytes_per_image("ledger"), listing_seconds
    )
