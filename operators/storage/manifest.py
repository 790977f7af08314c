"""Manifests: the user's list of images as Parquet, CSV or JSON lines, or images inside tables.

A list has a column `uri`, whose relative paths count from the folder of the list, and may have an
`etag`, by which a changed image is recognised. All other columns are the user's and reach the
ledger with their types; those of CSV are strings. A Parquet or Arrow file without `uri` contains
the images themselves (see `operators.storage.parquet_images`), in its only column of images or in
the column that SOURCE names: `FILE.parquet#column=image`. A glob of files is one manifest, and a
table (see `operators.storage.tables`) is one too; all its files must have the same user columns.
"""

from __future__ import annotations

import itertools
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from operators.rows.failure import Failure, RunError, first_line
from operators.rows.schema import SCHEMA
from operators.storage import files as storage
from operators.storage import lance_images
from operators.storage.arrow_images import ENDING, map_file
from operators.storage.manifest_paths import path_of_row, uri_of_row
from operators.storage.parquet_images import cell_uri, holds_images
from operators.storage.retries import storage_failure, with_retries
from operators.storage.source_image import SourceImage
from operators.storage.tables import is_table

ROWS = 4096
"""Rows per batch that is read from a Parquet manifest."""
JSON_BLOCK_BYTES = 16 * 1024**2
"""The start of a JSON manifest that decides the column types; no line may be longer."""

LIST_COLUMNS = ("uri", "etag")
"""The columns of a list that describe an image; all others are the user's."""


@dataclass(frozen=True)
class _Table:
    """An open manifest file: its columns, and its rows batch by batch."""

    schema: pa.Schema
    batches: Callable[[list[str]], Iterable[pa.RecordBatch]]
    """Reads the columns with these names; a dotted name is a child of a struct."""
    rows: int = 0
    """The number of rows, of a file that may hold images."""


def _open_parquet(handle: BinaryIO) -> _Table:
    file = pq.ParquetFile(handle)
    return _Table(file.schema_arrow, lambda names: file.iter_batches(ROWS, columns=names), file.metadata.num_rows)


def _open_arrow(uri: str) -> _Table:
    """Map an Arrow file. Raises RunError."""
    try:
        file = map_file(uri)
    except Failure as failure:
        raise RunError("manifest_invalid" if failure.code == "corrupt" else failure.code, failure.message) from failure
    return _Table(file.schema, lambda names: (_select(batch, names) for batch in file.batches), file.rows)


def _select(batch: pa.RecordBatch, names: list[str]) -> pa.RecordBatch:
    """Some columns of a batch; of a struct with a dotted name, only that child."""
    arrays = {}
    for name in names:
        column, _, child = name.partition(".")
        if name in batch.schema.names or not child:
            arrays[name] = batch.column(name)
        else:
            value = pc.struct_field(batch.column(column), child)
            arrays[column] = pa.StructArray.from_arrays([value], [child])
    return pa.RecordBatch.from_pydict(arrays)


def _open_csv(handle: BinaryIO) -> _Table:
    parsing = pyarrow.csv.ParseOptions(newlines_in_values=True)
    names = pyarrow.csv.open_csv(handle, parse_options=parsing).schema.names
    handle.seek(0)
    strings = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
    )
    reader = pyarrow.csv.open_csv(handle, parse_options=parsing, convert_options=strings)
    return _Table(reader.schema, lambda names: (batch.select(names) for batch in reader))


def _open_json(handle: BinaryIO) -> _Table:
    reader = pyarrow.json.open_json(handle, read_options=pyarrow.json.ReadOptions(block_size=JSON_BLOCK_BYTES))
    return _Table(reader.schema, lambda names: (batch.select(names) for batch in reader))


FORMATS: dict[str, Callable[[BinaryIO], _Table]] = {
    ".parquet": _open_parquet,
    ".csv": _open_csv,
    ".jsonl": _open_json,
    ".ndjson": _open_json,
}
"""How a manifest that is read from its storage is opened, by its extension."""


def _split_column(source: str) -> tuple[str, str | None]:
    """A SOURCE without its `#column=` suffix, and the column of images that the suffix names."""
    pattern = r"(.+(?:\.parquet|\.arrow|\.lance/?|_delta_log/?|\.metadata\.json))#column=(.+)"
    match = re.fullmatch(pattern, source, re.IGNORECASE | re.DOTALL)
    return (match[1], match[2]) if match else (source, None)


def without_column(source: str) -> str:
    """A SOURCE without its `#column=` suffix."""
    return _split_column(source)[0]


