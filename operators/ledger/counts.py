"""Counting the images that earlier runs finished, without reading the whole ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq

from operators.ledger import ledger
from operators.rows.failure import CODES
from operators.storage import files as storage
from operators.storage.retries import with_retries

THREADS = 16
COLUMNS = ["verdict", "failure.code"]


def count_finished(dest: str, shards: Collection[int]) -> tuple[Counter[str], Counter[str]]:
    """Finished images by verdict, and the failed ones among them by code. Raises Failure.

    Only two columns are read of a compacted shard. The parts of any other shard are read as when
    a run is resumed.
    """
    files = ledger.files_by_shard(dest)

    def count_shard(shard: int) -> tuple[Counter[str], Counter[str]]:
        names = files.get(shard, [])
        if ledger.COMPLETE in names:
            rows = _read_columns(storage.join(ledger.shard_folder(dest, shard), ledger.COMPLETE))
        else:
            rows = ledger.read_shard(dest, shard, names)
        verdicts, failures = Counter[str](), Counter[str]()
        for verdict, failure in zip(rows["verdict"].to_pylist(), rows["failure"].to_pylist(), strict=True):
            code = failure["code"] if failure else None
            if code is None or not CODES[code].transient:
                verdicts[verdict] += 1
            if code is not None and not CODES[code].transient:
                failures[code] += 1
        return verdicts, failures

    verdicts, failures = Counter[str](), Counter[str]()
    with ThreadPoolExecutor(THREADS) as pool:
        for shard_verdicts, shard_failures in pool.map(count_shard, shards):
            verdicts += shard_verdicts
            failures += shard_failures
    return verdicts, failures


def _read_columns(uri: str) -> pa.Table:
    files, path = storage.filesystem(uri)

    def call() -> pa.Table:
        with files.open(path, "rb", cache_type="none") as handle:
            return pq.ParquetFile(handle).read(columns=COLUMNS)

    return with_retries(uri, call)
