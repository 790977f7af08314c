"""Bytes of an indexed image, which is an object of its own or a cell of a Parquet file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from operators.storage import files as storage
from operators.storage import parquet_images


def read(uri: str, etag: str | None = None) -> bytes:
    """The image's bytes. Raises Failure as `storage.read` does, and corrupt where a Parquet file
    cannot be read.

    `etag` is what the index knows of the version; cells of another one are read anew.
    """
    return parquet_images.read(uri, etag) if parquet_images.is_cell(uri) else storage.read(uri)


def size(uri: str, etag: str | None = None) -> int:
    """How many bytes it has; an object of its own is not read for that. Raises Failure as `read`
    does.
    """
    return len(parquet_images.read(uri, etag)) if parquet_images.is_cell(uri) else storage.size(uri)


def copy(uri: str, target: str) -> None:
    """Put it elsewhere as it is. Raises Failure as `read` and `storage.write` do."""
    if parquet_images.is_cell(uri):
        storage.write(target, parquet_images.read(uri))
    else:
        storage.copy(uri, target)


@dataclass(frozen=True, slots=True)
class SourceImage:
    """One image of a listing: its URI, its path under the source's root, its size in bytes (-1
    unknown), its version.
    """

    uri: str
    path: str
    size: int
    etag: str
    own: Mapping[str, Any] = field(default_factory=dict)
    """The user's own columns of a manifest."""

    @property
    def image_id(self) -> str:
        """32 hexadecimal digits that change whenever the object does."""
        return hashlib.sha256(f"{self.uri}\0{self.etag}".encode()).hexdigest()[:32]
