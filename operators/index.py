"""The index: what is to be worked, in shards of Parquet, made from a listing that streams.

An image's id is a hash of its URI and of its etag (its size and modification time on a local disk), so a changed file is
a new image. Listing again finds what is new; what was indexed before keeps its shard.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import fsspec.asyn
import pyarrow as pa
import pyarrow.parquet as pq

from operators import storage
from operators.failure import RunError
from operators.row import INDEX_COLUMNS, SCHEMA

EXTENSIONS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")
"""What a listing takes for an image; a glob or a manifest takes whatever it names."""
FIRST_SHARD_ROWS = 64
LARGEST_SHARD_ROWS = 4096


@dataclass(frozen=True)
class Found:
    """One object of a listing: its URI, its path under the source's root, its size in bytes, its version."""

    uri: str
    path: str
    size: int
    etag: str
    own: Mapping[str, Any] = field(default_factory=dict)

    @property
    def image_id(self) -> str:
        """32 hexadecimal digits that change whenever the object does."""
        return hashlib.sha256(f"{self.uri}\0{self.etag}".encode()).hexdigest()[:32]


def list_source(source: str, excluded: str) -> Iterator[Found]:
    """Every image of a folder, prefix, glob or Parquet manifest, one at a time, leaving out what lies under `excluded`.

    Raises RunError source_missing if nothing is there, and access_denied or storage_error as the storage says.
    """
    if source.lower().endswith(".parquet"):
        yield from _manifest(source)
        return
    under, pattern = _location(excluded).rstrip("/") + "/", "*" in source or "?" in source
    for item in _glob(source) if pattern else _listing(source):
        if (pattern or item.path.lower().endswith(EXTENSIONS)) and not _location(item.uri).startswith(under):
            yield item


def _listing(source: str) -> Iterator[Found]:
    return _local(source) if storage.is_local(source) else _remote(source)


def _location(uri: str) -> str:
    return os.path.abspath(uri.removeprefix("file://")) if storage.is_local(uri) else uri


def _local(source: str) -> Iterator[Found]:
    root = _location(source)
    if os.path.isfile(root):
        yield _local_file(root, os.path.basename(root))
        return
    if not os.path.isdir(root):
        raise RunError("source_missing", f"there is no {source}")
    folders = [root]
    while folders:
        folder = folders.pop()
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                elif entry.is_file() and not entry.name.startswith(".") and entry.name.isprintable():
                    yield _local_file(entry.path, os.path.relpath(entry.path, root))


def _local_file(file: str, path: str) -> Found:
    status = os.stat(file)
    return Found(file, path, status.st_size, f"{status.st_size}-{status.st_mtime_ns}")


def _remote(source: str) -> Iterator[Found]:
    files, root = storage.filesystem(source)
    protocol = source.partition("://")[0]
    empty = True
    for info in _objects(files, root, source):
        empty = False
        name = str(info["name"])
        if name.endswith("/") or info.get("type") == "directory":
            continue
        path = name[len(root) :].lstrip("/") or name.rpartition("/")[2]
        yield Found(f"{protocol}://{name}", path, int(info["size"] or 0), _version(info))
    if empty:
        raise RunError("source_missing", f"there is nothing under {source}")


def _version(info: Mapping[str, Any]) -> str:
    etag = info.get("ETag") or info.get("etag")
    return str(etag).strip('"') if etag else f"{info.get('size')}-{info.get('mtime') or info.get('LastModified')}"


def _objects(files: Any, root: str, source: str) -> Iterator[Mapping[str, Any]]:
    """Listing entries under a prefix; page by page on S3, where a flat listing would hold every key in memory."""
    try:
        if hasattr(files, "_iterdir"):
            bucket, key, _ = files.split_path(root)
            prefix = f"{key.rstrip('/')}/" if key else ""
            pages = files._iterdir(bucket, delimiter="", prefix=prefix)
            seen = False
            while True:
                try:
                    info = fsspec.asyn.sync(files.loop, pages.__anext__)
                except StopAsyncIteration:
                    break
                seen = True
                yield info
            if not seen and key and files.exists(root):
                yield files.info(root)
            return
        for _, _, found in files.walk(root, detail=True):
            yield from found.values()
    except Exception as error:
        failure = storage.storage_failure(error, source)
        code = "source_missing" if failure.code == "key_missing" else failure.code
        raise RunError(code, failure.message, 2 if code == "source_missing" else 3) from error


def _glob(source: str) -> Iterator[Found]:
    """Objects whose path matches a pattern; output paths are relative to the folder before its first wildcard."""
    fixed = re.split(r"[*?]", source, maxsplit=1)[0].rpartition("/")[0] or ("/" if source.startswith("/") else ".")
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    wanted = re.compile(
        "".join(parts.get(part, re.escape(part)) for part in re.split(r"(\*\*/|\*\*|\*|\?)", _location(source)))
    )
    matched = False
    for item in _listing(fixed):
        if wanted.fullmatch(_location(item.uri)):
            matched = True
            yield item
    if not matched:
        raise RunError("source_missing", f"nothing matches {source}")


