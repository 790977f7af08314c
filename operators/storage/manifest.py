"""Manifests: a user's own list of images, as Parquet, CSV or JSON lines, or images inside Parquet
files.

A list has a column `uri`, may have an `etag` by which a changed image is recognised, and any
other columns, which are the user's own and reach the ledger with their types (those of CSV are
texts). A Parquet file without `uri` holds the images themselves (see
`operators.storage.parquet_images`) in its one column of images, or in the one that SOURCE names:
`FILE.parquet#column=image`. A glob of files is one manifest; their own columns must be the same.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from operators.rows.failure import RunError, first_line
from operators.rows.schema import SCHEMA
from operators.storage import files as storage
from operators.storage.parquet_images import cell_uri, holds_images
from operators.storage.retries import storage_failure, with_retries
from operators.storage.source_image import SourceImage

ROWS = 4096
JSON_BLOCK_BYTES = 16 * 1024**2
"""The types of a JSON manifest's columns are found in this much of it; no line may be longer."""


@dataclass(frozen=True)
class _Table:
    """An opened manifest file: its columns and its rows, batch by batch."""

    schema: pa.Schema
    batches: Callable[[list[str]], Iterable[pa.RecordBatch]]
    """Reads the columns of these names, dotted for a child of a struct."""


def _parquet(handle: BinaryIO) -> _Table:
    file = pq.ParquetFile(handle)
    return _Table(file.schema_arrow, lambda names: file.iter_batches(ROWS, columns=names))


def _csv(handle: BinaryIO) -> _Table:
    parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
    names = pyarrow.csv.open_csv(handle, parse_options=parsing).schema.names
    handle.seek(0)
    texts = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
    )
    reader = pyarrow.csv.open_csv(handle, parse_options=parsing, convert_options=texts)
    return _Table(reader.schema, lambda names: (batch.select(names) for batch in reader))


def _json(handle: BinaryIO) -> _Table:
    reader = pyarrow.json.open_json(handle, read_options=pyarrow.json.ReadOptions(block_size=JSON_BLOCK_BYTES))
    return _Table(reader.schema, lambda names: (batch.select(names) for batch in reader))


FORMATS: dict[str, Callable[[BinaryIO], _Table]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".jsonl": _json,
    ".ndjson": _json,
}
"""How a manifest is read, by the end of its name."""


def _named(source: str) -> tuple[str, str | None]:
    """A SOURCE without the column of images that it names, and that column."""
    match = re.fullmatch(r"(.+\.parquet)#column=(.+)", source, re.IGNORECASE | re.DOTALL)
    return (match[1], match[2]) if match else (source, None)


def is_manifest(source: str) -> bool:
    """Whether a SOURCE names a manifest, or a glob of them."""
    return _named(source)[0].lower().endswith(tuple(FORMATS))


@contextmanager
def _opened(file: SourceImage) -> Iterator[_Table]:
    """A manifest file, read as it is iterated. Raises RunError."""
    files, path = storage.filesystem(file.uri)
    with with_retries(file.uri, lambda: files.open(path, "rb")) as handle:
        try:
            yield FORMATS[posixpath.splitext(file.uri)[1].lower()](handle)
        except RunError:
            raise
        except (pa.ArrowInvalid, pa.ArrowKeyError, UnicodeDecodeError) as error:
            raise RunError("manifest_invalid", f"{file.uri}: {first_line(error)}") from error
        except Exception as error:
            failure = storage_failure(error, file.uri)
            raise RunError(failure.code, failure.message, 3) from error


@dataclass(frozen=True)
class _Columns:
    """What a manifest's columns are: its column of images, or None for a list of URIs, and the
    user's own.
    """

    images: str | None
    own: pa.Schema


def _columns(table: _Table, file: str, named: str | None) -> _Columns:
    schema = table.schema
    images = None
    if named is not None or "uri" not in schema.names:
        candidates = [field.name for field in schema if holds_images(field)]
        if named is not None and named not in candidates:
            raise RunError("manifest_invalid", f"{file} has no column {named!r} of images; there are: {', '.join(candidates)}")
        if not candidates:
            raise RunError("manifest_invalid", f"{file} has no column 'uri'")
        if named is None and len(candidates) > 1:
            raise RunError("manifest_invalid", f"{file} has several columns of images; add #column=: {', '.join(candidates)}")
        images = named or candidates[0]
    given = ("uri", "etag") if images is None else ()
    own = pa.schema([field for field in schema if not holds_images(field) and field.name not in given])
    taken = [field.name for field in own if field.name in SCHEMA.names]
    if taken:
        raise RunError("manifest_invalid", f"{file}: the column names {', '.join(taken)} are cleanplate's own")
    return _Columns(images, own)


def own_schema(source: str, files: Iterable[SourceImage]) -> pa.Schema:
    """The user's own columns of a manifest, with the types they have in its first file; empty for
    every other source.
    """
    if not is_manifest(source):
        return pa.schema([])
    file = next(iter(files))
    with _opened(file) as table:
        return _columns(table, file.uri, _named(source)[1]).own


def manifest_rows(source: str, files: Iterable[SourceImage]) -> Iterator[SourceImage]:
    """The rows of a manifest's files. Raises RunError manifest_invalid, and source_missing and
    others as `files` does.
    """
    named, first = _named(source)[1], None
    for file in files:
        with _opened(file) as table:
            columns = _columns(table, file.uri, named)
            if first is not None and set(columns.own.names) != set(first.names):
                raise RunError("manifest_invalid", f"{file.uri} has other columns of your own than the files before it")
            first = columns.own
            yield from _listed(file, table, columns) if columns.images is None else _cells(file, table, columns)


def _listed(file: SourceImage, table: _Table, columns: _Columns) -> Iterator[SourceImage]:
    given = [name for name in ("uri", "etag") if name in table.schema.names]
    for batch in table.batches([*given, *columns.own.names]):
        for record in batch.to_pylist():
            uri = record.pop("uri")
            if uri is None:
                raise RunError("manifest_invalid", f"{file.uri} has a row without a uri")
            etag = record.pop("etag", None)
            yield SourceImage(str(uri), _manifest_path(str(uri)), -1, "" if etag is None else str(etag), record)


def _cells(file: SourceImage, table: _Table, columns: _Columns) -> Iterator[SourceImage]:
    """One image for each row; only their names are read, not the images."""
    column = str(columns.images)
    kind = table.schema.field(column).type
    has_name = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
    names = [*columns.own.names, *([f"{column}.path"] if has_name else [])]
    rows = itertools.count()
    for record in _records(file, table, names):
        row = next(rows)
        name = (record.pop(column, None) or {}).get("path") or ""
        place = f"{file.path}/{row}/{posixpath.basename(name)}" if posixpath.basename(name) else f"{file.path}/{row}"
        yield SourceImage(cell_uri(file.uri, row, column), place, -1, file.etag, record)


def _records(file: SourceImage, table: _Table, names: list[str]) -> Iterator[dict[str, Any]]:
    """Rows of some columns; where none is wanted, as many empty ones as the file has."""
    if names:
        for batch in table.batches(names):
            yield from batch.to_pylist()
        return
    files, path = storage.filesystem(file.uri)
    with files.open(path, "rb") as handle:
        rows = pq.read_metadata(handle).num_rows
    for _ in range(rows):
        yield {}


def _manifest_path(uri: str) -> str:
    """The path of a manifest's URI: its scheme, bucket and key, or `local` and the whole path."""
    if storage.is_local(uri):
        return f"local/{storage.filesystem(uri)[1].lstrip('/')}"
    scheme, _, rest = uri.partition("://")
    return f"{scheme}/{rest}"
