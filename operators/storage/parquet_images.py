"""Images inside Parquet files: a column of bytes, or of structs of `bytes` and `path` as datasets
on hubs have them.

Such an image is addressed as `FILE.parquet#row=17&column=image`. A row group is the least that
can be read of a Parquet file, so each process keeps those that it read last: neighbours are
worked one after the other, and are in them.
"""

from __future__ import annotations

import bisect
import re
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from operators.rows.failure import Failure
from operators.storage import files as storage
from operators.storage.retries import with_retries

ADDRESS = re.compile(r"(?P<file>.+\.parquet)#row=(?P<row>\d+)&column=(?P<column>.+)", re.IGNORECASE | re.DOTALL)
CACHED_BYTES = 256 * 1024**2
"""Of row groups beside the one that was read last, which is kept whatever its size."""
CACHED_FILES = 64


def cell_uri(file: str, row: int, column: str) -> str:
    """The address of one image in a Parquet file."""
    return f"{file}#row={row}&column={column}"


def is_cell(uri: str) -> bool:
    """Whether a URI addresses an image in a Parquet file."""
    return ADDRESS.fullmatch(uri) is not None


def holds_images(field: pa.Field) -> bool:
    """Whether a Parquet column may hold encoded images: bytes, or a struct that has `bytes`."""
    kind = field.type
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field("bytes").type)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


@dataclass(frozen=True)
class _File:
    """What a file's footer says: its metadata and the number of the row that ends each row group."""

    metadata: pq.FileMetaData
    ends: list[int]


class RowGroupCache:
    """The row groups that this process read last. Threads that want the same one wait for its
    first reader.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[str, str | None], _File] = OrderedDict()
        self._groups: OrderedDict[tuple[str, str | None, str, int], pa.ChunkedArray] = OrderedDict()

    def read(self, file: str, row: int, column: str, etag: str | None) -> bytes:
        """The bytes of one cell. Raises Failure as `read` does."""
        with self._lock:
            if (file, etag) not in self._files:
                self._files[file, etag] = with_retries(file, lambda: _footer(file))
                while len(self._files) > CACHED_FILES:
                    self._files.popitem(last=False)
            known = self._files[file, etag]
            group = bisect.bisect_right(known.ends, row)
            if group == len(known.ends):
                raise Failure("key_missing", f"{file} has {known.ends[-1] if known.ends else 0} rows, not row {row}")
            key = (file, etag, column, group)
            if key not in self._groups:
                self._groups[key] = with_retries(file, lambda: _column(file, known.metadata, group, column))
                while len(self._groups) > 1 and sum(held.nbytes for held in self._groups.values()) > CACHED_BYTES:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(key)
            value = self._groups[key][row - (known.ends[group - 1] if group else 0)].as_py()
        if value is None:
            raise Failure("key_missing", f"{file}: column {column!r} of row {row} is null")
        data: bytes = value
        return data


def _footer(file: str) -> _File:
    files, path = storage.filesystem(file)
    with files.open(path, "rb") as handle:
        try:
            metadata = pq.read_metadata(handle)
        except pa.ArrowInvalid as error:
            raise Failure("corrupt", f"{file}: {error}"[:500]) from error
    return _File(metadata, list(accumulate(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))))


def _column(file: str, metadata: pq.FileMetaData, group: int, column: str) -> pa.ChunkedArray:
    """The bytes of a column in one row group."""
    files, path = storage.filesystem(file)
    with files.open(path, "rb", cache_type="none") as handle:
        try:
            table = pq.ParquetFile(handle, metadata=metadata, pre_buffer=True)
            field = table.schema_arrow.field(column)
            if pa.types.is_struct(field.type):
                return table.read_row_group(group, columns=[f"{column}.bytes"])[column].combine_chunks().field("bytes")
            return table.read_row_group(group, columns=[column])[column]
        except (pa.ArrowInvalid, KeyError) as error:
            raise Failure("corrupt", f"{file}: {error}"[:500]) from error


ROW_GROUPS = RowGroupCache()


def read(uri: str, etag: str | None = None) -> bytes:
    """The bytes at a cell's address. Raises Failure: key_missing for no such file, row or bytes,
    corrupt for a bad file.
    """
    found = ADDRESS.fullmatch(uri)
    if found is None:
        raise Failure("key_missing", f"{uri} is no address of a cell")
    return ROW_GROUPS.read(found["file"], int(found["row"]), found["column"], etag)