def _manifest(source: str) -> Iterator[Found]:
    """Rows of a Parquet file with a `uri` column; every other column is the user's own and reaches the ledger."""
    files, path = storage.filesystem(source)
    try:
        handle = files.open(path, "rb")
    except Exception as error:
        raise RunError("source_missing", f"{source}: {storage.storage_failure(error, source).message}") from error
    with handle:
        table = pq.ParquetFile(handle)
        if "uri" not in table.schema_arrow.names:
            raise RunError("manifest_invalid", f"{source} has no column 'uri'")
        taken = [name for name in table.schema_arrow.names if name in SCHEMA.names and name not in ("uri", "etag")]
        if taken:
            raise RunError("manifest_invalid", f"{source}: the column names {', '.join(taken)} are cleanplate's own")
        for batch in table.iter_batches(LARGEST_SHARD_ROWS):
            for record in batch.to_pylist():
                uri = str(record.pop("uri"))
                etag = str(record.pop("etag", None) or "")
                yield Found(uri, _manifest_path(uri), -1, etag, record)


def _manifest_path(uri: str) -> str:
    """The path of a manifest's URI: its scheme, bucket and key, or `local` and the whole path."""
    scheme, _, rest = uri.partition("://") if "://" in uri else ("local", "", _location(uri).lstrip("/"))
    return f"{scheme}/{rest}"


def own_schema(source: str) -> pa.Schema:
    """The user's own columns of a manifest, with the types they have there; empty for every other source."""
    if not source.lower().endswith(".parquet"):
        return pa.schema([])
    files, path = storage.filesystem(source)
    with files.open(path, "rb") as handle:
        schema = pq.ParquetFile(handle).schema_arrow
    return pa.schema([field for field in schema if field.name not in SCHEMA.names])


def output_path(path: str) -> str:
    """A source's path as a path that any storage keeps apart from every other: empty and dotted segments are spelt out.

    Injective: `a//b`, `a/./b`, `a/../b` and `a/b` have four different results, and so has a name that looks spelt out.
    """

    def segment(name: str) -> str:
        spelt = {"": "%empty", ".": "%dot", "..": "%dotdot"}.get(name)
        return spelt or (f"%{name}" if re.fullmatch(r"%+(empty|dot|dotdot)", name) else name)

    return "/".join(segment(name) for name in path.split("/"))


def shard_uri(dest: str, shard: int) -> str:
    """Where the index keeps a shard."""
    return storage.joined(dest, "index", f"shard={shard:06d}.parquet")


def read_shard(dest: str, shard: int) -> pa.Table:
    """One shard's index rows, the user's own columns last. Raises Failure."""
    return pq.read_table(io.BytesIO(storage.read(shard_uri(dest, shard))))


def shard_sizes(dest: str) -> dict[int, int]:
    """Rows of every shard that the destination's index holds. Raises Failure."""
    sizes = {}
    for name in storage.names(storage.joined(dest, "index")):
        match = re.search(r"shard=(\d+)\.parquet$", name)
        if match:
            data = storage.read(shard_uri(dest, int(match[1])))
            sizes[int(match[1])] = pq.ParquetFile(io.BytesIO(data)).metadata.num_rows
    return sizes


def build(source: str, dest: str, limit: int | None = None) -> dict[int, int]:
    """Index what the destination's index does not hold yet; returns rows by shard, old and new.

    Shards double from 64 rows to 4,096: a small run is spread over workers, a large one has few files. Memory is one
    shard and 16 bytes an id. Raises RunError as `list_source` does, Failure as the destination's storage does.
    """
    sizes = shard_sizes(dest)
    known = {bytes.fromhex(str(value)) for shard in sizes for value in read_shard(dest, shard)["image_id"].to_pylist()}
    pending: list[Found] = []
    own: pa.Schema | None = None
    capacity = FIRST_SHARD_ROWS

    def flush() -> None:
        nonlocal capacity, own
        if pending:
            shard = max(sizes, default=-1) + 1
            own = own if own is not None else own_schema(source)
            _write_shard(dest, shard, pending, own)
            sizes[shard] = len(pending)
            pending.clear()
            capacity = min(2 * capacity, LARGEST_SHARD_ROWS)

    for item in _limited(list_source(source, dest), limit):
        identity = bytes.fromhex(item.image_id)
        if identity in known:
            continue
        known.add(identity)
        pending.append(item)
        if len(pending) >= capacity:
            flush()
    flush()
    return sizes


def _limited(items: Iterable[Found], limit: int | None) -> Iterator[Found]:
    for count, item in enumerate(items):
        if limit is not None and count >= limit:
            return
        yield item


def _write_shard(dest: str, shard: int, items: list[Found], own: pa.Schema) -> None:
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
