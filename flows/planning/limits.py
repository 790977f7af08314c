"""What else a long run needs beside its workers, and at how many images a second or in all each
of it gives out.

Paper, not a measurement: every line is one figure of the sample times the length of the run or
its rate. The few figures that a sample cannot give are constants here, each with the command that
measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from cluster.nodes import GIBIBYTE
from flows.engine.blocks import LARGEST_BLOCK
from flows.planning.engine_cost import driver_seconds
from operators.ledger.index import LARGEST_SHARD_ROWS

KNOWN_BYTES_PER_IMAGE = 36
"""Of the driver's memory, for each image of an index that is listed again:
`operators.ledger.id_lookup`.
"""
HEAD_GIB = 8
"""Of memory that the head of `cluster/kubernetes` has."""
PUTS_PER_SECOND = 3500
"""What S3 promises for writing under one prefix, by its documentation; it divides prefixes that
stay busy.
"""
NODE_BITS_PER_SECOND = 10e9
"""Of the network of one machine of the fleet, a usual promise of clouds for eight cores: only to
have a measure.
"""


@dataclass(frozen=True)
class Traffic:
    """What one image of a sample weighs, in bytes, and what listing it takes."""

    read: float
    written: float
    ledger: float
    """Of its ledger row in a part."""
    listing_seconds: float


@dataclass(frozen=True)
class Limit:
    """One thing that a run needs: how much of it, and what share of what there is."""

    what: str
    need: str
    share: float
    """1 is all of it; for what only takes time, hours by the run's hours."""


def limits(images: int, rate: float, stages: int, machines: float, traffic: Traffic) -> list[Limit]:
    """What a run of `images` at `rate` images a second needs, the scarcest first.

    `stages` is how many pools or kinds of tasks the flow has, `machines` how many machines share
    its network traffic.
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
    found = [
        Limit("driver", f"{blocks * (stages + 1):,.1f} tasks a second take {driver:.2g} of its core", driver),
        Limit("listing", f"{listing:,.2g} hours in one thread, before the first image", listing / hours),
        Limit(
            "index",
            f"{images / LARGEST_SHARD_ROWS:,.0f} shards; {known:,.2g} GiB of the driver if listed again",
            known / HEAD_GIB,
        ),
        Limit("ledger", f"{parts:,.0f} parts, {images * traffic.ledger / 1e9:,.3g} GB, listed when taken up", relisted / hours),
        Limit("storage", f"{puts:,.0f} puts a second", puts / PUTS_PER_SECOND),
        Limit(
            "network",
            f"{bits / 1e9:,.2g} Gbit/s, {bits / 1e9 / machines:,.2g} a machine",
            bits / machines / NODE_BITS_PER_SECOND,
        ),
    ]
    return sorted(found, key=lambda limit: -limit.share)


def traffic_of(rows: pa.Table, delivered: Path, listing_seconds: float) -> Traffic:
    """Traffic of a sample: its index rows, and the folder into which it was delivered."""
    images = len(rows)

    def under(name: str) -> float:
        return sum(file.stat().st_size for file in (delivered / name).rglob("*") if file.is_file()) / images

    return Traffic(sum(rows["size"].to_pylist()) / images, under("images"), under("ledger"), listing_seconds)
