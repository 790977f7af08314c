"""The index: the images to process, in shards of Parquet, built from a streaming listing.

An image's id is a hash of its URI and its etag (on a local disk, size and modification time). A
changed file is therefore a new image, which replaces the earlier one. Listing again adds new and
changed images; all others keep their shards. An image that is no longer listed keeps its row: its
result remains valid, or its key turns out to be missing when it is processed.
"""

from __future__ import annotations

import io
import itertools
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.ledger import ledger
from operators.ledger.id_lookup import Hashes, IdSet, IndexedIds, binary, hashes
from operators.ledger.part import WHOLE, Part
from operators.rows.schema import INDEX_SCHEMA
from operators.storage import files as storage
from operators.storage.intake import Intake
from operators.storage.left_out import LeftOut
from operators.storage.listing import list_source, output_path, own_columns
from operators.storage.source_image import SourceImage

FIRST_SHARD_ROWS = 64
LARGEST_SHARD_ROWS = 4096
LOOKUP_BATCH = 256
"""The number of listed images that are looked up in the index together."""
THREADS = 16


def shard_uri(dest: str, shard: int) -> str:
    """The URI of a shard's index file."""
    return storage.join(dest, "index", f"shard={shard:06d}.parquet")


def read_shard(dest: str, shard: int, columns: list[str] | None = None) -> pa.Table:
    """The index rows of a shard, the user's columns last, or only some columns. Raises Failure."""
    return pq.read_table(io.BytesIO(storage.read(shard_uri(dest, shard))), columns=columns)


def shards(dest: str, part: Part = WHOLE) -> list[int]:
    """The numbers of a part's shards in the index of a destination. Raises Failure."""
    names = (re.search(r"shard=(\d+)\.parquet$", name) for name in storage.list_paths(storage.join(dest, "index")))
    return sorted(shard for shard in (int(match[1]) for match in names if match) if part.has_shard(shard))


def index_rows(images: Sequence[SourceImage], shard: int) -> pa.Table:
    """The index rows of listed images, without the user's columns."""
    columns = {
        "image_id": [image.image_id for image in images],
        "uri": [image.uri for image in images],
        "path": [output_path(image.path) for image in images],
        "shard": [shard] * len(images),
        "size": [image.size if image.size >= 0 else None for image in images],
        "etag": [image.etag for image in images],
    }
    return pa.table(columns, schema=INDEX_SCHEMA)


def _read_indexed_ids(dest: str, part: Part) -> tuple[IndexedIds, dict[int, int]]:
    """The ids of a part in the index, and the number of rows by shard.

    Only two columns of each shard are read, several shards at a time.
    """

    def read_columns(shard: int) -> tuple[int, Hashes, Hashes]:
        rows = read_shard(dest, shard, ["image_id", "uri"])
        return shard, hashes(rows["uri"].to_pylist()), binary(rows["image_id"].to_pylist())

    with ThreadPoolExecutor(THREADS) as pool:
        parts = list(pool.map(read_columns, shards(dest, part)))
    return IndexedIds.of(parts), {shard: len(ids) for shard, _, ids in parts}


