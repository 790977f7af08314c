"""Bytes of an indexed image, which is an object of its own or a cell of a Parquet file."""

from __future__ import annotations

from operators.storage import files as storage
from operators.storage import parquet_images as cells


def read(uri: str, etag: str | None = None) -> bytes:
    """The image's bytes. Raises Failure as `storage.read` does, and corrupt where a Parquet file cannot be read.

    `etag` is what the index knows of the version; cells of another one are read anew.
    """
    return cells.read(uri, etag) if cells.is_cell(uri) else storage.read(uri)


def size(uri: str, etag: str | None = None) -> int:
    """How many bytes it has; an object of its own is not read for that. Raises Failure as `read` does."""
    return len(cells.read(uri, etag)) if cells.is_cell(uri) else storage.size(uri)


def copy(uri: str, target: str) -> None:
    """Put it elsewhere as it is. Raises Failure as `read` and `storage.write` do."""
    if cells.is_cell(uri):
        storage.write(target, cells.read(uri))
    else:
        storage.copy(uri, target)
