"""The ledger: one row per image, without pixels, and the rules by which a run that died is taken
up again.

`write` puts an image under its key first and commits its ledger row afterwards, in a part named
by the hash of the ids it holds. Dying between the two costs that group once more, with the same
bytes. A row whose failure is transient is not done: a later part supersedes it. A shard all of
whose rows are done is compacted to `complete.parquet`, so that a finished run is recognised from
one listing.
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
TRANSIENT = [code for code, entry in CODES.items() if entry.transient]


def shard_folder(dest: str, shard: int) -> str:
    """Where a shard's ledger parts lie."""
    return storage.joined(dest, "ledger", f"shard={shard:06d}")


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def commit(dest: str, rows: pa.Table) -> None:
    """Put one part per shard that `rows` (the ledger's columns) touch. Raises Failure."""
    for shard in sorted(set(rows["shard"].to_pylist())):
        part = rows.filter(pc.equal(rows["shard"], shard))
        ids = sorted(part["image_id"].to_pylist())
        final = pc.is_null(part["failure"].combine_chunks().field("code")).to_pylist()
        marker = hashlib.sha256("".join(f"{i}{done}" for i, done in zip(ids, sorted(final), strict=True)).encode()).hexdigest()[
            :24
        ]
        storage.write(storage.joined(shard_folder(dest, shard), f"part-{marker}.parquet"), _parquet(part))


def files_by_shard(dest: str) -> dict[int, list[str]]:
    """Names of the ledger files of every shard, from one listing. Raises Failure."""
    found: dict[int, list[str]] = defaultdict(list)
    for name in storage.names(storage.joined(dest, "ledger")):
        match = re.search(r"shard=(\d+)/([^/]+\.parquet)$", name)
        if match:
            found[int(match[1])].append(match[2])
    return dict(found)


def _is_done(rows: pa.Table) -> pa.ChunkedArray:
    codes = pc.struct_field(rows["failure"], "code")
    return pc.invert(pc.fill_null(pc.is_in(codes, value_set=pa.array(TRANSIENT, pa.string())), False))


def read_shard(dest: str, shard: int, files: list[str]) -> pa.Table:
    """A shard's rows, one per image: a done row before one with a transient failure. Raises
    Failure.
    """
    names = [COMPLETE] if COMPLETE in files else sorted(files)
    if not names:
        return LEDGER_SCHEMA.empty_table()
    uris = [storage.joined(shard_folder(dest, shard), name) for name in names]
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
    """Ids of a shard's images that need no more work. Raises Failure."""
    files = [name.rpartition("/")[2] for name in storage.names(shard_folder(dest, shard))]
    return done_in(read_shard(dest, shard, [name for name in files if name.endswith(".parquet")]))


def done_in(rows: pa.Table) -> set[str]:
    """Ids of the images of ledger rows that need no more work."""
    return set(rows.filter(_is_done(rows))["image_id"].to_pylist()) if len(rows) else set()


def shard_rows(dest: str) -> Iterator[pa.Table]:
    """The ledger's rows, one per image, shard by shard. Raises Failure."""
    files = files_by_shard(dest)
    for shard in sorted(files):
        yield read_shard(dest, shard, files[shard])


def read(dest: str) -> pa.Table:
    """The whole ledger, one row per image. Raises Failure."""
    shards = list(shard_rows(dest))
    return pa.concat_tables(shards, promote_options="permissive") if shards else LEDGER_SCHEMA.empty_table()


def compact(dest: str, shard: int, expected: int) -> bool:
    """Turn a shard's parts into one file if all its `expected` images are done; whether it is
    complete now.

    The one file is put before the parts are removed, and readers prefer it, so dying in between
    loses nothing.
    """
    files = [name.rpartition("/")[2] for name in storage.names(shard_folder(dest, shard)) if name.endswith(".parquet")]
    if COMPLETE not in files:
        rows = read_shard(dest, shard, files)
        if len(rows) < expected or not pc.all(_is_done(rows)).as_py():
            return False
        storage.write(storage.joined(shard_folder(dest, shard), COMPLETE), _parquet(rows.sort_by("image_id")))
    for name in files:
        if name != COMPLETE:
            storage.remove(storage.joined(shard_folder(dest, shard), name))
    return True
