"""The ledger: one row per image, without pixels, and the rules for resuming a run that died.

`write` first puts an image under its key and then commits its ledger row, in a part whose name is
a hash of the part's ids and of which of them failed. A run that dies between the two repeats that
batch, with the same bytes. A row with a transient failure is not done: a later part replaces it.
Once all rows of a shard are done, it is compacted to `complete.parquet`, so that one listing
shows whether a run is finished.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.rows.failure import CODES
from operators.rows.schema import LEDGER_SCHEMA
from operators.storage import files as storage

COMPLETE = "complete.parquet"
REPLACED = "part--replaced.parquet"
"""The part with rows that replace others; it sorts before every part that is named by a hash."""
TRANSIENT_CODES = [code for code, entry in CODES.items() if entry.transient]


def shard_folder(dest: str, shard: int) -> str:
    """The folder of a shard's ledger files."""
    return storage.join(dest, "ledger", f"shard={shard:06d}")


def _encode_parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def commit(dest: str, rows: pa.Table) -> None:
    """Put one part per shard of `rows`, which have the ledger's columns. Raises Failure."""
    shards = sorted(set(rows["shard"].to_pylist()))
    for shard in shards:
        # Nearly every batch is of one shard, and a filter copies each column.
        part = rows if len(shards) == 1 else rows.filter(pc.equal(rows["shard"], shard))
        succeeded = pc.is_null(pc.struct_field(part["failure"], "code")).to_pylist()
        content = sorted(zip(part["image_id"].to_pylist(), succeeded, strict=True))
        name = hashlib.sha256("".join(f"{image_id}{success}" for image_id, success in content).encode()).hexdigest()[:24]
        storage.write(storage.join(shard_folder(dest, shard), f"part-{name}.parquet"), _encode_parquet(part))


def files_by_shard(dest: str) -> dict[int, list[str]]:
    """The names of the ledger files of every shard, from one listing. Raises Failure."""
    files: dict[int, list[str]] = defaultdict(list)
    for name in storage.list_paths(storage.join(dest, "ledger")):
        match = re.search(r"shard=(\d+)/([^/]+\.parquet)$", name)
        if match:
            files[int(match[1])].append(match[2])
    return dict(files)


def shard_files(dest: str, shard: int) -> list[str]:
    """The names of the ledger files of a shard. Raises Failure."""
    names = (name.rpartition("/")[2] for name in storage.list_paths(shard_folder(dest, shard)))
    return [name for name in names if name.endswith(".parquet")]


def _is_done(rows: pa.Table) -> pa.ChunkedArray:
    codes = pc.struct_field(rows["failure"], "code")
    return pc.invert(pc.fill_null(pc.is_in(codes, value_set=pa.array(TRANSIENT_CODES, pa.string())), False))


def read_shard(dest: str, shard: int, files: list[str]) -> pa.Table:
    """The rows of a shard, one per image; a done row replaces one with a transient failure.

    `files` are the names of the shard's ledger files. Raises Failure.
    """
    names = [COMPLETE] if COMPLETE in files else sorted(files)
    if not names:
        return LEDGER_SCHEMA.empty_table()
    uris = [storage.join(shard_folder(dest, shard), name) for name in names]
    with ThreadPoolExecutor(8) as pool:
        parts = list(pool.map(lambda uri: pq.read_table(io.BytesIO(storage.read(uri))), uris))
    rows = pa.concat_tables(parts, promote_options="permissive")
    if len(parts) == 1:
        return rows
    rows = (
        rows.append_column("_done", _is_done(rows))
        .append_column("_order", pa.array(range(len(rows))))
        .sort_by([("_done", "descending"), ("_order", "ascending")])
    )
    first: dict[str, int] = {}
    for position, image_id in enumerate(rows["image_id"].to_pylist()):
        first.setdefault(image_id, position)
    return rows.take(pa.array(sorted(first.values()), pa.int64())).drop_columns(["_done", "_order"])


def done_ids(dest: str, shard: int) -> set[str]:
    """The ids of a shard's images that are done. Raises Failure."""
    return done_ids_in(read_shard(dest, shard, shard_files(dest, shard)))


def done_ids_in(rows: pa.Table) -> set[str]:
    """The ids of the done images among ledger rows."""
    return set(rows.filter(_is_done(rows))["image_id"].to_pylist()) if len(rows) else set()


def shard_rows(dest: str) -> Iterator[pa.Table]:
    """The rows of the ledger shard by shard, one row per image. Raises Failure."""
    files = files_by_shard(dest)
    for shard in sorted(files):
        yield read_shard(dest, shard, files[shard])


def read(dest: str) -> pa.Table:
    """The whole ledger, one row per image. Raises Failure."""
    shards = list(shard_rows(dest))
    return pa.concat_tables(shards, promote_options="permissive") if shards else LEDGER_SCHEMA.empty_table()


def replace_rows(dest: str, shard: int, rows: pa.Table) -> None:
    """Put rows of a shard in the place of those of the same images. Raises Failure.

    The caller holds the lease of the destination. In a shard that is not complete, they go into a
    part that readers, and `compact`, take before all others.
    """
    files = shard_files(dest, shard)
    name = COMPLETE if COMPLETE in files else REPLACED
    earlier = read_shard(dest, shard, [name]) if name in files else rows.slice(0, 0)
    new = pa.array(rows["image_id"].to_pylist(), pa.string())
    kept = earlier.filter(pc.invert(pc.is_in(earlier["image_id"], value_set=new)))
    joined = pa.concat_tables([kept, rows], promote_options="permissive").sort_by("image_id")
    storage.write(storage.join(shard_folder(dest, shard), name), _encode_parquet(joined))


def compact(dest: str, shard: int, expected: int) -> bool:
    """Merge a shard's parts into one file if all its `expected` images are done.

    Return whether the shard is complete. The merged file is put before the parts are removed, and
    readers prefer it, so a run that dies in between loses nothing. Raises Failure.
    """
    files = shard_files(dest, shard)
    if COMPLETE not in files:
        rows = read_shard(dest, shard, files)
        if len(rows) < expected or not pc.all(_is_done(rows)).as_py():
            return False
        storage.write(storage.join(shard_folder(dest, shard), COMPLETE), _encode_parquet(rows.sort_by("image_id")))
    for name in files:
        if name != COMPLETE:
            storage.remove(storage.join(shard_folder(dest, shard), name))
    return True
