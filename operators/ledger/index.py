"""The index: what is to be worked, in shards of Parquet, made from a listing that streams.

An image's id is a hash of its URI and of its etag (its size and modification time on a local
disk), so a changed file is a new image, and takes the place of the one it was. Listing again
finds what is new or changed; everything else keeps its shard. An image that is no longer listed
keeps its row: its result stands, or its key is found missing when it is worked.
"""

from __future__ import annotations

import io
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.ledger import ledger
from operators.ledger.id_lookup import Hashes, IdSet, IndexedIds, binary, hashes
from operators.rows.schema import INDEX_COLUMNS, SCHEMA
from operators.storage import files as storage
from operators.storage.listing import list_source, manifest_files, output_path
from operators.storage.manifest import own_schema
from operators.storage.source_image import SourceImage

FIRST_SHARD_ROWS = 64
LARGEST_SHARD_ROWS = 4096
LOOKED_UP_TOGETHER = 256
THREADS = 16


def shard_uri(dest: str, shard: int) -> str:
    """Where the index keeps a shard."""
    return storage.joined(dest, "index", f"shard={shard:06d}.parquet")


def read_shard(dest: str, shard: int) -> pa.Table:
    """One shard's index rows, the user's own columns last. Raises Failure."""
    return pq.read_table(io.BytesIO(storage.read(shard_uri(dest, shard))))


def shards(dest: str) -> list[int]:
    """Numbers of the shards that the destination's index holds. Raises Failure."""
    names = (re.search(r"shard=(\d+)\.parquet$", name) for name in storage.names(storage.joined(dest, "index")))
    return sorted(int(match[1]) for match in names if match)


def shard_sizes(dest: str) -> dict[int, int]:
    """Rows of every shard that the destination's index holds. Raises Failure."""

    def rows(shard: int) -> int:
        return int(pq.ParquetFile(io.BytesIO(storage.read(shard_uri(dest, shard)))).metadata.num_rows)

    with ThreadPoolExecutor(THREADS) as pool:
        numbers = shards(dest)
        return dict(zip(numbers, pool.map(rows, numbers), strict=True))


def _indexed_ids(dest: str) -> tuple[IndexedIds, dict[int, int]]:
    """What the index holds, and rows by shard. Two columns of each shard are read, several shards
    at a time.
    """

    def columns(shard: int) -> tuple[int, Hashes, Hashes]:
        rows = pq.read_table(io.BytesIO(storage.read(shard_uri(dest, shard))), columns=["image_id", "uri"])
        return shard, hashes(rows["uri"].to_pylist()), binary(rows["image_id"].to_pylist())

    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(columns, shards(dest)))
    return IndexedIds.of(parts), {shard: len(ids) for shard, _, ids in parts}


def build(
    source: str, dest: str, limit: int | None = None, told: Callable[[int], None] = lambda listed: None
) -> dict[int, int]:
    """Index what the destination's index does not hold yet; returns rows by shard, old and new.

    Shards double from 64 rows to 4,096: a small run is spread over workers, a large one has few
    files. A shard is put while the listing goes on; memory is a few shards, and 52 bytes an
    image. `told` hears how many were listed. A URI that comes twice counts once, as it came
    first. Raises RunError as `list_source` does, Failure as the destination's storage does.
    """
    known, sizes = _indexed_ids(dest)
    seen, superseded = IdSet(), defaultdict[int, list[str]](list)

    def new() -> Iterator[SourceImage]:
        listed = 0
        for items in _batched(islice(list_source(source, dest), limit), LOOKED_UP_TOGETHER):
            uris = hashes(item.uri for item in items)
            for item, first, versions in zip(items, seen.new(uris), known.versions(uris), strict=True):
                image_id = item.image_id
                earlier = {_hexadecimal(value): shard for value, shard in versions}
                if first and image_id not in earlier:
                    yield item
                if first:
                    for other, shard in earlier.items():
                        if other != image_id:
                            superseded[shard].append(other)
            listed += len(items)
            told(listed)

    with ThreadPoolExecutor(2) as pool:
        own: pa.Schema | None = None
        putting: list[Future[None]] = []
        for shard, items in zip(itertools.count(max(sizes, default=-1) + 1), _sharded(new()), strict=False):
            own = own if own is not None else own_schema(source, manifest_files(source))
            putting.append(pool.submit(_write_shard, dest, shard, items, own))
            sizes[shard] = len(items)
            if len(putting) > 2:
                putting.pop(0).result()
        for put in putting:
            put.result()
    for shard, ids in superseded.items():
        sizes[shard] = drop_changed(dest, shard, ids, shard_uri(dest, shard))
    return {shard: size for shard, size in sizes.items() if size}


def _hexadecimal(value: bytes) -> str:
    return value.ljust(16, b"\0").hex()


def _batched(items: Iterable[SourceImage], most: int) -> Iterator[list[SourceImage]]:
    iterator = iter(items)
    while batch := list(islice(iterator, most)):
        yield batch


def _sharded(items: Iterator[SourceImage]) -> Iterator[list[SourceImage]]:
    capacity = FIRST_SHARD_ROWS
    while shard := list(islice(items, capacity)):
        yield shard
        capacity = min(2 * capacity, LARGEST_SHARD_ROWS)


def _write_shard(dest: str, shard: int, items: list[SourceImage], own: pa.Schema) -> None:
    values = {
        "image_id": [item.image_id for item in items],
        "uri": [item.uri for item in items],
        "path": [output_path(item.path) for item in items],
        "shard": [shard] * len(items),
        "size": [item.size if item.size >= 0 else None for item in items],
        "etag": [item.etag for item in items],
    }
    columns = {name: pa.array(values[name], SCHEMA.field(name).type) for name in INDEX_COLUMNS}
    extra = {field.name: pa.array([item.own.get(field.name) for item in items], field.type) for field in own}
    buffer = io.BytesIO()
    pq.write_table(pa.table({**columns, **extra}), buffer, compression="zstd")
    storage.write(shard_uri(dest, shard), buffer.getvalue())


def drop_changed(dest: str, shard: int, ids: list[str], index_shard: str) -> int:
    """Take images out of a shard's ledger files and then out of its index file; returns the index
    rows that are left.

    The index comes last: dying in between leaves rows that the next indexing finds superseded
    again. Raises Failure.
    """
    gone = pa.array(ids, pa.string())
    for file in storage.uris(ledger.shard_folder(dest, shard)):
        if file.endswith(".parquet"):
            _rewrite(file, gone)
    return _rewrite(index_shard, gone)


def _rewrite(uri: str, gone: pa.Array) -> int:
    """Put a Parquet file again without the rows of some images, or remove it if it has no others;
    returns what is left.
    """
    rows = pq.read_table(io.BytesIO(storage.read(uri)))
    kept = rows.filter(pc.invert(pc.is_in(rows["image_id"], value_set=gone)))
    if not len(kept):
        storage.remove(uri)
    elif len(kept) < len(rows):
        buffer = io.BytesIO()
        pq.write_table(kept, buffer, compression="zstd")
        storage.write(uri, buffer.getvalue())
    return len(kept)
