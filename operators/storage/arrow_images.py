"""Images inside Arrow files on this machine, as `datasets.save_to_disk` writes them.

The files are mapped into memory, not read: only the pages of the images that are asked for come
from the disk. A stream has no index of its batches, so a file in an object store would have to be
read whole for each image.
"""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from operators.rows.failure import Failure
from operators.storage import files as storage
from operators.storage.names import to_path

ENDING = ".arrow"
FILE_MAGIC = b"ARROW1"
"""The first bytes of a file with an index; any other is a stream."""
MAPPED_FILES = 64
"""The number of files that a process keeps mapped."""


@dataclass(frozen=True)
class ArrowFile:
    """A mapped file."""

    schema: pa.Schema
    batches: list[pa.RecordBatch]
    is_stream: bool

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(batch.num_rows for batch in self.batches)


def map_file(uri: str) -> ArrowFile:
    """Map a file on this machine.

    Raises Failure as `storage.read` does, storage_error for a file in an object store, and corrupt
    for one that is no Arrow.
    """
    if not storage.is_local(uri):
        raise Failure("storage_error", f"{uri}: Arrow files are read on this machine only; copy them, or write Parquet")
    is_stream = bytes(storage.read_head(uri, len(FILE_MAGIC))) != FILE_MAGIC
    try:
        mapped = pa.memory_map(to_path(uri.removeprefix("file://")))
        reader = pa.ipc.open_stream(mapped) if is_stream else pa.ipc.open_file(mapped)
        batches = list(reader) if is_stream else [reader.get_batch(number) for number in range(reader.num_record_batches)]
    except (pa.ArrowInvalid, OSError) as error:
        raise Failure("corrupt", f"{uri}: {error}"[:500]) from error
    return ArrowFile(reader.schema, batches, is_stream)


class MappedFiles:
    """The files that this process used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[str, str | None], tuple[ArrowFile, list[int]]] = OrderedDict()

    def read(self, uri: str, row: int, column: str, etag: str | None) -> bytes:
        """The bytes of one cell.

        Raises Failure as `map_file` does, corrupt for a file without the column, and key_missing
        for a row that is not there or null.
        """
        with self._lock:
            if (uri, etag) not in self._files:
                file = map_file(uri)
                self._files[uri, etag] = file, list(accumulate(batch.num_rows for batch in file.batches))
                if len(self._files) > MAPPED_FILES:
                    self._files.popitem(last=False)
            self._files.move_to_end((uri, etag))
            file, ends = self._files[uri, etag]
        if column not in file.schema.names:
            raise Failure("corrupt", f"{uri} has no column {column!r}")
        number = bisect.bisect_right(ends, row)
        if number == len(ends):
            raise Failure("key_missing", f"{uri} has {file.rows} rows, not row {row}")
        cells = file.batches[number].column(column)
        if pa.types.is_struct(cells.type):
            cells = pc.struct_field(cells, "bytes")
        value = cells[row - (ends[number - 1] if number else 0)].as_py()
        if value is None:
            raise Failure("key_missing", f"{uri}: column {column!r} of row {row} is null")
        data: bytes = value
        return data


MAPPED = MappedFiles()
"""The files of this process."""