def build(
    source: str,
    dest: str,
    limit: int | None = None,
    report_listed: Callable[[int], None] = lambda listed: None,
    intake: Intake = Intake(),
    left_out: LeftOut | None = None,
    part: Part = WHOLE,
) -> dict[int, int]:
    """Add the images of SOURCE that the index lacks; return the rows by shard, old and new.

    Of a run in parts, only the images and the shards of one `part` are looked at.

    Shards double from 64 to 4,096 rows, so that a small run is spread over workers and a large
    one has few files. A shard is written while the listing continues; memory use is a few shards
    and 52 bytes per image. `report_listed` is called with the number of images listed so far, and
    `left_out` counts what was listed and is no image. Only the first occurrence of a URI counts.
    `intake` says which images are taken. Raises RunError as `list_source` does, and Failure as the
    storage of the destination does.
    """
    indexed, sizes = _read_indexed_ids(dest, part)
    seen, superseded = IdSet(), defaultdict[int, list[str]](list)

    def list_new() -> Iterator[SourceImage]:
        listed = 0
        all_images = islice(intake.of(list_source(source, dest, left_out)), limit)
        for images in _batch((image for image in all_images if part.takes(image.uri)), LOOKUP_BATCH):
            uris = hashes(image.uri for image in images)
            for image, first, versions in zip(images, seen.new(uris), indexed.versions(uris), strict=True):
                if not first:
                    continue
                image_id = image.image_id
                shard_by_id = {_hexadecimal(value): shard for value, shard in versions}
                if image_id not in shard_by_id:
                    yield image
                for indexed_id, shard in shard_by_id.items():
                    if indexed_id != image_id:
                        superseded[shard].append(indexed_id)
            listed += len(images)
            report_listed(listed)

    with ThreadPoolExecutor(2) as pool:
        own: pa.Schema | None = None
        writes: list[Future[None]] = []
        numbers = itertools.count(max(sizes, default=part.number - 1 - part.of) + part.of, part.of)
        for shard, images in zip(numbers, _split_into_shards(list_new()), strict=False):
            own = own if own is not None else own_columns(source)
            writes.append(pool.submit(_write_shard, dest, shard, images, own))
            sizes[shard] = len(images)
            if len(writes) > 2:
                writes.pop(0).result()
        for write in writes:
            write.result()
    for shard, ids in superseded.items():
        sizes[shard] = drop_changed(dest, shard, ids, shard_uri(dest, shard))
    return {shard: size for shard, size in sizes.items() if size}


def _hexadecimal(value: bytes) -> str:
    return value.ljust(16, b"\0").hex()


def _batch(images: Iterable[SourceImage], size: int) -> Iterator[list[SourceImage]]:
    iterator = iter(images)
    while batch := list(islice(iterator, size)):
        yield batch


def _split_into_shards(images: Iterator[SourceImage]) -> Iterator[list[SourceImage]]:
    capacity = FIRST_SHARD_ROWS
    while shard := list(islice(images, capacity)):
        yield shard
        capacity = min(2 * capacity, LARGEST_SHARD_ROWS)


def _write_shard(dest: str, shard: int, images: list[SourceImage], own: pa.Schema) -> None:
    rows = index_rows(images, shard)
    for field in own:
        rows = rows.append_column(field.name, pa.array([image.own.get(field.name) for image in images], field.type))
    buffer = io.BytesIO()
    pq.write_table(rows, buffer, compression="zstd")
    storage.write(shard_uri(dest, shard), buffer.getvalue())


def drop_changed(dest: str, shard: int, ids: list[str], index_shard: str) -> int:
    """Remove images from the ledger files and then from the index file of a shard.

    Return the number of index rows that remain. The index file comes last, so that rows left by a
    run that dies in between are found superseded by the next indexing. Raises Failure.
    """
    dropped = pa.array(ids, pa.string())
    for file in storage.list_uris(ledger.shard_folder(dest, shard)):
        if file.endswith(".parquet"):
            _rewrite(file, dropped)
    return _rewrite(index_shard, dropped)


def _rewrite(uri: str, dropped: pa.Array) -> int:
    """Rewrite a Parquet file without the rows of some images; return the number of other rows.

    A file without other rows is removed.
    """
    rows = pq.read_table(io.BytesIO(storage.read(uri)))
    remaining = rows.filter(pc.invert(pc.is_in(rows["image_id"], value_set=dropped)))
    if not len(remaining):
        storage.remove(uri)
    elif len(remaining) < len(rows):
        buffer = io.BytesIO()
        pq.write_table(remaining, buffer, compression="zstd")
        storage.write(uri, buffer.getvalue())
    return len(remaining)