def is_manifest(source: str) -> bool:
    """Whether a SOURCE names a manifest, a glob of manifests or a table."""
    file = without_column(source)
    return file.lower().endswith((*FORMATS, ENDING)) or is_table(file)


@contextmanager
def _open(file: SourceImage) -> Iterator[_Table]:
    """Open a manifest file, which is read as it is iterated. Raises RunError."""
    if file.uri.lower().endswith(ENDING):
        yield _open_arrow(file.uri)
        return
    if file.uri.lower().endswith(lance_images.ENDING):
        dataset = lance_images.DATASETS.get(file.uri, file.etag)
        yield _Table(dataset.schema, partial(lance_images.batches, dataset), dataset.count_rows())
        return
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
    """The columns of a manifest."""

    images: str | None
    """The column of images, or None for a list of URIs."""
    own: pa.Schema
    """The user's columns."""


def _find_columns(table: _Table, file: str, requested: str | None) -> _Columns:
    schema = table.schema
    images = None
    if requested is not None or "uri" not in schema.names:
        names = [field.name for field in schema if holds_images(field)]
        listed = ", ".join(names)
        if requested is not None and requested not in names:
            raise RunError("manifest_invalid", f"{file} has no column {requested!r} of images; there are: {listed}")
        if not names:
            raise RunError("manifest_invalid", f"{file} has no column 'uri'")
        if requested is None and len(names) > 1:
            raise RunError("manifest_invalid", f"{file} has several columns of images; add #column=: {listed}")
        images = requested or names[0]
    described = LIST_COLUMNS if images is None else ()
    own = pa.schema([field for field in schema if not holds_images(field) and field.name not in described])
    reserved = [field.name for field in own if field.name in SCHEMA.names]
    if reserved:
        raise RunError("manifest_invalid", f"{file}: cleanplate reserves the column names {', '.join(reserved)}")
    return _Columns(images, own)


def own_schema(source: str, files: Iterable[SourceImage]) -> pa.Schema:
    """The user's columns of a manifest, with the types that they have in its first file.

    The schema is empty for every other source.
    """
    if not is_manifest(source):
        return pa.schema([])
    file = next(iter(files))
    with _open(file) as table:
        return _find_columns(table, file.uri, _split_column(source)[1]).own


def manifest_rows(source: str, files: Iterable[SourceImage]) -> Iterator[SourceImage]:
    """The images of a manifest's files. Raises RunError manifest_invalid, and as `files` does."""
    requested, previous = _split_column(source)[1], None
    for file in files:
        with _open(file) as table:
            columns = _find_columns(table, file.uri, requested)
            if previous is not None and set(columns.own.names) != set(previous.names):
                raise RunError("manifest_invalid", f"{file.uri} has other user columns than the files before it")
            previous = columns.own
            yield from _read_list(file, table, columns) if columns.images is None else _read_cells(file, table, columns)


def _read_list(file: SourceImage, table: _Table, columns: _Columns) -> Iterator[SourceImage]:
    described = [name for name in LIST_COLUMNS if name in table.schema.names]
    for batch in table.batches([*described, *columns.own.names]):
        for record in batch.to_pylist():
            uri = record.pop("uri")
            if uri is None:
                raise RunError("manifest_invalid", f"{file.uri} has a row without a uri")
            etag = record.pop("etag", None)
            target, path = uri_of_row(str(uri), file.uri), path_of_row(str(uri), file.uri)
            yield SourceImage(target, path, -1, "" if etag is None else str(etag), record)


def _read_cells(file: SourceImage, table: _Table, columns: _Columns) -> Iterator[SourceImage]:
    """One image per row; only the names of the images are read."""
    column = str(columns.images)
    kind = table.schema.field(column).type
    has_name = pa.types.is_struct(kind) and kind.get_field_index("path") >= 0
    names = [*columns.own.names, *([f"{column}.path"] if has_name else [])]
    rows = itertools.count()
    for record in _read_records(table, names):
        row = next(rows)
        name = (record.pop(column, None) or {}).get("path") or ""
        path = f"{file.path}/{row}/{posixpath.basename(name)}" if posixpath.basename(name) else f"{file.path}/{row}"
        yield SourceImage(cell_uri(file.uri, row, column), path, -1, file.etag, record)


def _read_records(table: _Table, names: list[str]) -> Iterator[dict[str, Any]]:
    """The rows of some columns; without columns, one empty record per row of the file."""
    if names:
        for batch in table.batches(names):
            yield from batch.to_pylist()
        return
    for _ in range(table.rows):
        yield {}
