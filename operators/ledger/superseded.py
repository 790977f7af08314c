"""Rows of images that have changed since: they leave index and ledger, so that an image is worked and counted once."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.ledger import ledger
from operators.storage import files as storage


def forget(dest: str, shard: int, ids: list[str], index_shard: str) -> int:
    """Take images out of a shard's ledger files and then out of its index file; returns the index rows that are left.

    The index comes last: dying in between leaves rows that the next indexing finds superseded again. Raises Failure.
    """
    gone = pa.array(ids, pa.string())
    for file in storage.uris(ledger.shard_folder(dest, shard)):
        if file.endswith(".parquet"):
            _rewrite(file, gone)
    return _rewrite(index_shard, gone)


def _rewrite(uri: str, gone: pa.Array) -> int:
    """Put a Parquet file again without the rows of some images, or remove it if it has no others; returns what is left."""
    rows = pq.read_table(io.BytesIO(storage.read(uri)))
    kept = rows.filter(pc.invert(pc.is_in(rows["image_id"], value_set=gone)))
    if not len(kept):
        storage.remove(uri)
    elif len(kept) < len(rows):
        buffer = io.BytesIO()
        pq.write_table(kept, buffer, compression="zstd")
        storage.write(uri, buffer.getvalue())
    return len(kept)
