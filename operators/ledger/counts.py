"""Counting the images that earlier runs finished, without reading the whole ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from operators.ledger import ledger
from operators.rows.failure import CODES
from operators.rows.regions import ERASED, KEPT, REFUSED
from operators.storage import files as storage
from operators.storage.retries import with_retries

THREADS = 16
TEXT_ENDS = (ERASED, REFUSED, KEPT)
"""Every way in which a text can end, in the order in which counts are shown."""
COLUMNS = ["verdict", "failure.code", "texts"]


@dataclass
class Counts:
    """The outcome of some images."""

    verdicts: Counter[str] = field(default_factory=Counter)
    """Images by verdict."""
    failures: Counter[str] = field(default_factory=Counter)
    """Those of them that failed, by code."""
    texts: Counter[str] = field(default_factory=Counter)
    """The sums of the column `texts`."""


def add_texts(counter: Counter[str], texts: Iterable[Mapping[str, int] | None]) -> None:
    """Add the `texts` of some images to a counter; an image may have none."""
    for counts in texts:
        counter.update(counts or {})


def count_finished(dest: str, shards: Collection[int]) -> Counts:
    """Count the images that have a final row in the ledger. Raises Failure.

    Only a few columns are read of a compacted shard. The parts of any other shard are read as
    when a run is resumed.
    """
    files = ledger.files_by_shard(dest)

    def count_shard(shard: int) -> Counts:
        names = files.get(shard, [])
        if ledger.COMPLETE in names:
            rows = _read_columns(storage.join(ledger.shard_folder(dest, shard), ledger.COMPLETE))
        else:
            rows = ledger.read_shard(dest, shard, names)
        counts = Counts()
        columns = (rows[name].to_pylist() for name in ("verdict", "failure", "texts"))
        for verdict, failure, texts in zip(*columns, strict=True):
            code = failure["code"] if failure else None
            if code is not None and CODES[code].transient:
                continue
            counts.verdicts[verdict] += 1
            add_texts(counts.texts, [texts])
            if code is not None:
                counts.failures[code] += 1
        return counts

    total = Counts()
    with ThreadPoolExecutor(THREADS) as pool:
        for counts in pool.map(count_shard, shards):
            total.verdicts.update(counts.verdicts)
            total.failures.update(counts.failures)
            total.texts.update(counts.texts)
    return total


def _read_columns(uri: str) -> pa.Table:
    files, path = storage.filesystem(uri)

    def call() -> pa.Table:
        with files.open(path, "rb", cache_type="none") as handle:
            return pq.ParquetFile(handle).read(columns=COLUMNS)

    return with_retries(uri, call)
