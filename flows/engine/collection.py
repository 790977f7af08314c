"""The marks of a collection: statistics of its pictures as one streaming pass of Ray Data."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pyarrow as pa

from cluster.profile import Profile
from flows.engine.session import connect
from flows.flow import Flow
from operators.marks.statistics import Sample, Statistics
from operators.models.threads import use_one_thread
from operators.pictures.codec import Limits, decode
from operators.rows.arrays import Pixels
from operators.rows.failure import failure_of
from operators.storage import source_image
from operators.storage.left_out import LeftOut
from operators.storage.listing import list_source, no_images

PICTURES = 256
"""Pictures of one task, whose statistics travel as one."""
HERE = 300
"""Collections of at most so many pictures are measured in this process, without Ray."""


def measure(addresses: pa.Table, limits: Limits = Limits()) -> Statistics:
    """The statistics of the pictures at some addresses: the columns `uri` and `etag`.

    A picture that cannot be read is counted under its code.
    """
    use_one_thread()
    statistics = Statistics()
    for uri, etag in zip(addresses["uri"].to_pylist(), addresses["etag"].to_pylist(), strict=True):
        try:
            rgb = decode(source_image.read(uri, etag), limits).rgb()
            statistics.add(np.ascontiguousarray(rgb), Sample.of(uri, etag))
        except Exception as error:
            statistics.failures[failure_of(error).code] += 1
    return statistics


def read_sample(sample: Sample) -> Pixels | None:
    """A picture that was measured before; None if it cannot be read any more."""
    try:
        return np.ascontiguousarray(decode(source_image.read(sample.uri, sample.etag), Limits()).rgb())
    except Exception:
        return None


def _measured(addresses: pa.Table) -> pa.Table:
    return pa.table({"statistics": pa.array([measure(addresses).pack()], pa.large_binary())})


def collect(
    source: str, out: str, limit: int, profile: Profile, progress: Callable[[int], None] = lambda pictures: None
) -> Statistics:
    """The statistics of the first `limit` pictures of a source, in one pass.

    Every task sums its own pictures, and the sums are merged here as they arrive: memory does not
    grow with the number of pictures. Raises RunError no_images, and as `list_source` does.
    """
    left_out = LeftOut()
    listed: Iterator[tuple[str, str | None]] = (
        (image.uri, image.etag) for image in islice(list_source(source, out, left_out), limit)
    )
    table = pa.Table.from_pylist([{"uri": uri, "etag": etag} for uri, etag in listed], pa.schema({"uri": "str", "etag": "str"}))
    if not len(table):
        raise no_images(source, left_out)
    total = Statistics()
    if len(table) <= HERE:
        for start in range(0, len(table), 16):
            total.merge(measure(table.slice(start, 16)))
            progress(total.pictures)
        return total
    connect(Flow(()), profile.model_copy(update={"local_cpus": profile.local_cpus or os.cpu_count()}))
    import ray.data

    parts = ray.data.from_arrow([table.slice(start, PICTURES) for start in range(0, len(table), PICTURES)])
    packed = parts.map_batches(_measured, batch_format="pyarrow", batch_size=None, num_cpus=1)
    for batch in packed.iter_batches(batch_size=1, batch_format="pyarrow", prefetch_batches=0):
        total.merge(Statistics.unpack(batch["statistics"][0].as_py()))
        progress(total.pictures)
    return total
