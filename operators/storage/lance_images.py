"""Images inside Lance datasets, read by Lance: a row at a time, from one version of the dataset.

The address of an image is `DATASET.lance#row=17&column=image`; the etag of each is the version.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from operators.rows.failure import Failure, RunError, first_line
from operators.storage import files as storage

ENDING = ".lance"
ROWS = 1024
"""Rows of a batch that is read for its columns."""


class OpenDatasets:
    """The datasets that this process has open, by address and version."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str | None], Any] = {}

    def get(self, uri: str, version: str | None = None) -> Any:
        """A dataset at a version, the present one for None. Raises RunError as `open_dataset`."""
        with self._lock:
            if (uri, version) not in self._open:
                self._open[uri, version] = open_dataset(uri, version)
            return self._open[uri, version]


SOURCE_PLACE = re.compile(r",? ?/\S+\.rs:\d+:\d+")
"""A place in Lance's own source code, at the end of its messages."""

DATASETS = OpenDatasets()
"""The datasets of this process."""


def open_dataset(uri: str, version: str | None = None) -> Any:
    """Open a dataset. Raises RunError package_missing and source_missing."""
    try:
        import lance
    except ImportError:
        raise RunError("package_missing", f"{uri}: install cleanplate[lance]") from None
    with _as_missing(uri):
        return lance.dataset(storage.absolute(uri), version=int(version) if version else None)


@contextmanager
def _as_missing(uri: str) -> Iterator[None]:
    """Raise RunError source_missing for a dataset that cannot be opened."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise RunError("source_missing", f"{uri}: {_message(error)}") from error


def _message(error: Exception) -> str:
    """The library's message without the places in its source code that it ends with."""
    return SOURCE_PLACE.sub("", first_line(error))


def read(uri: str, row: int, column: str, version: str | None) -> bytes:
    """The bytes of one cell.

    Raises Failure key_missing for a dataset, row, column or bytes that are missing.
    """
    try:
        dataset = DATASETS.get(uri, version)
        is_struct = pa.types.is_struct(dataset.schema.field(column).type)
        cells = dataset.take([row], columns=[f"{column}.bytes" if is_struct else column])[column].to_pylist()
    except (RunError, KeyError, ValueError, OSError) as error:
        raise Failure("key_missing", f"{uri}: row {row}: {first_line(error)}") from error
    value = cells[0] if cells else None
    data: bytes | None = value["bytes"] if isinstance(value, Mapping) else value
    if data is None:
        raise Failure("key_missing", f"{uri}: column {column!r} of row {row} is null")
    return data


def batches(dataset: Any, names: list[str]) -> Iterator[pa.RecordBatch]:
    """Some columns in batches; of a struct with a dotted name, only that child."""
    for batch in dataset.to_batches(columns=names, batch_size=ROWS):
        yield pa.RecordBatch.from_pydict(
            {
                name.partition(".")[0]: pa.StructArray.from_arrays([batch.column(name)], [name.partition(".")[2]])
                if "." in name and name not in dataset.schema.names
                else batch.column(name)
                for name in names
            }
        )
