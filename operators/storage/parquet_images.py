"""Images inside Parquet files, in a column of bytes or of structs with `bytes` and `path`.

Dataset hubs use such structs. The address of an image is `FILE.parquet#row=17&column=image`; one
in an Arrow file or a Lance dataset (see `operators.storage.arrow_images` and `lance_images`) has
that ending. A row group is the smallest readable unit of a Parquet file, so each process keeps the
row groups that it read last: they contain the neighbouring images, which are processed next.
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
from operators.storage import lance_images
from operators.storage.arrow_images import ENDING, MAPPED
from operators.storage.retries import with_retries

ADDRESS = re.compile(r"(?P<file>.+\.(?:parquet|arrow|lance))#row=(?P<row>\d+)&column=(?P<column>.+)", re.IGNORECASE | re.DOTALL)
CACHED_BYTES = 256 * 1024**2
"""The limit of the cached row groups; the last one read is kept whatever its size."""
CACHED_FILES = 64
"""The number of files whose footers are cached."""


def cell_uri(file: str, row: int, column: str) -> str:
    """The address of one image in a Parquet or Arrow file, or in a Lance dataset."""
    return f"{file}#row={row}&column={column}"


def is_cell(uri: str) -> bool:
    """Whether a URI addresses an image in a Parquet or Arrow file, or in a Lance dataset."""
    return ADDRESS.fullmatch(uri) is not None


def holds_images(field: pa.Field) -> bool:
    """Whether a column may hold encoded images: bytes, or a struct with `bytes`."""
    kind = field.type
    if pa.types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_bytes(kind.field("bytes").type)
    return _is_bytes(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


@dataclass(frozen=True)
class _Footer:
    """The footer of a file."""

    metadata: pq.FileMetaData
    ends: list[int]
    """For each row group, the number of rows up to its end."""


class RowGroupCache:
    """The row groups that this process read last.

    Threads that need the same row group wait for its first reader.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._footers: OrderedDict[tuple[str, str | None], _Footer] = OrderedDict()
        self._groups: OrderedDict[tuple[str, str | None, str, int], pa.ChunkedArray] = OrderedDict()

    def read(self, file: str, row: int, column: str, etag: str | None) -> bytes:
        """The bytes of one cell. Raises Failure as the module's `read` does."""
        with self._lock:
            if (file, etag) not in self._footers:
                self._footers[file, etag] = with_retries(file, lambda: _read_footer(file))
                while len(self._footers) > CACHED_FILES:
                    self._footers.popitem(last=False)
            footer = self._footers[file, etag]
            group = bisect.bisect_right(footer.ends, row)
            if group == len(footer.ends):
                raise Failure("key_missing", f"{file} has {footer.ends[-1] if footer.ends else 0} rows, not row {row}")
            key = (file, etag, column, group)
            if key not in self._groups:
                self._groups[key] = with_retries(file, lambda: _read_column(file, footer.metadata, group, column))
                while len(self._groups) > 1 and sum(cells.nbytes for cells in self._groups.values()) > CACHED_BYTES:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(key)
            value = self._groups[key][row - (footer.ends[group - 1] if group else 0)].as_py()
        if value is None:
            raise Failure("key_missing", f"{file}: column {column!r} of row {row} is null")
        data: bytes = value
        return data


def _read_footer(file: str) -> _Footer:
    files, path = storage.filesystem(file)
    with files.open(path, "rb") as handle:
        try:
            metadata = pq.read_metadata(handle)
        except pa.ArrowInvalid as error:
            raise Failure("corrupt", f"{file}: {error}"[:500]) from error
    return _Footer(metadata, list(accumulate(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups))))


def _read_column(file: str, metadata: pq.FileMetaData, group: int, column: str) -> pa.ChunkedArray:
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
"""The cache of this process."""


def read(uri: str, etag: str | None = None) -> bytes:
    """The bytes at the address of a cell.

    Raises Failure key_missing if the file, the row or the bytes are missing, and corrupt if the
    file cannot be parsed or lacks the column.
    """
    address = ADDRESS.fullmatch(uri)
    if address is None:
        raise Failure("key_missing", f"{uri} is not the address of an image in a Parquet file")
    file, row, column = address["file"], int(address["row"]), address["column"]
    if file.lower().endswith(lance_images.ENDING):
        return lance_images.read(file, row, column, etag)
    if file.lower().endswith(ENDING):
        return MAPPED.read(file, row, column, etag)
    return ROW_GROUPS.read(file, row, column, etag)
